# ruff: noqa: E501  # a case is easiest to read on a line

"""Rows 27 to 36, 55 and 56: where runs go, and runs whose folder isn't as they left it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tests.trust.bad_input.case import Case
from tests.trust.bad_input.small import small_config

CONFIG = small_config("run.epochs = 1", "run.checkpoint_steps = 1", images=(32, 20))
HELD: list[Any] = []  # locks that last as long as this process


@cache
def finished() -> Path:
    """The folder of a run that is done, made once."""
    from typer.testing import CliRunner

    from cifarzoo.cli.app import app

    root = Path(tempfile.mkdtemp(prefix="bad-input-run-"))
    (root / "c.gin").write_text(CONFIG)
    done = CliRunner().invoke(app, ["run", str(root / "c.gin"), "--run-dir", str(root / "r")])
    if done.exit_code:
        raise RuntimeError(done.output)
    return root / "r"


def to(name: str, says: str, *options: str, row: int = 27, **more: Any) -> Case:
    """A run whose folder can't be where it is wanted."""
    fixed: dict[str, Any] = {"files": {"c.gin": CONFIG}, "command": ("run", "c.gin", *options)}
    return Case(row=row, name=name, says=says, needs_torch=True, **(fixed | more))


def after(
    row: int, name: str, says: str, change: Callable[[Path], Any], *command: str, **more: Any
) -> Case:
    """A command on a run that was done, after ``change`` of its folder ``r``."""

    def prepare(folder: Path) -> None:
        shutil.copytree(finished(), folder / "r")
        change(folder / "r")

    return Case(row=row, name=name, command=command or ("resume", "r"), says=says, prepare=prepare,
                needs_torch=True, **{"files": {"c.gin": CONFIG}, **more})  # fmt: skip


def unfinished(change: Callable[[Path], Any]) -> Callable[[Path], None]:
    """``change`` of a run that has its checkpoints and isn't done."""

    def both(run: Path) -> None:
        record = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps(record | {"status": "running"}))
        change(run)

    return both


def hold(run: Path) -> None:
    """Hold the lock of a run, as another process would."""
    from filelock import FileLock

    run.mkdir(exist_ok=True)
    HELD.append(FileLock(run / ".lock"))
    HELD[-1].acquire()


def newest(run: Path) -> Path:
    """The last checkpoint."""
    return max((run / "checkpoints").iterdir())


def every(name: str, content: bytes) -> Callable[[Path], None]:
    """Put ``content`` in the place of a file of each checkpoint."""

    def damage(run: Path) -> None:
        for path in (run / "checkpoints").iterdir():
            (path / name).write_bytes(content)

    return damage


def loop(folder: Path) -> None:
    """A link that leads to itself."""
    (folder / "r").symlink_to("r")


def nothing(_: Path) -> None:
    """Leave it as it is."""


def move(run: Path) -> None:
    """Give the folder another name."""
    run.rename(run.with_name("elsewhere"))


ALL = ("r", "elsewhere")
DONE = "test error"
PLACES = [
    to("a file for the folder of runs", r"c\.gin/c/\S+ cannot be written to: Not a directory", "--out", "c.gin"),
    to("a folder that can't be made", r"/proc/x/c/\S+ cannot be written to: No such file", "--out", "/proc/x"),
    to("a file for the folder of the run", r"c\.gin is not a folder", "--run-dir", "c.gin"),
    to("a device for the folder of the run", r"/dev/null is not a folder", "--run-dir", "/dev/null"),
    to("a folder below a file", r"c\.gin/r cannot be written to: Not a directory", "--run-dir", "c.gin/r"),
    to("a folder that leads to itself", r"^r cannot be written to: ", "--run-dir", "r", prepare=loop),
    to("a name of 300 letters", r"is no path of a folder: File name too long", "--run-dir", "n" * 300),
    to("a path of 5,000 letters", r"is no path of a folder: File name too long", "--run-dir", "n/" * 2500),
    to("runs in a name of 300 letters", r"File name too long", "--out", "n" * 300),
    to("a name with NUL", r"NUL|null", "--run-dir", "a\0b"),
    to("runs in a name with NUL", r"NUL|null", "--out", "a\0b"),
    to("an empty name", r"--run-dir|holds other files|empty", "--run-dir", ""),
    to("a folder of other files", r"holds other files; expected an empty folder or one of a run", "--run-dir", ".", row=30),
    *(to(f"a config called {name!r}", "", files={f"{name}.gin": CONFIG}, exit_code=0,
         lines=None, leaves=("o",), command=("run", f"./{name}.gin", "-s", "run.max_steps=1", "--out", "o"))
      for name in ("-x", "größe 🙂", "\u202egnp", "...", "a\nb")),
]  # fmt: skip
RUNS = [
    after(28, "a run that is done", r"r/?.*", nothing, exit_code=0, lines=None),
    after(28, "a run that is done, and its first command", "r", nothing, "run", "c.gin", "--run-dir", "r", exit_code=0, lines=None),
    after(29, "another config in its folder", r"r holds a run of another config: optimizer\.sgd\.lr is \S+ there and 0\.2 here",
          nothing, "run", "c.gin", "--run-dir", "r", "-s", "sgd.lr=0.2"),
    after(31, "a run that is at work", r"r is in use by another run \(process \d+ on \S+, since \d{4}-", hold),
    after(32, "a lock that was left", "", lambda run: (run / ".lock").write_text("99999"), "eval", "r", exit_code=0, prints=DONE),
    after(33, "a config that isn't the checkpoint's", r"r holds a run of another config: optimizer\.sgd\.lr is \S+ there and 0\.3 here",
          unfinished(lambda run: (run / "config.gin").write_text(CONFIG + "sgd.lr = 0.3\n")), leaves=ALL),
    after(33, "a config that is damaged", r"r/config\.gin:1: ", lambda run: (run / "config.gin").write_text("run.x = 1\n"), lines=None),
    after(33, "a config that is binary", r"^r/config\.gin cannot be read: .*utf-8.*; put back what the run wrote", lambda run: (run / "config.gin").write_bytes(b"\xff\xfe\x00")),
    after(34, "checkpoints that are all empty", r"r/checkpoints.*(damaged|none)", unfinished(every("state.pt", b"")), lines=None, leaves=ALL),
    after(34, "manifests that are all garbage", r"r/checkpoints.*(damaged|none)", unfinished(every("manifest.json", b"{")), lines=None, leaves=ALL),
    after(34, "all of them gone", r"r.*", unfinished(lambda run: shutil.rmtree(run / "checkpoints")), "eval", "r"),
    after(34, "a file for the folder of checkpoints", r"r/checkpoints cannot be used: it is a file; expected a folder",
          unfinished(lambda run: (shutil.rmtree(run / "checkpoints"), (run / "checkpoints").write_text("x"))), "eval", "r"),
    after(35, "a pickle that runs something", r"damaged", unfinished(every("state.pt", b"cposix\nsystem\n(S'touch ran'\ntR.")), lines=None, leaves=ALL),
    after(36, "a checkpoint under another step", r"step-00000009.*(damaged|step)", unfinished(lambda run: newest(run).rename(run / "checkpoints/step-00000009")),
          exit_code=0, lines=None, leaves=ALL),
    after(55, "metrics that are cut", r"r/metrics\.jsonl lacks \d+ of the \d+ bytes", unfinished(lambda run: (run / "metrics.jsonl").write_text("")), lines=None, leaves=ALL),
    after(55, "a record that is no JSON", r"^r/run\.json is not JSON", lambda run: (run / "run.json").write_text("{")),
    after(55, "a record that is no text", r"^r/run\.json ", lambda run: (run / "run.json").write_bytes(b"\xff\xfe")),
    after(55, "a record of another shape", r"^r/run\.json holds no JSON object", lambda run: (run / "run.json").write_text("[]")),
    after(55, "a folder for a record", r"^r/run\.json", lambda run: ((run / "run.json").unlink(), (run / "run.json").mkdir())),
    after(55, "a record whose entries have other types", r"^r/run\.json",
          lambda run: (run / "run.json").write_text('{"status": "running", "config": 3, "world_size": "two", "process": 5, "data_folder": []}')),
    after(56, "a folder that was moved", "", move, "eval", "elsewhere", exit_code=0, prints=DONE),
    after(56, "a folder that was moved, by its old name", r"no run 'r' in runs, which has none", move, "eval", "r"),
]  # fmt: skip
CASES = [*PLACES, *RUNS]
