# ruff: noqa: E501  # a case is easiest to read on a line

"""Row 70: a few lines that ask for endless work, in configs and in the source of plugins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.trust.bad_input.case import Case
from tests.trust.bad_input.small import small_config

BASE = small_config("run.epochs = 1", images=(32, 20))
HEAD = "from typing import Literal\nfrom cifarzoo import register\n"
ALIASES = "T0 = int\n" + "".join(f"T{i} = tuple[T{i - 1}, T{i - 1}]\n" for i in range(1, 40))
DOUBLING = f"{HEAD}{ALIASES}@register.schedule\ndef mine(*, a: T39 = 1):\n    'Mine.'\n"
INSTALL = (
    "mkdir zoo-1.dist-info; printf 'Metadata-Version: 2.1\\nName: zoo\\nVersion: 1\\n' > zoo-1.dist-info/METADATA; "
    "printf '[cifarzoo.plugins]\\nzoo = endless\\n' > zoo-1.dist-info/entry_points.txt; "
    'PYTHONPATH=$PWD:$PYTHONPATH exec "$@"'
)
OURS = str(Path(__file__).parents[3])


def config(name: str, text: str, says: str, **more: Any) -> Case:
    """A config that ends with ``text``."""
    files = {"c.gin": BASE + text, **more.pop("files", {})}
    return Case(row=70, name=name, command=("check", "c.gin"), files=files, says=says, **more)


def plugin(name: str, source: str, says: str, **more: Any) -> Case:
    """A plugin file that is listed."""
    return Case(
        row=70, name=name, command=("ls", "-p", "p.py"), files={"p.py": source}, says=says, **more
    )


def installed(name: str, *command: str, **more: Any) -> Case:
    """A command beside an installed plugin whose types double."""
    return Case(row=70, name=name, command=command, files={"endless.py": DOUBLING}, shell=INSTALL,
                environment={"PYTHONPATH": OURS, "PYTHONSAFEPATH": None}, leaves=("zoo-1.dist-info",), exit_code=0, **more)  # fmt: skip


def tenfold(first: str, levels: int) -> str:
    """Macros of which each has the one before ten times."""
    lines = [f"M{i} = [{', '.join([f'%M{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join([f"M0 = {first}", *lines, f"run.seed = %M{levels - 1}\n"])


def many_files(folder: Path) -> None:
    """A plugin's folder with more in it than a run keeps."""
    for number in range(6_000):
        (folder / "f" / str(number)).touch()


LONG = r"^c\.gin:9: with this value those of the config have more than 131,072 characters, macros written out"
DEEP = r"^c\.gin:\d+: brackets and macros are more than 50 in one another; expected at most so many"
CONFIGS = [
    config("macros that have ten of another, ten levels", tenfold("[1]", 10), LONG),
    config("a long text ten times, five levels", tenfold(f"'{'x' * 2000}'", 5), LONG),
    config("5,000 macros in a chain", "M0 = 1\n" + "".join(f"M{i} = %M{i - 1}\n" for i in range(1, 5000)) + "run.seed = %M4999\n", DEEP),
    config("5,000 brackets", f"run.seed = {'[' * 5000}{']' * 5000}\n", r"^c\.gin:9: the value is nested too deeply"),
    config("40,000 words that are no values", f"run.seed = [{'ad,' * 40_000}]\n", r"^c\.gin:9: 'ad' is not a value"),
    config("6,000 components that aren't there", "".join(f"sgdx{i}.lr = 1\n" for i in range(6000)),
           "there are more than 100 problems; these come first", lines=101),
    config("components in 3,000 scopes", f"run.augmentations = [{','.join(f'@s{i}/flip' for i in range(3000))}]\n" + "".join(f"s{i}/flip.p = 1\n" for i in range(3000)),
           r"^c\.gin:9: run\.augmentations leads to more than 1,000 components"),
    config("a text that is 100,000 times a minus", f"run.seed = '{'-' * 100_000}1'\n", r"^c\.gin:9: run\.seed is '----"),
    config("ten files that include ten, twice each", "include 'i0.gin'\n", r"'i0\.gin' includes itself \(i0\.gin > i0\.gin\)", lines=None,
           files={f"i{i}.gin": "".join(f"include 'i{j}.gin'\n" * 2 for j in range(10)) for i in range(10)}),
    config("900 files that include the next", "include 'i0.gin'\n", r"^i99\.gin:1: more than 100 lines of this config include a file",
           files={f"i{i}.gin": f"include 'i{i + 1}.gin'\n" for i in range(900)}),
    config("a file that is included 8,000 times", "include 'i.gin'\n" * 8000, r"^c\.gin:109: more than 100 lines of this config include", files={"i.gin": "A = 1\n"}),
]  # fmt: skip
PARTS = r"^p\.py:\d+: the type, its aliases written out, has more than 100 parts in one another"
PLUGINS = [
    plugin("types that double", DOUBLING, PARTS),
    plugin("types that double, in quotes", DOUBLING.replace("= tuple", "= 'tuple").replace("]\n", "]'\n"), PARTS),
    plugin("a number that Python does not write", f"{HEAD}@register.schedule\ndef mine(*, a: Literal[0x{'f' * 99_999}] = 1):\n    'Mine.'\n",
           r"^p\.py: it cannot be read: Exceeds the limit"),
    plugin("classes in a chain of 3,000", f"{HEAD}class A0: pass\n" + "".join(f"class A{i}(A{i - 1}): pass\n" for i in range(1, 3000)) + "@register.schedule\nclass mine(A2999):\n    'Mine.'\n",
           r"^p\.py:\d+: mine has more than 100 base classes"),
    plugin("a sum of 40,000 numbers", f"{HEAD}x = {'1+' * 40_000}1\n", r"^p\.py: it is nested too deeply"),
    plugin("a large file", HEAD + "#" * 2**20, r"^p\.py: it has more than 524,288 bytes"),
    plugin("20,000 components", HEAD + "".join(f"@register.loss\ndef c{i}():0\n" for i in range(15_000)), r"^p\.py: it registers 15,000 components; expected at most 2,000"),
    plugin("numbers that nobody computes", f"{HEAD}@register.schedule\ndef mine(*, a: Literal['9' * 10**6] = 10**10**8):\n    'Mine.'\n", "", exit_code=0, prints="mine"),
    plugin("classes that are each other's bases", f"{HEAD}class A(B): pass\nclass B(A): pass\n@register.schedule\nclass mine(A):\n    'Mine.'\n", "", exit_code=0, prints="mine"),
    Case(row=70, name="a folder of 6,000 files", command=("ls", "-p", "f"), files={"f/p.py": DOUBLING}, prepare=many_files, says=r"^f has more than 5,000 files"),
    Case(row=70, name="a name of 100,000 letters", command=("show", "a" * 100_000), says="^no component 'aaa"),
    installed("a check beside an installed plugin whose types double", "check", "quickstart.gin", prints="quickstart.gin: fine"),
    installed("a list beside an installed plugin whose types double", "ls", "schedules", says=r"^warning: the plugin zoo 1 cannot be used: \S+endless\.py:\d+: the type, its aliases", prints="cosine"),
]  # fmt: skip
CASES = [*CONFIGS, *PLUGINS]
