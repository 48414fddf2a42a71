"""A short config that asks for endless work is refused at once; what people write isn't near it."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from cifarzoo.components.spelling import closest
from cifarzoo.config import from_text, load, recipes
from cifarzoo.config.limits import MAX_BYTES, MAX_COMPONENTS, MAX_DEPTH, MAX_INCLUDES, MAX_PROBLEMS
from cifarzoo.errors import ConfigProblemsError
from tests.toy import BASE, PLUGIN, problems, read

MOST_SECONDS = 2  # of CPU time; a fifth of it on a machine of its own


def tenfold(first: str, levels: int) -> str:
    """Macros of which each has the one before ten times."""
    lines = [f"M{i} = [{', '.join([f'%M{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join([f"M0 = {first}", *lines, f"run.seed = %M{levels - 1}\n"])


def chained(value: str, length: int) -> str:
    """Macros of which each stands for the one before, as ``value`` says with ``{}`` for it."""
    lines = [f"M{i} = {value.format(f'%M{i - 1}')}" for i in range(1, length)]
    return "\n".join(["M0 = 1", *lines, f"run.seed = %M{length - 1}\n"])


DEEP = "brackets and macros are more than 50 in one another; expected at most so many"
LONG = (
    "with this value those of the config have more than 131,072 characters, macros written out; "
    "expected at most so many"
)
ONE_PROBLEM = [
    ("macros that have ten of another, ten levels", tenfold("[1]", 10), f"c.gin:6: {LONG}"),
    ("a long text ten times, five levels", tenfold(f"'{'x' * 2000}'", 5), f"c.gin:6: {LONG}"),
    ("5,000 macros in a chain", chained("{}", 5000), f"c.gin:4955: {DEEP}"),
    ("5,000 macros in brackets of each other", chained("[{}]", 5000), f"c.gin:4980: {DEEP}"),
    ("a text of a minus 100,000 times", f"run.seed = '{'-' * 100_000}1'", ".*a whole number$"),
    ("a text of 50,000 attributes", f"run.seed = '{'a.' * 50_000}a'", ".*a whole number$"),
    ("50,000 words that are no values", f"run.seed = [{'ad,' * 40_000}]", "c.gin:6: 'ad' is not a"),
    ("a name of 100,000 letters", f"{'a' * 100_000}.b = 1", "c.gin:6: no component 'aaa"),
    ("a scope of 50,000 parts", f"run.augmentations = [@{'s/' * 50_000}toy_cut]",
     "c.gin:6: run.augmentations leads to more than 1,000 components, or 50 in one another; expec"),
    ("2,000 components", f"run.augmentations = [{'@toy_cut,' * 2000}]",
     "c.gin:6: run.augmentations leads to more than 1,000 components, or 50 in one another; expec"),
    ("components in 3,000 scopes",
     f"run.augmentations = [{','.join(f'@s{i}/toy_cut' for i in range(3000))}]\n"
     + "".join(f"s{i}/toy_cut.size = 1\n" for i in range(3000)),
     ".*leads to more than 1,000 components"),
]  # fmt: skip
MANY = {
    "components that aren't there": "".join(f"toy_sgdx{i}.lr = 1\n" for i in range(6000)),
    "parameters that aren't there": "".join(f"toy_sgd.lr{i} = 1\n" for i in range(6000)),
    "long macros that nothing sets": "".join(f"{'abcdefghij' * 9}{i:04} = 1\n" for i in range(600))
    + "".join(f"toy_sgd.a{i} = %{'bcdefghija' * 9}{i:04}\n" for i in range(600)),
    "mistakes in the grammar": "= 1\n" * 30_000,
    "settings of no effect": "".join(f"s{i}/toy_cut.size = 1\n" for i in range(5000)),
}


@pytest.mark.parametrize(
    ("text", "problem"), [case[1:] for case in ONE_PROBLEM], ids=[case[0] for case in ONE_PROBLEM]
)
def test_what_would_take_for_ever_is_one_problem(text: str, problem: str, tmp_path: Path):
    started = time.process_time()

    (line,) = problems(text, tmp_path)

    assert re.match(problem, line), line[:200]
    assert time.process_time() - started < MOST_SECONDS


@pytest.mark.parametrize("text", MANY.values(), ids=MANY)
def test_of_very_many_problems_the_first_hundred_are_shown(text: str, tmp_path: Path):
    started = time.process_time()

    *lines, last = problems(text, tmp_path)

    assert last == "there are more than 100 problems; these come first"
    assert len(lines) == MAX_PROBLEMS
    assert time.process_time() - started < MOST_SECONDS


def test_files_that_include_each_other_many_times_are_read_once(tmp_path: Path):
    for i in range(10):
        others = "".join(f"include 'i{j}.gin'\n" * 2 for j in range(i + 1, 10))
        (tmp_path / f"i{i}.gin").write_text(f"{others}A{i} = {i}\n")

    config = read("include 'i0.gin'\nrun.seed = %A9\n", tmp_path)

    assert config.bindings["run.seed"].value == 9


def test_an_endless_chain_of_includes_is_one_problem(tmp_path: Path):
    for i in range(900):
        (tmp_path / f"i{i}.gin").write_text(f"include 'i{i + 1}.gin'\n")
    again = (
        f"more than {MAX_INCLUDES} lines of this config include a file; expected at most so many"
    )

    assert problems("include 'i0.gin'\n", tmp_path) == [f"i99.gin:1: {again}"]
    assert problems("include 'i899.gin'\n" * 2000, tmp_path)[-1] == f"c.gin:105: {again}"


def test_all_that_a_config_includes_has_one_limit(tmp_path: Path):
    for i in range(3):
        (tmp_path / f"i{i}.gin").write_text("#" * (MAX_BYTES // 2))
    includes = "".join(f"include 'i{i}.gin'\n" for i in range(3))

    first, *_ = problems(includes, tmp_path)

    assert first == (
        "i1.gin: with it the config has more than 131,072 characters, all that it includes "
        "counted; expected at most so many"
    )


NESTING = """
from cifarzoo import register
from cifarzoo.protocols import AugmentationFactory

@register.augmentation
def both(*, a: AugmentationFactory, b: AugmentationFactory):
    '''Both.'''
"""


def test_components_that_double_are_refused_before_any_is_made(tmp_path: Path):
    (tmp_path / "p.py").write_text(NESTING)
    held = "".join(f"s{i}/both.{p} = @s{i + 1}/both\n" for i in range(40) for p in "ab")
    ends = "s40/both.a = @toy_cut\ns40/both.b = @toy_cut\n"
    text = f"{BASE}run.augmentations = [@s0/both]\n{held}{ends}"

    with pytest.raises(
        ConfigProblemsError, match=r":6: run.augmentations leads to more than 1,000 components"
    ):
        load(text, plugins=[PLUGIN, tmp_path / "p.py"])


def test_values_of_python_are_not_nested_without_end():
    endless: list[object] = []
    endless.append(endless)

    with pytest.raises(ConfigProblemsError, match="the value is nested too deeply; expected at mo"):
        load(BASE, plugins=[PLUGIN], values={"run.seed": endless})


def test_a_text_of_a_config_has_a_limit():
    with pytest.raises(ConfigProblemsError, match=r"config\.gin: it has more than 262,144 char"):
        from_text("#" * (2 * MAX_BYTES + 1))


def test_what_people_write_is_far_from_the_limits(tmp_path: Path):
    longest = max(path.stat().st_size for path in recipes().values())
    doubling = "\n".join(["M0 = [1, 2]", *(f"M{i} = [%M{i - 1}, %M{i - 1}]" for i in range(1, 9))])
    nested = f"{'[' * MAX_DEPTH}1{']' * MAX_DEPTH}"
    text = f"{doubling}\nrun.seed = %M8\nrun.max_steps = {nested}\n"
    many = ", ".join(["@toy_cut"] * (MAX_COMPONENTS // 10))

    assert longest * 50 < MAX_BYTES
    assert ["; expected a whole number" in line for line in problems(text, tmp_path)] == [True] * 2
    read(f"run.augmentations = [{many}]\n", tmp_path)


def test_of_a_name_that_nobody_mistypes_none_is_close():
    names = ["cosine", "constant"]

    assert closest("cosin", names) == "cosine"
    assert closest("cosin" * 200_000, names) is None
    assert closest("cosin", [*names, *(f"x{i:09}" for i in range(50_000))]) is None
