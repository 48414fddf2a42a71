# ruff: noqa: E501  # a case is easiest to read on a line

"""Rows 38 to 41: plugin files that can't be read, imported or used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.trust.bad_input.case import Case
from tests.trust.bad_input.small import small_config

CONFIG = small_config("run.epochs = 1", images=(128, 40), schedule="mine")
HEAD = "from cifarzoo import register\n\n\n"
GOOD = f"{HEAD}@register.schedule\ndef mine():\n    '''One.'''\n    return lambda moment: 1.0\n"


def listed(row: int, name: str, plugin: str | bytes, says: str, **more: Any) -> Case:
    """``ls`` with a plugin file: what its source alone tells. No torch."""
    files = {"p.py": plugin, **more.pop("files", {})}
    command = more.pop("command", ("ls", "-p", "p.py"))
    return Case(row=row, name=name, command=command, files=files, says=says, **more)


def used(
    row: int, name: str, plugin: str, says: str, sets: Sequence[str] = (), **more: Any
) -> Case:
    """A dry run that uses a plugin file."""
    options = [part for text in sets for part in ("-s", text)]
    return Case(
        row=row,
        name=name,
        command=("run", "c.gin", "--dry-run", "-p", "p.py", *options),
        files={"p.py": plugin, "c.gin": CONFIG},
        says=says,
        needs_torch=True,
        **more,
    )


def schedule(body: str, *, arguments: str = "", above: str = "") -> str:
    """A plugin whose schedule ``mine`` has this body."""
    return f"{HEAD}{above}@register.schedule\ndef mine({arguments}):\n    '''Mine.'''\n    {body}\n"


def named(name: str, kind: str = "schedule") -> str:
    """A plugin of one component of this name."""
    return f"{HEAD}@register.{kind}\ndef {name}():\n    '''Mine.'''\n"


READ = [
    listed(38, "mistake in the grammar", "def mine(:\n", r"^p\.py:1: "),
    listed(38, "no Python but a picture", b"\x89PNG\r\n\x1a\n\x00\x00", r"^p\.py"),
    listed(38, "no component in it", "x = 1\n", r"^p\.py: it registers no component; expected @reg"),
    listed(38, "no such file", GOOD, r"no plugin file 'q\.py'; did you mean p\.py\?",
           command=("ls", "-p", "q.py")),
    listed(38, "a folder without a component", "x = 1\n", r"^\.: it registers no component; expected @r",
           command=("ls", "-p", ".")),
    listed(38, "a file that needs another", f"{GOOD}\nHERE = __file__\n",
           r"^p\.py:\d+: it looks beside itself by __file__, and a run keeps this file alone"),
    listed(38, "a variable that names no file", GOOD,
           r".*no component 'mine'.*CIFARZOO_PLUGINS: q\.py is broken: no plugin file 'q\.py'",
           command=("check", "quickstart.gin", "-s", "run.schedule=@mine"), environment={"CIFARZOO_PLUGINS": "q.py"}),
    listed(38, "a mistake in a plugin that a check uses", "def mine(:\n", r"^p\.py:1: ",
           command=("check", "quickstart.gin", "-p", "p.py")),
    listed(39, "a name that is taken", named("sgd", "optimizer").replace("()", "(params)"),
           r"^p\.py:5: 'sgd' is already the optimizer of .*pick another name or .*override=True"),
    listed(39, "two files of one name", GOOD, r"^q\.py:5: 'mine' is already the schedule of p\.py:5",
           command=("ls", "-p", "p.py", "-p", "q.py"), files={"q.py": GOOD + "\n"}),
    listed(39, "nothing there to override", GOOD.replace("schedule\n", "schedule(override=True)\n"),
           r"^p\.py:5: nothing named 'mine' to override"),
    listed(39, "another kind is overridden",
           named("flip").replace("schedule\n", "schedule(override=True)\n"),
           r"^p\.py:5: 'flip' is of kind schedule and overrides a component of kind augmentation"),
    listed(40, "no such kind", named("mine", "scheduler"),
           r"^p\.py:5: no component kind 'scheduler'; did you mean schedule\?"),
    listed(40, "keywords without names", schedule("return 1", arguments="**settings"),
           r"^p\.py:5: mine takes \*\*settings, which hides misspelt settings"),
    listed(40, "an optimizer of nothing", named("mine", "optimizer"),
           r"^p\.py:5: the optimizer mine takes no params"),
    listed(40, "registered inside a block",
           f"{HEAD}if True:\n    @register.schedule\n    def mine():\n        '''Mine.'''\n",
           r"^p\.py:6: mine is registered inside a block"),
    listed(40, "a name that gin can't write", named("größe"), r"^p\.py:5: the name 'größe' cannot be"),
    listed(40, "the name of the whole config", named("run"), r"^p\.py:5: the name 'run' is reserved"),
    *(listed(40, f"the engine's own name {name}", named(name, "regularizer"),
             rf"^p\.py:5: the name '{name}' is reserved")
      for name in ("branch", "torch", "batch", "dropout", "order", "subset", "weights", "components")),
]  # fmt: skip
USED = [
    used(38, "an import of what isn't there", f"import nothing_of_that_name\n{GOOD}",
         r"^p\.py:1: it cannot be imported: ModuleNotFoundError: No module named 'nothing"),
    used(38, "raises on import", f"{GOOD}raise ValueError('no\\nway')\n",
         r"^p\.py:\d+: it cannot be imported: ValueError: no way"),
    used(38, "ends the process on import", f"import sys\nsys.exit(0)\n{GOOD}",
         r"^p\.py:2: it cannot be imported: SystemExit: 0"),
    used(40, "a schedule that is none", schedule("return 0.5"),
         r"^c\.gin:6: mine: gives 0\.5 \(float\); expected a function of a Timestamp"),
    used(40, "a schedule that gives nothing", schedule("pass"),
         r"^c\.gin:6: mine: gives None \(NoneType\); expected a function of a Timestamp"),
    used(40, "a schedule of another form", schedule("return lambda: 1.0"),
         r"^c\.gin:6: mine: fails at a Timestamp of step 0: TypeError: "),
    used(40, "a schedule that isn't finite", schedule("return lambda moment: float('nan')"),
         r"^c\.gin:6: mine: gives nan at step 0; expected a finite number"),
    used(40, "a schedule of texts", schedule("return lambda moment: '1'"), r"^c\.gin:6: mine: gives '1' at step 0; expected a finite number"),
    used(40, "a regularizer that is none",
         GOOD + "\n\n@register.regularizer\ndef soft():\n    '''Soft.'''\n    return 3\n",
         r"soft: gives 3 \(int\); expected a cifarzoo\.protocols\.Regularizer", ["run.regularizers=[@soft]"]),
    used(40, "an augmentation that is none",
         GOOD + "\n\n@register.augmentation\ndef blur():\n    '''Blur.'''\n    return None\n",
         r"blur: gives None .*; expected a function of \(images, draws\)", ["run.augmentations=[@blur]"]),
    used(40, "a network that is none",
         GOOD + "\n\n@register.architecture\ndef net(num_classes):\n    '''Net.'''\n    return 1\n",
         r"net: gives 1 \(int\); expected a torch\.nn\.Module", ["run.architecture=@net"]),
    used(40, "an optimizer that is none",
         GOOD + "\n\n@register.optimizer\ndef own(params):\n    '''Own.'''\n    return None\n",
         r"own: gives None .*; expected a torch\.optim\.Optimizer", ["run.optimizer=@own"]),
    used(40, "a dataset that is none",
         GOOD + "\n\n@register.dataset\ndef few(folder):\n    '''Few.'''\n    return []\n",
         r"few: gives \[\] \(list\); expected a cifarzoo\.protocols\.Dataset", ["run.dataset=@few"]),
    used(40, "a decorator that hides what it takes",
         schedule("return lambda moment: 1.0", arguments="*, a: int = 1",
                  above="def hide(f):\n    def mine(**k):\n        return f(**k)\n    return mine\n\n\n")
         .replace("@register.schedule\n", "@register.schedule\n@hide\n"),
         r"^p\.py:\d+: mine takes \*\*k, which hides"),
]  # fmt: skip
CASES = [*READ, *USED]
