"""D5: ranks whose environment makes no sense, or that can't meet where it says."""

from __future__ import annotations

import http.server
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

from cifarzoo.engine import meeting
from cifarzoo.errors import EXIT_FAILED, EXIT_USAGE
from tests.trust.attempts import TIMEOUT, Attempt, end_orphans, orphans
from tests.trust.cases import FAULTS, HUNG, Budget, Check, Outcome
from tests.trust.signals import command

WAIT = 10.0  # seconds that ranks wait for each other here, in place of START_SECONDS
AT_ONCE = 8  # cases, most of which only wait
SLACK = 15.0  # seconds beyond the longest wait of a case, on a busy machine
OTHERS = re.compile(r"(\[\S+:)?\[W\d|\{")  # torch's warnings of sockets, and events as JSON
RIGHT = {
    "RANK": "0",
    "WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
    "OMP_NUM_THREADS": "1",
}
NO_RANK = {**dict.fromkeys(RIGHT, ""), "MASTER_PORT": ""}
CONFIG = """\
run.architecture = @resnet8
resnet8.stem_stride = 4
run.dataset = @glyphs
glyphs.train_images = 64
glyphs.test_images = 16
run.optimizer = @sgd
sgd.lr = 0.05
run.schedule = @steady
run.batch_size = 16
run.epochs = 1
"""
PLUGIN = '''"""A schedule of {}."""

from cifarzoo import register


@register.schedule
def steady():
    """The base rate, always."""
    return lambda moment: 1.0
'''
RUN = ("run", "small.gin", "--run-dir", "run", "--json")


@dataclass(frozen=True, kw_only=True)
class Rank:
    """One of the processes of a case.

    Attributes:
        environment: Variables besides ``RIGHT``; empty text: not set.
        arguments: Besides those of the command.
        code: It is to end with.
        plugin: The file that it has its schedule from.
    """

    environment: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    code: int = EXIT_USAGE
    plugin: str = "one.py"


@dataclass(frozen=True, kw_only=True)
class Case:
    """Processes that can't become the ranks of a run.

    Attributes:
        name: What is wrong, a phrase.
        says: Patterns of the lines that all of them say together.
        ranks: The processes.
        held: Holds the port that they are given, meanwhile.
        wait: Seconds for which one of them waits, rightly.
        strike: A signal that the first of them is sent while it waits.
        leaves: Whether a run may be there afterwards.
        is_fast: Whether it is among the few.
    """

    name: str
    says: tuple[str, ...]
    ranks: tuple[Rank, ...]
    held: Callable[[int], AbstractContextManager[None]] = lambda _port: nullcontext()
    wait: float = 0.0
    strike: int = 0
    leaves: bool = False
    is_fast: bool = False


def alone(name: str, says: str, *, is_fast: bool = False, **environment: str) -> Case:
    """A case of one process, which is refused before it looks for others."""
    rank = Rank(environment=environment)
    return Case(name=name, says=(says,), ranks=(rank,), is_fast=is_fast)


@contextmanager
def mute(port: int) -> Iterator[None]:
    """A program that takes connections at a port and never answers."""
    with socket.socket() as held:
        held.bind(("", port))
        held.listen()
        yield


@contextmanager
def web_server(port: int) -> Iterator[None]:
    """An HTTP server at a port."""

    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("", port), Quiet) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


SECOND = {"RANK": "1"}
OF_THREE = {"WORLD_SIZE": "3"}
CASES = (
    alone("RANK without WORLD_SIZE", "has no WORLD_SIZE", WORLD_SIZE="", is_fast=True),
    alone("WORLD_SIZE without RANK", "has no RANK", RANK=""),
    alone("RANK 2 of 2", "RANK is 2; expected less than WORLD_SIZE, which is 2", RANK="2"),
    alone("RANK -1", "RANK is '-1'; expected a number", RANK="-1"),
    alone("RANK 0.5", "RANK is '0.5'; expected a number", RANK="0.5"),
    alone("WORLD_SIZE two", "WORLD_SIZE is 'two'; expected a number", WORLD_SIZE="two"),
    alone("WORLD_SIZE 0", "RANK is 0; expected less than WORLD_SIZE", WORLD_SIZE="0"),
    alone("LOCAL_RANK first", "LOCAL_RANK is 'first'; expected a number", LOCAL_RANK="first"),
    alone("no MASTER_ADDR", "no MASTER_ADDR; expected the host of rank 0", MASTER_ADDR=""),
    alone(
        "MASTER_ADDR without an address",
        "MASTER_ADDR is 'no such host', which has no address",
        MASTER_ADDR="no such host",
    ),
    alone("no MASTER_PORT", "has no MASTER_PORT", MASTER_PORT=""),
    alone("MASTER_PORT 0", "MASTER_PORT is 0; expected a port from 1", MASTER_PORT="0"),
    alone("MASTER_PORT 99999", "MASTER_PORT is 99999; expected a port", MASTER_PORT="99999"),
    alone("MASTER_PORT http", "MASTER_PORT is 'http'; expected a number", MASTER_PORT="http"),
    alone(
        "an interface that there is not",
        "GLOO_SOCKET_IFNAME is 'eth99'; this host has .*lo",
        GLOO_SOCKET_IFNAME="eth99",
    ),
    alone(
        "a second of patience",
        "CIFARZOO_PATIENCE is '1'; expected a number of seconds, 5 or more",
        CIFARZOO_PATIENCE="1",
    ),
    alone(
        "torchrun's restarts without the variable that they need",
        "--max-restarts needs TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1",
        TORCHELASTIC_USE_AGENT_STORE="True",
        TORCHELASTIC_MAX_RESTARTS="3",
    ),
    Case(
        name="a port in use",
        says=("port [0-9]+ of this host is in use; choose another MASTER_PORT",),
        ranks=(Rank(),),
        held=mute,
        is_fast=True,
    ),
    Case(
        name="a port that a mute program holds",
        says=("what listens on .* is no meeting point of ranks, or does not answer",),
        ranks=(Rank(environment=SECOND),),
        held=mute,
        wait=meeting.MUTE_SECONDS,
    ),
    Case(
        name="a port that a web server holds",
        says=("what listens on .* is no meeting point of ranks, or does not answer",),
        ranks=(Rank(environment=SECOND),),
        held=web_server,
        wait=meeting.MUTE_SECONDS,
    ),
    Case(
        name="two processes of rank 0",
        says=(
            "port [0-9]+ of this host is in use|what listens on .* is no meeting point",
            "1 of 2 ranks came within 10 s; rank 1 did not",
        ),
        ranks=(Rank(code=EXIT_FAILED), Rank()),
        wait=WAIT,
    ),
    Case(
        name="two processes of rank 1",
        says=("another process came as rank 1 before this one",),
        ranks=(
            Rank(arguments=("-s", "run.epochs=30"), code=0),
            Rank(arguments=("-s", "run.epochs=30"), environment=SECOND, code=0),
            Rank(arguments=("-s", "run.epochs=30"), environment=SECOND),
        ),
        wait=WAIT,  # the two that train
        leaves=True,
    ),
    Case(
        name="another config on rank 1",
        says=("rank 1 .*and rank 0 .*have another config: ",),
        ranks=(Rank(), Rank(arguments=("-s", "sgd.lr=0.1"), environment=SECOND)),
    ),
    Case(
        name="another plugin of the same name on rank 1",
        says=("rank 1 .*and rank 0 .*have another plugins: ",),
        ranks=(Rank(), Rank(plugin="two.py", environment=SECOND)),
    ),
    Case(
        name="rank 1 never comes",
        says=("1 of 2 ranks came within 10 s; rank 1 did not",),
        ranks=(Rank(code=EXIT_FAILED),),
        wait=WAIT,
    ),
    Case(
        name="rank 0 never comes",
        says=("rank 1 met nobody at 127.0.0.1:[0-9]+ within 10 s: .*is rank 0 running",),
        ranks=(Rank(environment=SECOND, code=EXIT_FAILED),),
        wait=WAIT,
    ),
    Case(
        name="SIGTERM while rank 1 is waited for",
        says=(),
        ranks=(Rank(code=-signal.SIGTERM),),
        strike=signal.SIGTERM,
    ),
    Case(
        name="Ctrl-C while rank 1 is waited for",
        says=(),
        ranks=(Rank(code=-signal.SIGINT),),
        strike=signal.SIGINT,
    ),
    Case(
        name="SIGTERM while rank 0 is waited for",
        says=(),
        ranks=(Rank(environment=SECOND, code=-signal.SIGTERM),),
        strike=signal.SIGTERM,
    ),
    Case(
        name="a batch that three ranks can't share",
        says=("batch_size is 16",),
        ranks=tuple(Rank(environment={**OF_THREE, "RANK": str(n)}) for n in range(3)),
    ),
    Case(
        name="a batch that --nproc 3 can't share",
        says=("batch_size is 16",),
        ranks=(Rank(arguments=("--nproc", "3"), environment=NO_RANK),),
    ),
    Case(
        name="a second of patience with --nproc 2",
        says=("CIFARZOO_PATIENCE is '1'; expected a number of seconds, 5 or more",),
        ranks=(
            Rank(arguments=("--nproc", "2"), environment={**NO_RANK, "CIFARZOO_PATIENCE": "1"}),
        ),
    ),
)


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
    meeting.START_SECONDS = WAIT
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
        title="environments of ranks that make no sense, and meeting points that don't work",
        run=bad_environments,
    ),
)
