"""S1, S2: signals in every phase of a run, to one process and to a launcher with two ranks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cifarzoo.errors import EXIT_INTERRUPTED, EXIT_STOPPED
from cifarzoo.run_folders.folder import RunFolder
from tests.trust.attempts import Attempt, Ended, attempt, end_orphans, orphans
from tests.trust.cases import COMPARED, EQUAL, FAULTS, HUNG, Budget, Check, Outcome
from tests.trust.phases import CONFIG, MARK, PHASE, PHASES, PLUGIN, STEP, STEP_SECONDS
from tests.trust.workload import (
    finals,
    leftovers,
    saved_step,
    shortfalls,
)

ROOT = Path(__file__).parents[2]
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
PROMPT = 5.0  # seconds in which a run ends that is stopped
LINGERING = 30.0  # in which the last process of a session has gone
EARLY = 10.0  # and one that is stopped before it trains, whose ranks wait for each other
# Steps that may be done when a run stops that was paused in a phase. A rank takes part in the
# step that it is in and, if it was not yet asked in that one, in the next.
STOPS_AT = {"build": (1, 2), "step": (STEP + 1, STEP + 2), "eval": (12, 13), "save": (8, 9)}


def command(folder: str, *arguments: str) -> None:
    """``cifarzoo ...`` in ``folder``, as the console script runs it."""
    from cifarzoo.cli import main

    os.chdir(folder)
    sys.argv = ["cifarzoo", *arguments]
    main()


def run_arguments(name: str, num_ranks: int) -> list[str]:
    """The command that starts a run, or goes on with it."""
    ranks = ["--nproc", str(num_ranks)] if num_ranks > 1 else []
    return ["run", "small.gin", "-p", "paused.py", "--run-dir", name, "--json", *ranks]


def prepare(root: Path) -> None:
    """Write the config and the plugin."""
    (root / "small.gin").write_text(CONFIG)
    (root / "paused.py").write_text(PLUGIN)


# S1


def every_phase(budget: Budget) -> Iterator[Outcome]:
    """Send each signal in each phase."""
    root = budget.scratch
    prepare(root)
    for num_ranks in (1, 2) if not budget.is_fast else (1,):
        whole = f"whole{num_ranks}"
        arguments = run_arguments(whole, num_ranks)
        ended = attempt(command, str(root), *arguments, log=root / f"{whole}.log")
        assert ended.code == 0, ended.said
        expected = finals(RunFolder(root / whole))
        for phase in PHASES:
            for number in SIGNALS[: budget.take(4, 1)]:
                yield _in_phase(root, phase, number, num_ranks=num_ranks, expected=expected)


def _in_phase(
    root: Path, phase: str, number: signal.Signals, *, num_ranks: int, expected: dict[str, str]
) -> Outcome:
    name = f"{phase}-{number.name}-{num_ranks}"
    log, mark = root / f"{name}.log", root / f"{name}.mark"
    environment = {PHASE: phase, MARK: str(mark)}
    arguments = run_arguments(name, num_ranks)
    running = Attempt(command, str(root), *arguments, log=log, environment=environment)
    _until(lambda: mark.exists() or not running.is_alive)
    sent = running.send(number)
    ended = running.wait(since=sent)
    left = orphans(patience=PROMPT)
    end_orphans()
    folder = RunFolder(root / name)
    at = saved_step(folder)
    again = attempt(command, str(root), *arguments, log=root / f"{name}.again.log")
    problems = _problems_of(phase, ended, at)
    problems += ["left processes behind"] * bool(left)
    short = shortfalls(again, folder, expected, what="then ", ignored=("kept",))
    problems += short
    problems += [f"leaves {file}" for file in leftovers(folder)]
    figure = f"exit code {ended.code}, checkpoint of step {at}, {ended.seconds:.1f} s, byte-equal"
    return Outcome(
        name=f"{number.name} in {phase}, {num_ranks} processes",
        passed=not problems,
        figure="; ".join(problems) or figure,
        counts={
            FAULTS: 1,
            COMPARED: 1,
            EQUAL: int(not short),
            HUNG: ended.hung + again.hung,
        },
        largest={"seconds to the end": round(ended.seconds, 1)},
    )


def _problems_of(phase: str, ended: Ended, at: int) -> list[str]:
    if phase == "import":  # nothing to save yet: the signal's own effect, or a word
        problems = [f"exit code {ended.code}"] * (ended.code == 0)
        problems += [f"checkpoint of step {at}"] * (at != 0)
        limit = EARLY
    else:
        problems = [f"exit code {ended.code}: {ended.said[-300:]}"] * (ended.code != EXIT_STOPPED)
        problems += [f"checkpoint of step {at}"] * (at not in STOPS_AT[phase])
        limit = PROMPT
    problems += [f"took {ended.seconds:.1f} s"] * (ended.seconds > limit)
    return problems + ["traceback"] * ("Traceback" in ended.said)


# S2


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Something done to a real command, in a session of its own, while it trains.

    Attributes:
        do: Does it to the process.
        num_ranks: Processes that train.
        codes: Exit codes that are promised.
        saves: Whether a checkpoint of the step that it stopped at is.
    """

    do: Callable[[subprocess.Popen[bytes]], None]
    num_ranks: int = 1
    codes: tuple[int, ...] = (EXIT_STOPPED,)
    saves: bool = True


def to_group(number: int) -> Callable[[subprocess.Popen[bytes]], None]:
    """A signal to everything in the session, as a terminal sends it."""
    return lambda process: os.killpg(process.pid, number)


def to_leader(number: int) -> Callable[[subprocess.Popen[bytes]], None]:
    """A signal to the process that was started alone."""
    return lambda process: os.kill(process.pid, number)


def twice(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C, and again within a step."""
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)


def stop_for_a_while(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-Z, and on after two seconds."""
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(2)
    os.killpg(process.pid, signal.SIGCONT)


def stop_a_rank(process: subprocess.Popen[bytes]) -> None:
    """Stop one rank for two seconds."""
    ranks = _ranks_of(process.pid)
    os.kill(ranks[-1], signal.SIGSTOP)
    time.sleep(2)
    os.kill(ranks[-1], signal.SIGCONT)


SCENES = {
    "SIGKILL of the launcher": Scene(
        do=to_leader(signal.SIGKILL), num_ranks=2, codes=(-signal.SIGKILL,)
    ),
    "Ctrl-C to the group": Scene(do=to_group(signal.SIGINT)),
    "Ctrl-C to the group, two ranks": Scene(do=to_group(signal.SIGINT), num_ranks=2),
    "Ctrl-C twice": Scene(do=twice, codes=(EXIT_INTERRUPTED, EXIT_STOPPED), saves=False),
    "Ctrl-C twice, two ranks": Scene(
        do=twice, num_ranks=2, codes=(EXIT_INTERRUPTED, EXIT_STOPPED), saves=False
    ),
    "a terminal that is closed": Scene(do=to_group(signal.SIGHUP)),
    "a terminal that is closed, two ranks": Scene(do=to_group(signal.SIGHUP), num_ranks=2),
    "Ctrl-Z, then on": Scene(do=stop_for_a_while, codes=(0,)),
    "a rank that is stopped for a while": Scene(do=stop_a_rank, num_ranks=2, codes=(0,)),
}


def scenes(budget: Budget) -> Iterator[Outcome]:
    """What terminals, shells and schedulers do, to the real command."""
    root = budget.scratch
    prepare(root)
    expected = {}
    for num_ranks in (1, 2):
        name = f"whole{num_ranks}"
        arguments = run_arguments(name, num_ranks)
        ended = attempt(command, str(root), *arguments, log=root / f"{name}.log")
        assert ended.code == 0, ended.said
        expected[num_ranks] = finals(RunFolder(root / name))
    for title, scene in list(SCENES.items())[:: budget.take(1, 9)]:
        yield _play(root, title, scene, expected[scene.num_ranks])


def _play(root: Path, title: str, scene: Scene, expected: dict[str, str]) -> Outcome:
    name = title.replace(" ", "-").replace(",", "")
    arguments = run_arguments(name, scene.num_ranks)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), STEP_SECONDS: "0.1"}
    with (root / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cifarzoo", *arguments],
            cwd=root, stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
        folder = RunFolder(root / name)
        _until(lambda: saved_step(folder) >= 8 or process.poll() is not None)
        scene.do(process)
        sent = time.monotonic()
        try:
            code = process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            code = None
        seconds = time.monotonic() - sent
        _until(lambda: not _session(process.pid), timeout=LINGERING)
        left = _session(process.pid)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        process.wait()
    said = (root / f"{name}.log").read_text(errors="replace")
    at = saved_step(folder)
    is_stopped = folder.record.get("status") == "stopped"
    again = attempt(command, str(root), *arguments, log=root / f"{name}.again.log")
    problems = [f"exit code {code}: {said[-300:]}"] * (code not in scene.codes)
    problems += [f"left {len(left)} processes behind"] * bool(left)
    problems += [f"status {folder.record.get('status')}"] * (
        scene.saves and scene.codes != (0,) and not is_stopped
    )
    problems += ["traceback"] * ("Traceback" in said)
    short = shortfalls(again, folder, expected, what="then ", ignored=("kept",))
    problems += short
    figure = f"exit code {code} after {seconds:.1f} s, checkpoint of step {at}, byte-equal"
    return Outcome(
        name=title,
        passed=not problems,
        figure="; ".join(problems) or figure,
        counts={
            FAULTS: 1,
            COMPARED: 1,
            EQUAL: int(not short),
            HUNG: int(code is None) + again.hung,
        },
    )


def _session(leader: int) -> list[int]:
    """The processes of a session that live, by id, its leader apart."""
    return [pid for pid, fields in _processes() if int(fields[3]) == leader and pid != leader]


def _ranks_of(launcher: int) -> list[int]:
    """The ranks of a launcher: children of its fork server, which is the one with children."""
    parents = {pid: int(fields[1]) for pid, fields in _processes()}
    servers = [pid for pid, parent in parents.items() if parent == launcher]
    return sorted(pid for pid, parent in parents.items() if parent in servers)


def _processes() -> Iterator[tuple[int, list[str]]]:
    """Every live process with its state, parent, group and session."""
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            try:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if fields[0] != "Z":
                yield int(path.name), fields


def _until(is_so: Callable[[], bool], timeout: float = 120.0) -> None:
    end = time.monotonic() + timeout
    while not is_so() and time.monotonic() < end:
        time.sleep(0.01)


CHECKS = (
    Check(id="S1", title="each signal in each phase, one process and two ranks", run=every_phase),
    Check(id="S2", title="what terminals and shells do to the real command", run=scenes),
)
