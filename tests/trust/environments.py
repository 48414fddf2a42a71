"""D5: ranks whose environment makes no sense, or that can't meet where it says."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from cifarzoo.engine.distributed import rendezvous
from cifarzoo.errors import EXIT_FAILED
from tests.trust.attempts import TIMEOUT, Attempt, end_orphans, orphans
from tests.trust.bad_input.small import small_config
from tests.trust.cases import FAULTS, HUNG, Budget, Check, Outcome
from tests.trust.environment_cases import CASES, RIGHT, SECOND, WAIT, Case
from tests.trust.signals import command

AT_ONCE = 8  # cases, most of which only wait
SLACK = 15.0  # seconds beyond the longest wait of a case, on a busy machine
OTHERS = re.compile(r"(\[\S+:)?\[W\d|\{")  # torch's warnings of sockets, and events as JSON
CONFIG = small_config(
    "resnet8.stem_stride = 4",
    "sgd.lr = 0.05",
    "run.epochs = 1",
    images=(64, 16),
    schedule="steady",
)
PLUGIN = '''"""A schedule of {}."""

from cifarzoo import register


@register.schedule
def steady():
    """The base rate, always."""
    return lambda moment: 1.0
'''
RUN = ("run", "small.gin", "--run-dir", "run", "--json")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A case under way.

    Attributes:
        case: Which.
        root: Where it runs.
        attempts: Its processes.
        logs: What they say.
        ended: Seconds that each took; filled in as they end.
    """

    case: Case
    root: Path
    attempts: tuple[Attempt, ...]
    logs: tuple[Path, ...]
    ended: dict[int, float] = field(default_factory=dict)


def bad_environments(budget: Budget) -> Iterator[Outcome]:
    """Try each case; some at a time, since most of them wait."""
    cases = [case for case in CASES if case.is_fast or not budget.is_fast]
    for first in range(0, len(cases), AT_ONCE):
        with ExitStack() as held:
            trials = [_begin(budget, case, held) for case in cases[first : first + AT_ONCE]]
            _await(trials)
        yield from map(_outcome, trials)
    left = orphans(patience=5.0)
    end_orphans()
    yield Outcome(name="no process is left", passed=not left, figure=f"{len(left)} are left")
    if not budget.is_fast:
        yield _under_torchrun(budget.folder("torchrun"))


def hurried(folder: str, *arguments: str) -> None:
    """``cifarzoo ...`` in ``folder``, which waits for other ranks for ``WAIT`` seconds only."""
    rendezvous.START_SECONDS = WAIT
    command(folder, *arguments)


def _begin(budget: Budget, case: Case, held: ExitStack) -> Trial:
    root = budget.folder(re.sub(r"\W+", "-", case.name))
    _write_files(root)
    port = _free_port()
    held.enter_context(case.held(port))
    logs = tuple(root.with_name(f"{root.name}.log{n}") for n in range(len(case.ranks)))
    attempts = []
    for rank, log in zip(case.ranks, logs, strict=True):
        environment = {**RIGHT, "MASTER_PORT": str(port), **rank.environment}
        named = {name: value for name, value in environment.items() if value}
        arguments = (*RUN, "-p", rank.plugin, *rank.arguments)
        attempts.append(Attempt(hurried, str(root), *arguments, log=log, environment=named))
    if case.strike:
        _until_waiting(port, hosts=case.ranks[0].environment != SECOND)
        attempts[0].send(case.strike)
    return Trial(case=case, root=root, attempts=tuple(attempts), logs=logs)


def _until_waiting(port: int, *, hosts: bool) -> None:
    """Until a process waits for others: at the port that it has opened, or for one."""
    until = time.monotonic() + SLACK
    while hosts and time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    time.sleep(2.0)


def _await(trials: Sequence[Trial]) -> None:
    """Until all have ended, and how long each took."""
    started = time.monotonic()
    while time.monotonic() < started + TIMEOUT:
        for trial in trials:
            for number, running in enumerate(trial.attempts):
                if number not in trial.ended and not running.is_alive:
                    trial.ended[number] = running.wait().seconds
        if all(len(trial.ended) == len(trial.attempts) for trial in trials):
            return
        time.sleep(0.02)


def _outcome(trial: Trial) -> Outcome:
    case = trial.case
    ends = [running.wait(timeout=0.1) for running in trial.attempts]
    codes, wanted = sorted(end.code for end in ends), sorted(rank.code for rank in case.ranks)
    lines = [line for end in ends for line in end.said.splitlines() if not OTHERS.match(line)]
    seconds = max(trial.ended.values(), default=TIMEOUT)
    hung = sum(end.hung for end in ends)
    problems = [f"exit codes {codes}, expected {wanted}"] * (codes != wanted)
    problems += _unsaid(lines, case.says)
    problems += ["wrote a run"] * ((trial.root / "run").exists() and not case.leaves)
    problems += [f"took {seconds:.0f} s"] * (seconds > case.wait + SLACK)
    return Outcome(
        name=case.name,
        passed=not problems,
        figure="; ".join(problems) or f"exit code {max(codes, key=abs)}, {seconds:.1f} s",
        counts={FAULTS: 1, HUNG: hung},
        largest={"seconds beyond the wait": round(max(0.0, seconds - case.wait), 1)},
    )


def _unsaid(lines: list[str], says: tuple[str, ...]) -> list[str]:
    unsaid = [says for says in says if sum(bool(re.search(says, line)) for line in lines) != 1]
    problems = [f"does not say once {pattern!r}: {lines}" for pattern in unsaid]
    return problems + [f"{len(lines)} lines: {lines}"] * (len(lines) != len(says))


def _under_torchrun(root: Path) -> Outcome:
    """torchrun's restarts without the variable that they need, as a user meets that."""
    _write_files(root)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "1"]
    launcher += ["--nproc-per-node", "2", "--rdzv-backend", "c10d", "--max-restarts", "1"]
    launcher += ["--rdzv-endpoint", f"127.0.0.1:{_free_port()}", "--local-addr", "127.0.0.1"]
    started = time.monotonic()
    ended = subprocess.run(
        [*launcher, "-m", "cifarzoo", *RUN, "-p", "one.py"],
        cwd=root,
        env=os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    seconds = time.monotonic() - started
    said = ended.stderr.count("--max-restarts needs TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1")
    problems = [f"exit code {ended.returncode}"] * (ended.returncode != EXIT_FAILED)
    problems += [f"said {said} times"] * (said != 2)  # torchrun tries whatever failed again
    problems += ["wrote a run"] * (root / "run").exists()
    return Outcome(
        name="torchrun --max-restarts 1 without the variable that it needs",
        passed=not problems,
        figure="; ".join(problems) or f"torchrun's exit code 1, {seconds:.1f} s",
        counts={FAULTS: 1},
    )


def _write_files(root: Path) -> None:
    (root / "small.gin").write_text(CONFIG)
    for name in ("one", "two"):
        (root / f"{name}.py").write_text(PLUGIN.format(f"file {name}"))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


CHECKS = (
    Check(
        id="D5",
        title="environments of ranks that make no sense, and rendezvous that don't work",
        run=bad_environments,
    ),
)
