# ruff: noqa: E501  # a case is easiest to read on a line

"""Rows 10, 42 to 44 and 50: what is typed, which device is asked for, where the output goes."""

from __future__ import annotations

from typing import Any

from tests.trust.bad_input.case import Case

SMALL = """\
run.architecture = @resnet8
run.dataset = @glyphs
glyphs.train_images = 64
glyphs.test_images = 40
run.optimizer = @sgd
run.schedule = @constant
run.batch_size = 16
run.epochs = 1
"""


def typed(name: str, *command: str, says: str, **more: Any) -> Case:
    """A command that isn't one; no torch."""
    return Case(row=10, name=name, command=command, says=says, **more)


def shown(row: int, name: str, shell: str, *command: str, says: str = "", **more: Any) -> Case:
    """A command in a process of its own, whose output goes where ``shell`` sends it."""
    return Case(row=row, name=name, shell=shell, command=command, says=says, **more)


TYPED = [
    typed("a misspelt command", "runn", says=r"no such command 'runn'; did you mean 'run', 'runs'; see cifarzoo -h$"),
    typed("a misspelt option", "run", "c.gin", "--sed", "3", says=r"no such option: --sed \(possible options: --seed, --set\); see cifarzoo run -h$"),
    typed("an option before the command", "--seed", "3", says="no such option: --seed; see cifarzoo -h$"),
    typed("nothing to run", "run", says=r"missing argument 'CONFIG'; see cifarzoo run -h$"),
    typed("one argument too many", "run", "a.gin", "b.gin", says=r"b\.gin"),
    typed("an option without a value", "run", "c.gin", "--seed", says=r"option '--seed' requires an argument"),
    typed("a seed that is no number", "run", "c.gin", "--seed", "x", says=r"--seed.*'x'"),
    typed("processes that are no number", "run", "c.gin", "-n", "two", says=r"--nproc.*'two'"),
    typed("no such component", "show", "sdg", says=r"no component 'sdg'; did you mean sgd\?"),
    typed("a component that is nearly a recipe", "show", "quickstat", says=r"did you mean quickstart\.gin\?"),
    typed("no such kind", "ls", "wizards", says=r"'wizards'"),
    typed("no such dataset", "data", "fetch", "cifar11", says=r"'cifar11'; did you mean cifar10"),
    typed("no such mirror", "data", "fetch", "--mirror", "zenod", says=r"'zenod'; did you mean zenodo\?$"),
    typed("a command of data that isn't one", "data", "fetsh",
          says=r"no such command 'fetsh'; did you mean 'fetch'; see cifarzoo data -h$"),
    typed("nothing to check", "check", says=r"CONFIG"),
]  # fmt: skip
DEVICES = [
    Case(row=42, name="no process", command=("run", "c.gin", "-n", "0"), files={"c.gin": SMALL},
         says="--nproc is 0; expected at least 1", needs_torch=True),
    Case(row=42, name="a negative number of processes", command=("run", "c.gin", "-n", "-2"),
         files={"c.gin": SMALL}, says="--nproc is -2; expected at least 1", needs_torch=True),
    Case(row=42, name="more processes than the machine can hold", files={"c.gin": SMALL},
         command=("run", "c.gin", "-n", "1000"), says="--nproc is 1000, and this machine has",
         needs_torch=True),
]  # fmt: skip
OUTPUT = [
    shown(50, "a full disk behind stdout", '"$@" > /dev/full', "ls", exit_code=1,
          says="^stdout cannot be written: No space left on device"),
    shown(50, "a full disk behind JSON", '"$@" > /dev/full', "ls", "--json", exit_code=1,
          says="^stdout cannot be written: No space left on device"),
    shown(50, "a full disk behind a short answer", '"$@" > /dev/full', "check", "quickstart.gin",
          exit_code=1, says="^stdout cannot be written: No space left on device"),
    shown(50, "a full disk behind the version", '"$@" > /dev/full', "--version",
          exit_code=1, says="^stdout cannot be written: No space left on device"),
    shown(50, "a full disk behind help", '"$@" > /dev/full', "run", "--help",
          exit_code=1, says="^stdout cannot be written: No space left on device"),
    shown(50, "a full disk behind stderr", '"$@" 2> /dev/full', "check", "nope.gin"),
    shown(49, "a reader that leaves", 'set -o pipefail; "$@" | head -1', "ls", exit_code=0,
          prints="^architectures$"),
    shown(49, "a reader of JSON that leaves", 'set -o pipefail; "$@" | head -c 1', "ls", "--json",
          exit_code=0, prints=r"^\[$"),
    shown(49, "a reader that never came", '"$@" | true; exit "${PIPESTATUS[0]}"', "ls",
          exit_code=0),
    shown(50, "stdout that is closed", '"$@" >&-', "ls", exit_code=0),
    shown(50, "stderr that is closed", '"$@" 2>&-', "check", "nope.gin"),
    shown(50, "stdout that knows ASCII alone", '"$@"', "show", "wrn26_10", exit_code=0,
          environment={"PYTHONIOENCODING": "ascii"}, prints="wrn26_10"),
    shown(50, "a C locale", '"$@"', "show", "cosine", exit_code=0, prints="cosine",
          environment={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    shown(50, "stderr that knows ASCII alone", '"$@"', "check", "größe.gin", says="no config",
          environment={"PYTHONIOENCODING": "ascii"}),
    shown(50, "a terminal of 20 columns that can do nothing", '"$@"', "ls", "schedule", exit_code=0,
          environment={"TERM": "dumb", "COLUMNS": "20"}, prints="cosine"),
    shown(50, "a width that is no number", '"$@"', "ls", "schedule", exit_code=0,
          environment={"COLUMNS": "wide"}, prints="cosine"),
]  # fmt: skip
SENT: dict[str, Any] = {
    "files": {"c.gin": SMALL},
    "needs_torch": True,
    "leaves": ("runs",),
    "lines": None,
}
TRAINING = [
    shown(49, "a reader of a training's JSON that leaves", 'set -o pipefail; "$@" | head -1', "run", "c.gin", "--json",
          says="^warning: progress is lost: Broken pipe$", exit_code=0, prints='"event": "start"', **SENT),
    shown(49, "a reader of a training's progress that leaves", 'set -o pipefail; "$@" 2>&1 | head -1', "run", "c.gin",
          exit_code=0, prints="c", **SENT),
    shown(50, "a full disk behind a training's JSON", '"$@" > /dev/full; s=$?; grep -q done runs/*/*/run.json && exit $s', "run",
          "c.gin", "--json", says="stdout cannot be written: No space left on device$", exit_code=1, **SENT),
    shown(50, "a full disk behind a training's progress", '"$@" 2> /dev/full', "run", "c.gin", exit_code=0, **SENT),
]  # fmt: skip
CASES = [*TYPED, *DEVICES, *OUTPUT, *TRAINING]
