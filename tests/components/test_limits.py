"""A plugin whose lines ask for endless work is refused at once, and nothing else with it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cifarzoo.components import installed_plugins
from cifarzoo.components.plugin_folders import MAX_FILES
from cifarzoo.components.plugins import catalogue
from cifarzoo.components.reference import docstring_of, snippet
from cifarzoo.errors import PluginError

MOST_SECONDS = 3  # of CPU time; a fifth of it on a machine of its own
HEAD = "from typing import Annotated, Literal\nfrom cifarzoo import register\n"
MINE = "@register.schedule\ndef mine(*, a: {type} = {default}):\n    '''Mine.'''\n"
OF_CLASS = "@register.schedule\nclass mine({}):\n    'Mine.'\n"
ALIASES = "T0 = int\n" + "".join(f"T{i} = tuple[T{i - 1}, T{i - 1}]\n" for i in range(1, 40))
SHALLOW = "T0 = int\n" + "".join(f"T{i} = T{i - 1} | T{i - 1}\n" for i in range(1, 12))
BASES = "".join(
    f"class A{i}(A{i - 1}, B{i - 1}): pass\nclass B{i}(B{i - 1}, A{i - 1}): pass\n"
    for i in range(1, 30)
)
CHAIN = "class A0: pass\n" + "".join(f"class A{i}(A{i - 1}): pass\n" for i in range(1, 3000))
SETTINGS = ", ".join(f"a{i}: int = 1" for i in range(40))
PRESETS = f"@register.schedule\ndef p0(*, {SETTINGS}):\n    'P.'\n" + "".join(
    f"p{i} = register.preset(p{i - 1}, a{i}=2)\n" for i in range(1, 40)
)


def mine(type: str = "int", default: str = "1", above: str = "") -> str:  # noqa: A002
    """A plugin of one schedule."""
    return HEAD + above + MINE.format(type=type, default=default)


PARTS = r"p\.py:\d+: the type, its aliases written out, has more than "
TOO_MUCH = r"up to here the plugin has more than 524,288 bytes of Python to read for components"
REFUSED = {
    "aliases that double": (mine("T39", above=ALIASES), rf"{PARTS}100 parts in one another; exp"),
    "aliases that double, in texts": (
        mine("T39", above=ALIASES.replace("= tuple", "= 'tuple").replace("]\n", "]'\n")),
        rf"{PARTS}100 parts in one another; expected at most so many",
    ),
    "aliases that double ten times": (mine("T11", above=SHALLOW), rf"{PARTS}1,000 parts; expected"),
    "aliases in a long chain": (
        mine("T999", above="T0 = int\n" + "".join(f"T{i} = T{i - 1}\n" for i in range(1, 1000))),
        rf"{PARTS}100 parts in one another",
    ),
    "a long type in many places": (
        f"{HEAD}T = tuple[{'int,' * 900}]\n@register.schedule\n"
        f"def mine(*, {', '.join(f'a{i}: T = 1' for i in range(5000))}):\n    'Mine.'\n",
        TOO_MUCH,
    ),
    "attributes of attributes": (mine(f"{'a.' * 2000}a"), rf"{PARTS}100 parts in one another"),
    "a minus 2,000 times": (mine("-" * 2000 + "1"), rf"{PARTS}100 parts in one another"),
    "a number that Python does not write": (
        mine(f"Literal[0x{'f' * 100_000}]"),
        r"p\.py: it cannot be read: Exceeds the limit \(\d+ digits\) for integer string conversion",
    ),
    "bases in a long chain": (
        f"{HEAD}{CHAIN}{OF_CLASS.format('A2999')}",
        r"p\.py:\d+: mine has more than 100 base classes; expected at most so many",
    ),
    "presets of presets": (
        HEAD + PRESETS, r"p\.py:\d+: p12 is a preset of presets, more than 10 of them; expected at",
    ),
    "names in a long chain": (
        HEAD + "r0 = register\n" + "".join(f"r{i} = r{i - 1}\n" for i in range(1, 5000))
        + "@r4999.schedule\ndef mine():\n    'Mine.'\n",
        r"p\.py: it is nested too deeply",
    ),
    "a sum of 40,000 numbers": (f"{HEAD}x = {'1+' * 40_000}1\n", r"p\.py: it is nested too deeply"),
    "a large file": (HEAD + "#" * 2**19, r"p\.py: it has more than 524,288 bytes; expected at mos"),
    "very many components": (
        HEAD + "".join(f"@register.loss\ndef c{i}():0\n" for i in range(2001)),
        r"p\.py: it registers 2,001 components; expected at most 2,000 of a plugin",
    ),
}  # fmt: skip
TAKEN = {
    "a type of many brackets": (mine(f"{'tuple[' * 40}int{']' * 40}")),
    "a type that only running it would tell": mine("Literal['9' * 10**6, 10**10**8]"),
    "a range of nothing": mine("Annotated[int, Ge()]"),
    "a range that no number has": mine(f"Annotated[int, Ge({10**400})]"),
    "a range of texts": mine("Annotated[int, Ge('x')]"),
    "a text that is no type": mine(repr("(" * 5000)),
    "a text with NUL for a type": mine("'a\\0b'"),
    "a default that would be computed": mine(default="10**10**8"),
    "a default of a minus 900 times": mine(default="-" * 900 + "1"),
    "a default that cannot be": mine(default="{[1]: 2}"),
    "bases of each other": f"{HEAD}class A(B): pass\nclass B(A): pass\n{OF_CLASS.format('A')}",
    "bases that double": f"{HEAD}class A0: pass\nclass B0: pass\n{BASES}{OF_CLASS.format('A29')}",
    "names of each other": f"{mine('a', above='a = b' + chr(10) + 'b = a' + chr(10))}",
}  # fmt: skip


@pytest.mark.parametrize(("source", "problem"), REFUSED.values(), ids=REFUSED)
def test_what_would_take_for_ever_is_refused(
    source: str, problem: str, plugin: Callable[..., Path]
):
    path = plugin("p.py", source)
    started = time.process_time()

    with pytest.raises(PluginError, match=problem):
        catalogue([path])

    assert time.process_time() - started < MOST_SECONDS


@pytest.mark.parametrize("source", TAKEN.values(), ids=TAKEN)
def test_what_only_looks_so_is_taken(source: str, plugin: Callable[..., Path]):
    entry = catalogue([plugin("p.py", source)]).entries["mine"]

    assert docstring_of(entry).text == "Mine."
    assert snippet(entry).startswith("run.schedule = @mine")
    assert all(parameter.range == "" for parameter in entry.parameters)


@pytest.mark.parametrize("name", ["aliases that double", "very many components"])
def test_an_installed_plugin_that_asks_for_it_is_broken_and_all_else_works(
    name: str, install: Callable[..., Path]
):
    source, problem = REFUSED[name]
    install("cifarzoo-endless", "endless_zoo", {"endless_zoo.py": source})
    started = time.process_time()

    found = catalogue()

    ((origin, why),) = found.broken
    assert origin == "cifarzoo-endless 1.2"
    assert re.search(problem.replace(r"p\.py", r"endless_zoo(\.py)?"), why)
    assert {"wrn26_10", "sgd"} <= found.entries.keys()
    assert time.process_time() - started < MOST_SECONDS


@pytest.mark.parametrize("value", ["", "!!!", "a b"])
def test_an_entry_point_that_names_no_module_is_broken(value: str, install: Callable[..., Path]):
    install("cifarzoo-nowhere", value, {})

    ((_, why),) = catalogue().broken

    assert re.search(rf"is '{value}'; expected the name of a module|'a b'.* isn't there", why)


def test_a_package_of_very_many_files_is_to_name_its_module(
    install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(installed_plugins, "MAX_FILES", 3)
    install("cifarzoo-large", "large_zoo", {f"large_zoo/m{i}.py": "" for i in range(4)})

    ((_, why),) = catalogue().broken

    assert "has more than 3 files; expected at most so many; name the module in it" in why


def test_a_plugin_folder_of_very_many_files_is_refused(tmp_path: Path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(MAX_FILES + 1):
        (folder / str(number)).touch()

    with pytest.raises(PluginError, match="many has more than 5,000 files, and each run keeps a p"):
        catalogue([folder])


def test_a_name_that_no_file_can_have_is_no_plugin():
    with pytest.raises(PluginError, match="no plugin file 'aaaa"):
        catalogue(["a" * 100_000])
