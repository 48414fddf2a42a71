"""Tables as JSON, CSV, Markdown and LaTeX, and what they hold of others' text."""

import csv
import io
import json

import pytest

from cifarzoo.cli.options import chosen_format
from cifarzoo.errors import UsageError
from cifarzoo.results.formats import Records, written

RECORDS = Records(
    columns=("name", "seed", "error"),
    rows=(
        {"name": "resnet20", "seed": 0, "error": 100 / 13},
        {"name": "no|such <b>", "error": -0.5},
        {"name": None, "seed": 12, "error": float("nan")},
    ),
    decimals={"error": 2},
)
FORMULA = "=HYPERLINK(1)"
HOSTILE = Records(columns=("name",), rows=({"name": f"{FORMULA}\x1b[2J\n"}, {"name": "-s a=1"}))


def test_json_has_every_digit_and_every_column():
    first, second, third = json.loads(written(RECORDS, "json"))

    assert first == {"name": "resnet20", "seed": 0, "error": 100 / 13}
    assert second["seed"] is None
    assert third["error"] is None


def test_csv_has_every_digit_and_empty_cells():
    first, second, third = csv.DictReader(io.StringIO(written(RECORDS, "csv")))

    assert float(first["error"]) == 100 / 13
    assert second == {"name": "no|such <b>", "seed": "", "error": "-0.5"}
    assert third == {"name": "", "seed": "12", "error": ""}


def test_markdown_is_aligned_and_its_signs_are_escaped():
    assert written(RECORDS, "md").split("\n") == [
        "| name           | seed | error |",
        "| -------------- | ---: | ----: |",
        "| resnet20       |    0 |  7.69 |",
        r"| no\|such \<b\> |      | -0.50 |",
        "|                |   12 |       |",
    ]


def test_latex_is_a_table_of_booktabs_whose_signs_are_escaped():
    lines = written(RECORDS, "latex").split("\n")

    assert lines[0].startswith(r"\begin{tabular}{lrr}")
    assert [line.strip() for line in lines[1:-1] if r"\\" not in line] == [
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
    ]
    assert r"no\textbar{}such \textless{}b\textgreater{}" in lines[5]
    assert lines[5].endswith(r"& $-0.50$ \\")


@pytest.mark.parametrize("into", ["json", "csv", "md", "latex"])
def test_no_format_hands_on_what_a_terminal_obeys(into):
    text = written(HOSTILE, into)

    assert "\x1b" not in text
    assert "x1b" in text or "u001b" in text


def test_a_spreadsheet_finds_no_formula():
    rows = list(csv.reader(io.StringIO(written(HOSTILE, "csv"))))

    assert [row[0][:2] for row in rows[1:]] == ["'=", "'-"]


@pytest.mark.parametrize("into", ["csv", "md", "latex"])
def test_a_table_without_rows_has_its_heading(into):
    assert "name" in written(Records(columns=("name",), rows=()), into)


def test_two_formats_are_refused():
    assert chosen_format(None, as_json=True) == "json"
    assert chosen_format("md", as_json=False) == "md"
    with pytest.raises(UsageError, match="--json and --format md ask for two formats"):
        chosen_format("md", as_json=True)
