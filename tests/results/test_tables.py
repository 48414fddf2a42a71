"""The published tables parse, their rows run, and their numbers are those of the reference."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from cifarzoo import config
from cifarzoo.errors import UsageError
from cifarzoo.results import tables

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT.parent / "shared" / "reference" / "peers.md"
OF_FLAX = REFERENCE.with_name("flax.md")
TABLES = tables.tables()
ROWS = [row for table in TABLES.values() for row in table.rows.values()]
# Where the reference has a source: the first line of it, and the first that is another's.
PLACES = {
    "airbench": ("### 2.6", "### 2.7"),
    "autoaugment": ("| AutoAugment (AA-TF", "| CutMix"),
    "cutout": ("| Cutout (README", "| AutoAugment (AA-TF"),
    "fast_autoaugment": ("### 2.5", "### 2.6"),
    "flax_cifar": ("### 2.3", "### 2.4"),
    "flax_gpu": ("### 2.1", "### 2.2"),
    "flax_tpu": ("### 2.1", "### 2.2"),
    "hysts": ("### 2.4", "### 2.5"),
    "pyramidnet": ("| PyramidNet (jhkim89", "| Cutout (README"),
    "shake_shake": ("| Shake-shake (xgastaldi", "| PyramidNet (jhkim89"),
    "swa": ("| SWA (README", "| SAM (paper"),
    "uncertainty_baselines": ("| uncertainty-baselines", "### 2.3"),
    "wrn": ("| WRN (szagoruyko", "| Shake-shake (xgastaldi"),
}
# Tables with many numbers of one digit are held against the reference cell by cell: how a line
# of theirs starts, and the rows of its network.
LINES = [
    ("autoaugment", "| AutoAugment (AA-TF", "wrn28_10"),
    ("autoaugment", "| | SS 26 2x32d", "shake26_2x32d"),
    ("autoaugment", "| | SS 26 2x96d", "shake26_2x96d"),
    ("autoaugment", "| | SS 26 2x112d", "shake26_2x112d"),
    ("autoaugment", "| | Pyramid-272", "pyramid272"),
    ("flax_cifar", "| WRN-28-10", "wrn28_10"),
    ("flax_cifar", "| SS 26 2x96d", "shake26_2x96d"),
    ("flax_cifar", "| Pyramid+ShakeDrop", "pyramid272"),
    ("fast_autoaugment", "| WRN-40-2", "wrn40_2"),
    ("fast_autoaugment", "| WRN-28-10", "wrn28_10"),
    ("fast_autoaugment", "| SS 26 2x32d", "shake26_2x32d"),
    ("fast_autoaugment", "| SS 26 2x96d", "shake26_2x96d"),
    ("fast_autoaugment", "| SS 26 2x112d", "shake26_2x112d"),
    ("fast_autoaugment", "| Pyramid+ShakeDrop", "pyramid272_a200_shakedrop"),
]
TABLE = """
title = "A table"
source = "A paper"
[defaults]
dataset = "cifar10"
rule = "last epoch"
n = 1
lacks = "everything"
[rows.small]
model = "A net"
error = "4.50"
"""


def by_path(row: tables.Row) -> str:
    return row.path


@cache
def of_reference(table: str) -> str:
    """What the reference says of a source, without what it calls unchecked."""
    text = REFERENCE.read_text(encoding="utf-8")
    first, last = PLACES[table]
    section = text[text.index(first) : text.index(last)]
    if table == "flax_tpu":  # with the digits of its README
        section += OF_FLAX.read_text(encoding="utf-8").partition("* The earlier README")[2]
    return "\n".join(
        "|".join(cell for cell in line.split("|") if "(mem" not in cell)
        for line in section.splitlines()
    )


def holds(text: str, word: str) -> bool:
    """Whether ``word`` is in ``text``, and is no part of a longer number or word."""
    return bool(re.search(rf"(?<![\w.]){re.escape(word)}(?![\w]|\.\d)", text))


# The shipped tables


def test_each_of_the_sources_has_a_table():
    assert list(TABLES) == sorted(PLACES)


@pytest.mark.skipif(not REFERENCE.exists(), reason="no ../shared/reference/peers.md")
@pytest.mark.parametrize("row", ROWS, ids=by_path)
def test_error_and_time_of_a_row_stand_in_the_reference(row):
    text = of_reference(row.table)
    assert holds(text, str(row.error)) or holds(text, str(100 - row.error))
    assert row.time is None or holds(text, row.time)


@pytest.mark.skipif(not REFERENCE.exists(), reason="no ../shared/reference/peers.md")
@pytest.mark.parametrize(("table", "start", "network"), LINES)
def test_rows_of_a_network_are_a_line_of_the_reference(table, start, network):
    [line] = [line for line in of_reference(table).splitlines() if line.startswith(start)]
    cells = [re.findall(r"\d+\.\d+", cell) for cell in line.split("|")[1:-1]]
    if table == "flax_cifar":  # a cell each, with AutoAugment's own number behind
        numbers = [cell[0] for cell in cells[-6:]]
        columns = [numbers[:3], numbers[3:]]
    elif table == "autoaugment":
        columns = [cell[:3] for cell in cells[3:5]]  # behind them, how others print a number
    else:
        columns = [cell[3:] for cell in cells[1:3]]  # the first three are AutoAugment's
    kinds = ["_transfer", "_direct"] if table == "fast_autoaugment" else ["", "_cutout", "_aa"]
    expected = {
        f"{network}{kind}{of_dataset}": number
        for of_dataset, numbers in zip(["", "_cifar100"], columns, strict=True)
        for kind, number in zip(kinds, numbers, strict=False)
    }
    rows = TABLES[table].rows
    assert {name: str(rows[name].error) for name in expected} == expected


@pytest.mark.parametrize("row", [row for row in ROWS if row.recipe], ids=by_path)
def test_a_row_with_a_recipe_can_be_run_on_its_dataset(row):
    loaded = config.load(row.recipe, sets=row.sets)
    of_kind = {entry.kind: entry.name for entry in loaded.components()}
    assert of_kind["dataset"] == row.dataset


@pytest.mark.parametrize("row", [row for row in ROWS if row.recipe and not row.sets], ids=by_path)
def test_the_recipe_of_a_row_states_its_number(row):
    header = config.recipes()[row.recipe].read_text(encoding="utf-8").partition("\n\n")[0]
    assert holds(header, str(row.error)) or holds(header, str(100 - row.error))


@pytest.mark.parametrize("name", TABLES)
def test_deviations_and_what_is_lacking_are_said_in_words(name):
    table = TABLES[name]
    of_rows = [sentence for row in table.rows.values() for sentence in row.deviations]
    assert [s for s in [*table.deviations, *of_rows] if s[0].islower() or s[-1] != "."] == []
    assert [row.name for row in table.rows.values() if row.lacks and row.lacks[-1] == "."] == []


def test_a_row_is_found_by_table_and_name():
    row = tables.row("flax_gpu/wrn26_10")
    assert (row.error, row.recipe, row.path) == (
        Decimal("4.45"),
        "wrn26_10.gin",
        "flax_gpu/wrn26_10",
    )


@pytest.mark.parametrize(
    ("name", "answer"),
    {
        "flax_gpu": "'flax_gpu' is no row; expected TABLE/ROW, such as flax_gpu/wrn26_10",
        "flax_gp/wrn26_10": "no table 'flax_gp'; did you mean flax_gpu?",
        "x/wrn26_10": "no table 'x'; the tables are airbench, autoaugment, ",
        "flax_gpu/wrn2610": "flax_gpu has no row 'wrn2610'; did you mean wrn26_10?",
        "flax_gpu/": "flax_gpu has no row ''; its rows are wrn26_10, wrn26_10_8gpu, ",
    }.items(),
)
def test_a_row_that_is_not_there_is_answered_with_the_one_that_may_be_meant(name, answer):
    with pytest.raises(UsageError, match=re.escape(answer)):
        tables.row(name)


# The format


def test_a_row_has_what_it_says_and_the_defaults_for_the_rest():
    more = '[rows.large]\nmodel = "B"\nerror = "3"\nrule = "mean"\nn = 5\nepochs = 9.9\n'
    table = tables.parse("t", TABLE + more)
    small, large = table.rows.values()
    assert (small.rule, small.n, small.epochs, small.tta) == ("last epoch", 1, None, False)
    assert (large.rule, large.n, large.epochs, large.lacks) == ("mean", 5, 9.9, "everything")


def test_an_error_keeps_its_digits():
    assert str(tables.parse("t", TABLE).rows["small"].error) == "4.50"


def test_an_accuracy_becomes_an_error_with_as_many_digits():
    table = tables.parse("t", TABLE.replace('error = "4.50"', 'accuracy = "94.00"'))
    assert str(table.rows["small"].error) == "6.00"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('source = "A paper"', "", "t.toml: source is missing"),
        ("source", "sorce", "t.toml: sorce is an unknown key; did you mean source?"),
        ("model", "modl", "t.toml: rows.small.modl is an unknown key; did you mean model?"),
        ('model = "A net"', "", "t.toml: rows.small.model is missing"),
        ('"last epoch"', '"last"', "rows.small.rule is 'last'; expected 'last epoch', 'best on"),
        ("n = 1", 'n = "1"', "t.toml: rows.small.n is '1'; expected a valid integer"),
        ("n = 1", "n = 0", "t.toml: rows.small has n = 0; expected at least 1"),
        ("n = 1", "n = 1\nsets = [1]", "t.toml: rows.small.sets.0 is 1; expected a valid string"),
        ("n = 1", "n = 1\nsets = ['run.seed=1']", "has sets and no recipe that they could change"),
        ('"last epoch"', '"mean"', "t.toml: rows.small has rule 'mean' of n = 1"),
        ("n = 1", "n = 3", "t.toml: rows.small has rule 'last epoch' of n = 3"),
        ('lacks = "everything"', "", "has to have a recipe, or to say what it lacks, and not both"),
        ("n = 1", "n = 1\nrecipe = 'x.gin'", "has to have a recipe, or to say what it lacks"),
        ('"4.50"', "4.50", "t.toml: rows.small.error is 4.5; expected a text of 0 to 100, as '4"),
        ('"4.50"', '"4,5"', "t.toml: rows.small.error is '4,5'; expected a text of 0 to 100"),
        ('"4.50"', '"100.1"', "t.toml: rows.small.error is '100.1'; expected a text of 0 to 100"),
        ('error = "4.50"', "", "rows.small has no error; expected one of error, accuracy"),
        ("n = 1", "n = 1\naccuracy = '9'", "rows.small has error and accuracy; expected one of"),
        ("[rows.small]", "[rows.small", "t.toml: Expected ']' at the end of a table declaration"),
    ],
)
def test_a_table_that_is_not_of_this_form_is_refused_in_words(old, new, problem):
    text = TABLE.replace(old, new, 1)
    assert text != TABLE
    with pytest.raises(UsageError, match=re.escape(problem)):
        tables.parse("t", text)


def test_all_problems_of_a_table_are_said_at_once():
    text = TABLE.replace("model", "modl").replace('source = "A paper"', "")
    with pytest.raises(UsageError) as raised:
        tables.parse("t", text)
    assert len(str(raised.value).splitlines()) == 3
