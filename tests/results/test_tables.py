"""The published tables parse, their rows run, and their numbers are those of their sources."""

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
# What sources print and the reference hasn't, or not all of it: a table's numbers in its order,
# written down here a second time.
TRANSCRIBED = {
    "akamaster": "8.27 7.37 6.90 6.61 6.32 6.18",
    "cutmix": "16.45 14.23 13.81 15.63 16.14 16.53 15.73 15.61 15.16 15.46 20.11",
    "davda54_sam": "3.20 2.86 2.55",
    "densenet": (
        "7.00 5.24 27.55 24.42 5.77 4.10 23.79 20.20 5.83 3.74 23.42 19.25 5.92 4.51 24.15 22.27 "
        "5.19 3.62 19.64 17.60 3.46 17.18"
    ),
    "hysts_batches": (
        "10.57 8.87 8.40 8.22 8.61 8.09 8.22 8.00 7.75 7.70 28.97 9.07 8.62 8.23 8.40 8.28 8.13 "
        "7.58 7.93 8.31 8.97 7.85 7.20 7.83 7.65 7.09 7.17 7.24 7.26 7.02 8.14 7.74 7.15 7.27 "
        "7.22 6.68 7.18 7.03 6.78 6.89 10.32 10.71 11.34 8.69 8.81 8.73 9.62 9.12 8.42 8.38 8.07 "
        "8.25 8.08 8.49 8.51 7.73 7.73 9.64 8.32 7.45 7.68 9.03 7.54 7.28 7.96 8.81 10.07 7.42 "
        "7.52 7.78 7.64 7.25 7.45 8.36 7.53 7.30 7.42 6.69 6.77 6.84 6.86 7.05 8.25 7.34 6.94 "
        "6.99 6.95 6.64 9.52 6.92 6.96 7.45 11.51 9.73 8.77 7.82 11.83 8.95 7.23 7.08"
    ),
    "hysts_targets": (
        "7.60 7.51 7.21 7.57 7.24 6.88 6.77 6.24 7.05 7.20 6.97 7.16 6.66 6.30 6.19 5.55"
    ),
    "hysts_units": "6.45 6.47 6.14 6.43 5.85 6.27 5.72 4.96 5.22 5.11",
    "kuangliu": (
        "92.64 93.02 93.62 93.75 94.24 94.29 94.43 94.73 94.82 94.89 95.04 95.11 95.16 95.47"
    ),
    "mmpretrain": "94.82 95.34 95.55 95.58 95.76 79.90",
    "preact_resnet": "6.37 5.46 24.33 4.92 22.71 4.62",
    "resnet": "8.75 7.51 7.17 6.97 6.43 7.93",
    "resnext": "3.65 3.58",
    "shake_shake": (
        "4.27 3.67 3.47 3.55 2.98 2.86 4.44 4.11 3.47 4.11 4.09 3.76 3.30 3.07 3.20 3.58 15.85"
    ),
    "stochastic_depth": "6.41 5.25",
    "swa": (
        "96.18 96.45 96.79 80.82 81.46 82.15 95.28 95.56 95.83 78.49 79.77 80.35 95.03 95.51 "
        "95.82 76.77 78.75 79.10"
    ),
}
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
    assert list(TABLES) == sorted(PLACES | TRANSCRIBED)


@pytest.mark.parametrize("name", TRANSCRIBED)
def test_the_numbers_of_a_table_are_those_that_its_source_prints(name):
    errors = [row.error for row in TABLES[name].rows.values()]
    printed = [Decimal(number) for number in TRANSCRIBED[name].split()]
    as_accuracy = printed[0] > 50
    assert errors == [100 - number if as_accuracy else number for number in printed]


@pytest.mark.skipif(not REFERENCE.exists(), reason="no ../shared/reference/peers.md")
@pytest.mark.parametrize("row", [row for row in ROWS if row.table in PLACES], ids=by_path)
def test_error_and_time_of_a_row_stand_in_the_reference(row):
    text = of_reference(row.table)
    is_there = holds(text, str(row.error)) or holds(text, str(100 - row.error))
    assert is_there or row.table in TRANSCRIBED
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
        "x/wrn26_10": "no table 'x'; the tables are airbench, akamaster, ",
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
