# ruff: noqa: E501  # a case is easiest to read on a line

"""Rows 61, 67 and 72: runs and data that somebody else wrote, a user's own files, shared /tmp."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.trust.bad_input.case import Case
from tests.trust.bad_input.folders import CONFIG, DONE, after, unfinished

PLUGIN = """from cifarzoo import register


@register.schedule
def mine():
    \"\"\"One.\"\"\"
    return lambda moment: 1.0
"""
MINE = CONFIG.replace("@constant", "@mine")
NO_DATA = "".join(
    f"{line}\n"
    for line in MINE.replace("@glyphs", "@cifar10").splitlines()
    if "glyphs." not in line
)
BY_HAND: dict[str, str | bytes] = {
    "r/config.gin": NO_DATA,
    "r/plugins/mine.py": PLUGIN,
    "r/.run.json.swp": "of an editor",
}
WORDS = "CIFAR-10 needs a folder"


def by_hand(
    name: str, says: str, *command: str, change: dict[str, str | bytes] | None = None, **more: Any
) -> Case:
    """A command in a folder that somebody wrote by hand, whose files have to stay as they are."""
    fixed = {"needs_torch": True, "files": {**BY_HAND, **(change or {})}}
    return Case(row=61, name=name, command=command, says=says, **(fixed | more))


RUN = ("run", "r/config.gin", "-p", "r/plugins/mine.py", "--run-dir", "r")
OWN = [
    by_hand("resume of a config by hand that can't start", WORDS, "resume", "r", "--trust-plugins", lines=2,
            environment={"CIFARZOO_STATE": "{root}/work/state"}, leaves=("state",)),
    by_hand("a run in its folder", WORDS, *RUN),
    by_hand("the same on two ranks", WORDS, *RUN, "--nproc", "2"),
    by_hand("the same with every value beside it", WORDS, *RUN, change={"r/resolved.gin": "# mine\n"}),
    by_hand("the same in an empty folder", WORDS, "run", "r/config.gin", "-p", "r/plugins/mine.py", "--run-dir", "new/r"),
    by_hand("metrics of no run", r"r/metrics\.jsonl is there, and no run\.json of the run that it is of; put that back, or take",
            "resume", "r", "--trust-plugins", change={"r/metrics.jsonl": '{"epoch": 1}\n'}, lines=2,
            environment={"CIFARZOO_STATE": "{root}/work/state"}, leaves=("state",)),
    by_hand("another plugin where a copy would go", r"r/plugins/mine\.py is there, and isn't the plugin that this run has to keep",
            "run", "r/config.gin", "-p", "mine.py", "--run-dir", "r", change={"mine.py": PLUGIN, "r/plugins/mine.py": "# other\n"}),
    by_hand("an editor's file where a run would begin", r"e holds other files; expected an empty folder or one of a run",
            "run", "r/config.gin", "-p", "r/plugins/mine.py", "--run-dir", "e", change={"e/.config.gin.swp": "of an editor"}),
]  # fmt: skip


def in_place(name: str, make: Callable[[Path], Any]) -> Callable[[Path], None]:
    """``make`` something in the place of a file or folder of a run that isn't done."""

    def change(run: Path) -> None:
        if name == ".lock" or not (run / name).exists():
            (run / name).unlink(missing_ok=True)
        else:
            (run / name).rename(run.parent / "mine")
        make(run / name)

    return unfinished(change)


def link(path: Path) -> None:
    """A link to what was there, or to a file of the user's."""
    mine = next(each / "mine" for each in path.parents if (each / "c.gin").exists())
    if not mine.exists():
        mine.write_text("mine")
    path.symlink_to(mine)


def every_state(make: Callable[[Path], Any]) -> Callable[[Path], None]:
    """``make`` something in the place of the state of each checkpoint."""

    def change(run: Path) -> None:
        for number, path in enumerate(sorted((run / "checkpoints").iterdir())):
            (path / "state.pt").rename(run.parent / f"mine{number}")
            make(path / "state.pt")

    return unfinished(change)


def linked_steps(run: Path) -> None:
    """Links in the place of all checkpoints."""
    for path in (run / "checkpoints").iterdir():
        path.rename(run.parent / path.name)
        path.symlink_to(run.parent / path.name)


def plugin(make: Callable[[Path], Any]) -> Callable[[Path], None]:
    """``make`` a plugin of a run."""

    def change(run: Path) -> None:
        (run / "plugins").mkdir()
        make(run / "plugins/x.py")

    return unfinished(change)


def moved(run: Path) -> None:
    """Leave a link to the folder, on another disk."""
    run.rename(run.with_name("disk"))
    run.symlink_to("disk")


LINK, PIPE = (
    "it is a link to '/.*'; expected the file itself",
    "it is a named pipe; expected a file",
)
FILES = ("config.gin", "resolved.gin", "run.json", "metrics.jsonl", "predictions.npz", ".lock")
FOLDERS = ("checkpoints", "tensorboard", "plugins")
NOTED = ("r/run.json", "r/.lock")
ODD = [
    *(after(67, f"a link for {name}", rf"^r/{name}.*: {LINK}", in_place(name, link), exit_code=2) for name in FILES),
    *(after(67, f"a pipe for {name}", rf"^r/{name}.*: {PIPE}", in_place(name, os.mkfifo)) for name in FILES[1:]),
    *(after(67, f"a link for {name}/", rf"^r/{name} cannot be used: it is a link to '/.*'; expected the folder itself", in_place(name, link))
      for name in FOLDERS),
    *(after(67, f"a pipe for {name}, and eval", rf"^r/{name} cannot be read: {PIPE}", in_place(name, os.mkfifo), "eval", "r")
      for name in ("run.json",)),
    after(67, "a pipe for config.gin", r"^r is not the folder of a run: it has no config\.gin", in_place("config.gin", os.mkfifo), "eval", "r"),
    after(67, "a link for checkpoints/, and eval", r"^r/checkpoints cannot be used: it is a link", in_place("checkpoints", link), "eval", "r"),
    after(67, "a pipe for each state", rf"state\.pt cannot be read: {PIPE}.*(\n.*)*all \d+ checkpoints in r/checkpoints are damaged",
          every_state(os.mkfifo), lines=None, leaves=NOTED),
    after(67, "a link for each state", rf"state\.pt cannot be read: {LINK}.*(\n.*)*all \d+ checkpoints", every_state(link), "eval", "r", lines=None),
    after(67, "links for all checkpoints", r"it is a link to '/.*'; expected the folder itself.*(\n.*)*all \d+ checkpoints", unfinished(linked_steps), "eval", "r", lines=None),
    after(67, "a link for a plugin", rf"^r/plugins/x\.py cannot be used: {LINK}", plugin(link)),
    after(67, "a pipe for a plugin", rf"^r/plugins/x\.py cannot be used: {PIPE}", plugin(os.mkfifo), "eval", "r"),
    after(67, "a run that lies on another disk, by a link", "", moved, "eval", "r", exit_code=0, prints=DONE),
    after(67, "a folder of runs that leads to everything", r"^\. has more than 20,000 folders besides runs, with those that its links lead to",
          lambda run: (run.parent / "all").symlink_to("/"), "resume", "latest", "--out", "."),
]  # fmt: skip


def found(
    name: str, says: str, path: str, make: Callable[[Path], Any], *command: str, **more: Any
) -> Case:
    """A command on a data folder ``d`` in which ``path`` is no file, or folder, itself."""

    def prepare(folder: Path) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        make(folder / path)

    files = {"mine": "mine", "c.gin": NO_DATA.replace("@mine", "@constant")}
    return Case(row=67, name=name, command=command or ("data", "verify", "cifar10", "--data", "d"), says=says,
                **{"files": files, "prepare": prepare, **more})  # fmt: skip


def to_mine(path: Path) -> None:
    """A link to a file of the user's."""
    path.symlink_to(next(each / "mine" for each in path.parents if (each / "mine").exists()))


ARCHIVE, BATCH, PARQUET = (
    "d/cifar-10-binary.tar.gz",
    "d/cifar-10-batches-bin/data_batch_1.bin",
    "d/train-00000-of-00001.parquet",
)
FETCH = ("data", "fetch", "cifar10", "--data", "d")
TO = r"it is a link to '/.*'; expected the file itself"
DATA = [
    *(found(f"a link for {path}", rf"^cannot read {path}: {TO}; name the folder where it lies by --data", path, to_mine) for path in (ARCHIVE, BATCH, PARQUET)),
    *(found(f"a pipe for {path}", rf"^cannot read {path}: {PIPE}", path, os.mkfifo) for path in (ARCHIVE, BATCH, PARQUET)),
    found("a device that never ends for an archive", r"it is a link to '/dev/zero'; expected the file itself", ARCHIVE, lambda path: path.symlink_to("/dev/zero")),
    found("a link for a folder of the dataset", r"^cannot read d/cifar10: it is a link to '/.*'; expected the folder itself", "d/cifar10", to_mine),
    found("a run of a pipe", rf"^cannot read {ARCHIVE}: {PIPE}", ARCHIVE, os.mkfifo, "run", "c.gin", "--data", "d", needs_torch=True),
    *(found(f"fetching where there is a link for {path}", rf"^{path} cannot be used: {TO}; take it away, or name another --data", path, to_mine, *FETCH)
      for path in (ARCHIVE, f"{ARCHIVE}.part")),
    found("fetching where there is a pipe", rf"^{ARCHIVE}\.part cannot be used: {PIPE}; take it away", f"{ARCHIVE}.part", os.mkfifo, *FETCH),
    *(found(f"first weights from {name}", says, "d/pipe", os.mkfifo, "run", "w.gin", needs_torch=True,
            files={"w.gin": f"{CONFIG}run.initial_weights = '{name}'\n"})
      for name, says in (("d/pipe", "it is a named pipe; expected a file"), ("/dev/zero", "it is a device; expected a file"))),
]  # fmt: skip


def caches(
    name: str,
    shell: str,
    prints: str = "",
    prepare: Callable[[Path], Any] | None = None,
    **more: Any,
) -> Case:
    """A run in a process of its own; nothing may be left in the folder for temporary files."""
    return Case(row=72, name=name, command=("run", "c.gin", "-s", "run.max_steps=1", "--run-dir", "o"), shell=shell, prints=prints, exit_code=0,
                files={"c.gin": CONFIG}, prepare=prepare, leaves=("o",), needs_torch=True, **more)  # fmt: skip


def guessed(folder: Path) -> None:
    """The folder that torch takes by itself, as somebody else may make it first."""
    (folder.parent / "tmp" / f"torchinductor_{getpass.getuser()}").mkdir(mode=0o777)


QUIETLY = '"$@" >/dev/null 2>&1 || exit 9; '
OWNED = [
    caches("the mode of torch's caches", QUIETLY + 'stat -c %a "$XDG_CACHE_HOME"/cifarzoo/torch', "^700$"),
    caches("a folder in /tmp that was there first", QUIETLY + 'ls -A "$TMPDIR"/torchinductor_*', prepare=guessed),
    caches("no home folder for caches", QUIETLY + 'ls -A "$TMPDIR"', environment={"XDG_CACHE_HOME": "", "HOME": "/proc/none"}),
]  # fmt: skip
CASES = [*OWN, *ODD, *DATA, *OWNED]
