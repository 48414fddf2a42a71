"""D4: two hosts that a network joins: each loses a rank, all its processes, or the network."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cifarzoo.errors import EXIT_FAILED
from cifarzoo.run_folders.folder import RunFolder
from tests.trust.cases import COMPARED, EQUAL, FAULTS, HUNG, Budget, Check, Outcome, skipped
from tests.trust.workload import differences, finals, leftovers
from tests.two_hosts import CONFIG, Host, cut_cable, mend_cable, two_hosts, why_not

ARGUMENTS = ("-s", "run.epochs=16")
MIDDLE = "epoch 3/"  # said in the middle, behind some checkpoints
RESTARTS = ("--max-restarts", "1")
TIMEOUT = 120.0  # seconds, after which an attempt hangs
PROMPTLY = 60.0  # seconds, within which a lost host is to be told of
Hosts = tuple[Host, Host]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What came of a fault.

    Attributes:
        problems: What is not as promised.
        seconds: That it took, and what took them.
        hung: Processes that had to be killed.
    """

    problems: list[str]
    seconds: dict[str, float]
    hung: int = 0


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fault of two hosts in the middle of a run.

    Attributes:
        name: What happens, a phrase.
        strike: Makes it happen to a run in its middle, and waits until each host has ended or
            goes on.
        restarts: Whether torchrun may start ranks again.
        simple: Whether hosts meet as they do without restarts; after a cut torchrun hangs
            otherwise, until its kernel gives the connection up.
        again: Whether the same command is given on both hosts afterwards.
        share_disk: Whether the hosts do.
    """

    name: str
    strike: Callable[[Hosts], Seen]
    restarts: bool = False
    simple: bool = False
    again: bool = False
    share_disk: bool = False


def nothing(_hosts: Hosts) -> Seen:
    """No fault."""
    return Seen(problems=[], seconds={})


def kill_rank_of(which: int) -> Callable[[Hosts], Seen]:
    """SIGKILL the rank of one host."""

    def strike(hosts: Hosts) -> Seen:
        os.kill(hosts[which].workers[0], signal.SIGKILL)
        return _going_on(hosts, time.monotonic(), "a rank is killed")

    return strike


def kill_all_of(which: int) -> Callable[[Hosts], Seen]:
    """SIGKILL every process of one host; its kernel closes their connections."""

    def strike(hosts: Hosts) -> Seen:
        other = hosts[1 - which]
        hosts[which].kill()
        killed = time.monotonic()
        code = other.wait(TIMEOUT)
        seconds = time.monotonic() - killed
        problems = [f"host {other.name} ended with {code}"] * (code != EXIT_FAILED)
        problems += [] if _tells_of_loss(other) else [f"{other.name} says {other.said()[-2000:]}"]
        other.kill()
        what = "seconds until the processes of a host are missed"
        return Seen(problems=problems, seconds={what: seconds}, hung=int(code is None))

    return strike


def kill_all_and_start_again(hosts: Hosts) -> Seen:
    """SIGKILL every process of b, and start the same command there: it joins again."""
    a, b = hosts
    b.kill()
    killed = time.monotonic()
    b.start(*ARGUMENTS, torchrun=RESTARTS)
    return _going_on((a, b), killed, "a host is started again")


def cut(hosts: Hosts) -> Seen:
    """Cut the cable: no word comes through any more, not even that a connection is closed."""
    cut_cable(hosts[1])
    since = time.monotonic()
    seconds: dict[str, float] = {}
    while time.monotonic() < since + TIMEOUT and len(seconds) < len(hosts):
        for host in hosts:
            what = f"seconds until all of {host.name} ends after the cable is cut"
            if what not in seconds and host.wait(0.1) is not None:
                seconds[what] = time.monotonic() - since
    problems = [
        f"{host.name} says {host.said()[-2000:]}" for host in hosts if not _tells_of_loss(host)
    ]
    problems += [f"{name}: {s:.0f}" for name, s in seconds.items() if s > PROMPTLY]
    hung = len(hosts) - len(seconds)
    problems += [f"{hung} hosts hang"] * bool(hung)
    for host in hosts:
        host.kill()
    mend_cable(hosts[1])
    return Seen(problems=problems, seconds=seconds, hung=hung)


CASES = (
    Case(name="two hosts of one process each", strike=nothing),
    Case(name="the rank of b killed, one restart", strike=kill_rank_of(1), restarts=True),
    Case(
        name="the rank of a killed, one restart, on a disk that they share",
        strike=kill_rank_of(0),
        restarts=True,
        share_disk=True,
    ),
    Case(
        name="all of b killed, the same command later",
        strike=kill_all_of(1),
        simple=True,
        again=True,
    ),
    Case(
        name="all of a killed, the same command later",
        strike=kill_all_of(0),
        simple=True,
        again=True,
    ),
    Case(
        name="all of b killed, the same command on b while a waits",
        strike=kill_all_and_start_again,
        restarts=True,
    ),
    Case(
        name="the cable cut, and mended; the same command later",
        strike=cut,
        simple=True,
        again=True,
    ),
)


def two_hosts_on_a_cable(budget: Budget) -> Iterator[Outcome]:
    """Each case, compared with two processes of one host."""
    reason = why_not()
    if reason:
        yield from (skipped(case.name, reason) for case in CASES)
        return
    expected = _on_one_host(budget)
    if budget.is_fast:
        yield _try(budget.folder("case0"), CASES[0], expected)
        return
    *quick, last = CASES
    with ThreadPoolExecutor(1) as beside:  # a cut cable is noticed after a minute of waiting
        cutting = beside.submit(_try, budget.folder("cut"), last, expected)
        for number, case in enumerate(quick):
            yield _try(budget.folder(f"case{number}"), case, expected)
        yield cutting.result()


def _on_one_host(budget: Budget) -> dict[str, str]:
    folder = budget.folder("one")
    (folder / "config.gin").write_text(CONFIG)
    whole = [sys.executable, "-m", "cifarzoo", "run", "config.gin", "--run-dir", "run"]
    whole += ["--nproc", "2", *ARGUMENTS]
    threads = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(whole, cwd=folder, env=threads, check=True, capture_output=True)
    return finals(RunFolder(folder / "run"))


def _try(folder: Path, case: Case, expected: dict[str, str]) -> Outcome:
    torchrun = RESTARTS if case.restarts else ()
    with two_hosts(folder, share_disk=case.share_disk) as hosts:
        for host in hosts:
            host.start(*ARGUMENTS, torchrun=torchrun, restarts=not case.simple)
        if case.strike is not nothing:
            hosts[0].wait_for(MIDDLE)
        seen = case.strike(hosts)
        if case.again:
            for host in hosts:
                host.start(*ARGUMENTS, torchrun=torchrun, restarts=not case.simple)
        codes = [host.wait(TIMEOUT) for host in hosts]
        run = RunFolder(hosts[0].folder / "run")
        is_elsewhere = (hosts[1].folder / "run").exists() and not case.share_disk
        said = "; ".join(host.said()[-500:] for host in hosts)
    hung = codes.count(None) + seen.hung
    differing = differences(expected, finals(run)) if codes == [0, 0] else [f"all: {said}"]
    problems = [*seen.problems, *[f"exit codes {codes}"] * (codes != [0, 0])]
    problems += [f"differs in {', '.join(differing)}"] * bool(differing)
    problems += [f"leaves {file}" for file in leftovers(run)]
    problems += ["b wrote a run of its own"] * is_elsewhere
    took = ", ".join(f"{what}: {seconds:.0f}" for what, seconds in seen.seconds.items())
    return Outcome(
        name=case.name,
        passed=not problems,
        figure="; ".join(problems) or f"byte-equal{f'; {took}' * bool(took)}",
        counts={
            FAULTS: int(case.strike is not nothing),
            COMPARED: 1,
            EQUAL: int(not differing),
            HUNG: hung,
        },
        largest={what: round(seconds, 1) for what, seconds in seen.seconds.items()},
    )


def _going_on(hosts: Hosts, since: float, what: str) -> Seen:
    """Wait until the run goes on, as host a says."""
    try:
        seconds = hosts[0].wait_for("going on from step", timeout=TIMEOUT) - since
    except TimeoutError as error:
        return Seen(problems=[str(error)], seconds={}, hung=1)
    return Seen(problems=[], seconds={f"seconds until training goes on when {what}": seconds})


def _tells_of_loss(host: Host) -> bool:
    """Whether it said that the other is lost, in our words."""
    words = ("ended or cannot be reached", "ended; this rank was", "answered for")
    is_reported = any(word in host.said() for word in words)
    return is_reported and "goes on from the last checkpoint" in host.said()


CHECKS = (Check(id="D4", title="two hosts that a network joins", run=two_hosts_on_a_cable),)
