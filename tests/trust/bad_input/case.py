"""One case of bad input, how it is tried, and what is wrong with how it went.

Each case has a folder of its own, with ``work`` (where the command runs), ``home`` and ``tmp``
in it, so that a file that is left anywhere is seen. Nothing here imports torch for a case that
needs none.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

MOST_SECONDS = 10  # to a refusal
LARGE = 1 << 30  # bytes of a file that isn't read: one of nothing
HANGS = 300  # wall time of a process
CACHES = "caches"  # where torch may make folders of its own
OURS = re.compile(
    r"CIFARZOO_|TORCHINDUCTOR_|RANK$|WORLD_SIZE$|LOCAL_RANK$|MASTER_|XDG_STATE_HOME$|COLUMNS$|TERM$|NO_COLOR$"
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Something a user does that can't work, or that looks as if it couldn't.

    Attributes:
        row: Of the catalogue.
        name: What is tried, in words.
        command: What stands after ``cifarzoo``.
        says: Regular expression that the line on stderr has to hold.
        exit_code: Expected.
        files: Text or bytes by path, in the folder where the command runs.
        prepare: What else is done there beforehand, after the files are written.
        environment: Variables; None: not set.
        shell: A bash line in which ``"$@"`` is the command, where a process is needed.
        lines: Lines on stderr, without indented ones, the user's own of a plugin that fails; None:
            as many as there are.
        prints: Regular expression that stdout has to hold; nothing: stdout stays empty.
        leaves: Names at the top of the folder that may come to be or change.
        needs_torch: Whether the command imports torch.
    """

    row: int
    name: str
    command: tuple[str, ...]
    says: str = ""
    exit_code: int = 2
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    prepare: Callable[[Path], None] | None = None
    environment: Mapping[str, str | None] = field(default_factory=dict)
    shell: str | None = None
    lines: int | None = 1
    prints: str = ""
    leaves: tuple[str, ...] = ()
    needs_torch: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a case went.

    Attributes:
        exit_code: Of the command.
        stdout: What it printed.
        stderr: What it said.
        crash: The exception that no code of cifarzoo's took care of, or nothing.
        changed: Files that came to be, changed or went.
        imported: Whether torch was imported on the way.
        seconds: Of CPU time: a busy machine is no fault.
    """

    exit_code: int
    stdout: str
    stderr: str
    crash: str
    changed: tuple[str, ...]
    imported: bool
    seconds: float


def attempt(case: Case, root: Path) -> Outcome:
    """Try ``case`` in the empty folder ``root``."""
    work = root / "work"
    for folder in (work, root / "home", root / "tmp"):
        folder.mkdir(parents=True)
    for name, content in case.files.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    if case.prepare:
        case.prepare(work)
    if case.needs_torch and not case.shell:
        import torch  # noqa: F401  # whose import takes as long as it takes
    before, had_torch, started = _snapshot(root), "torch" in sys.modules, _cpu_seconds()
    with _surroundings(case, root):
        went = _in_a_process(case) if case.shell else _in_this_process(case)
    seconds = _cpu_seconds() - started
    after = _snapshot(root)
    changed = sorted(name for name in before | after if before.get(name) != after.get(name))
    imported = not had_torch and "torch" in sys.modules
    exit_code, stdout, stderr, crash = went
    return Outcome(
        exit_code=exit_code,
        stdout=stdout,
        stderr=stderr,
        crash=crash,
        changed=tuple(changed),
        imported=imported,
        seconds=seconds,
    )


def problems(case: Case, outcome: Outcome) -> list[str]:
    """What of ``outcome`` isn't as ``case`` expects, a line each."""
    return list(_problems(case, outcome))


def _problems(case: Case, outcome: Outcome) -> Iterator[str]:
    lines = outcome.stderr.splitlines()
    if outcome.crash or "Traceback (most" in outcome.stderr:
        yield f"a traceback: {outcome.crash or lines[-1]}"
    if outcome.exit_code != case.exit_code:
        yield f"exit code {outcome.exit_code}, expected {case.exit_code}"
    told = [line for line in lines if not line.startswith("  ")]
    if case.lines is not None and len(told) != (case.lines if case.says else 0):
        yield f"{len(lines)} lines on stderr: {outcome.stderr!r}"
    if not re.search(case.says, outcome.stderr):
        yield f"stderr is {outcome.stderr!r}, expected {case.says!r}"
    if not case.prints and outcome.stdout:
        yield f"stdout is {outcome.stdout[:200]!r}, expected nothing"
    if not re.search(case.prints, outcome.stdout):
        yield f"stdout is {outcome.stdout[:500]!r}, expected {case.prints!r}"
    left = [name for name in outcome.changed if not name.startswith(_allowed(case))]
    if left:
        yield f"left or changed {', '.join(left[:5])}"
    if outcome.imported and not case.needs_torch:
        yield "torch was imported"
    if case.exit_code and outcome.seconds > MOST_SECONDS:
        yield f"{outcome.seconds:.0f} s, expected at most {MOST_SECONDS}"


def _allowed(case: Case) -> tuple[str, ...]:
    return tuple(f"work/{name}" for name in case.leaves)


def _in_this_process(case: Case) -> tuple[int, str, str, str]:
    from typer.testing import CliRunner

    from cifarzoo.cli.app import app

    done = CliRunner().invoke(app, list(case.command), prog_name="cifarzoo")
    crash = "" if isinstance(done.exception, SystemExit | None) else repr(done.exception)
    return done.exit_code, done.stdout, done.stderr, crash


def _in_a_process(case: Case) -> tuple[int, str, str, str]:
    command = [sys.executable, "-m", "cifarzoo", *case.command]
    try:
        done = subprocess.run(
            ["bash", "-c", str(case.shell), "bash", *command],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=HANGS,
        )
    except subprocess.TimeoutExpired:
        return 0, "", "", f"no end within {HANGS} s"
    stdout, stderr = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    return done.returncode, stdout, stderr, ""


@contextmanager
def _surroundings(case: Case, root: Path) -> Iterator[None]:
    """The folder and the environment of a case; those of this process come back after it."""
    folder, environment = Path.cwd(), dict(os.environ)
    for name in [name for name in os.environ if OURS.match(name)]:
        del os.environ[name]
    os.environ |= {"HOME": str(root / "home"), "TMPDIR": str(root / "tmp"), "NO_COLOR": "1"}
    os.environ |= {"XDG_CACHE_HOME": str(root / CACHES)}
    for name, value in case.environment.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value.replace("{root}", str(root))
    os.chdir(root / "work")
    try:
        yield
    finally:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)


def _cpu_seconds() -> float:
    """Of this process and of those that have ended."""
    return sum(os.times()[:4])


def _snapshot(root: Path) -> dict[str, str]:
    """What lies below ``root``: a digest of each file, the target of each link."""
    found: dict[str, str] = {}
    for folder, folders, files in os.walk(root):
        if Path(folder) == root and CACHES in folders:
            folders.remove(CACHES)
        for name in [*folders, *files]:
            path = Path(folder, name)
            if path.is_symlink():
                content = f"-> {path.readlink()}"
            elif path.is_file() and path.stat().st_size > LARGE:
                content = f"{path.stat().st_size} bytes"
            elif path.is_file():
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                content = "folder" if path.is_dir() else "something else"
            found[str(path.relative_to(root))] = content
    return found
