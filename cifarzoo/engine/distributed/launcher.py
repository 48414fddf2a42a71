"""Launches the ranks of a run on one host, and reports how they ended.

The ranks' store is files of a private folder, and their collectives go over loopback: no port.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing import (
    active_children,
    connection,
    forkserver,
    get_context,
    parent_process,
    resource_tracker,
)
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Any, NoReturn

import torch

from cifarzoo.engine.distributed.current_folder import PATH
from cifarzoo.engine.distributed.environment import RESTARTS, STORE
from cifarzoo.engine.distributed.private_folder import (
    ATTEMPT,
    hold,
    keep_sockets_private,
    private_folder,
)
from cifarzoo.engine.distributed.safe_path import safe_path, safe_start
from cifarzoo.engine.distributed.signals import end_at_once, in_main_thread
from cifarzoo.engine.distributed.store import FileRankStore
from cifarzoo.errors import (
    EXIT_FAILED,
    EXIT_STOPPED,
    CifarzooError,
    PeerLostError,
    StoppedError,
    wants_traceback,
)
from cifarzoo.escaping import visible
from cifarzoo.run_folders.strict_json import strict_json

SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
MONITOR_SECONDS = 0.1
SAVE_SECONDS = 300.0  # a rank that got a signal ends its step and saves first
GIVE_UP_SECONDS = 30.0  # a rank that lost another has nothing to save
PRELOADED = ("cifarzoo.engine.runner", "torch._inductor")  # torch imports it at the first step
RESUME_HINT = "; cifarzoo resume goes on from the last checkpoint"


class _FaultError(CifarzooError):
    """A rank ended as no setting of the user's explains: the next attempt may go well."""

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


def launch(
    work: Callable[[Any], None],
    job: Any,
    *,
    nproc: int,
    max_restarts: int = 0,
    warn: Callable[[str], None] = lambda _message: None,
    at_second_interrupt: Callable[[], NoReturn] = end_at_once,
) -> None:
    """Run ``work(job)`` in ``nproc`` processes on this host, until all have ended well.

    Args:
        work: A module's function, so that a new process can import it.
        job: Argument of ``work``, which must be picklable.
        nproc: Number of processes.
        max_restarts: How many times all ranks start again where one was killed, hung or
            raised a bug. What the user has to mend, a signal or numbers that aren't finite end
            it all.
        warn: Called with the reason for each restart.
        at_second_interrupt: Called at a second Ctrl-C, when the ranks have been killed.

    Raises:
        StoppedError: A signal came, and the ranks have saved a checkpoint.
        CifarzooError: What the first rank to fail raised; a bug's traceback is on stderr.
    """
    # One import for all ranks and restarts; plain fork is unsafe once OpenMP has run.
    get_context("forkserver").set_forkserver_preload([work.__module__, *PRELOADED])
    environment = _environment(nproc)  # what starts the ranks gets another path of imports
    with safe_path(), safe_start(), _ignoring_hangups():
        _start_quiet_tracker()
        keep_sockets_private()
        forkserver.ensure_running()
    with (
        safe_path(),
        private_folder() as folder,
        _noting_signals(folder, at_second_interrupt) as received,
        nullcontext() if work.__module__ == "__main__" else _main_module_left_out(),
    ):
        for restart in range(max_restarts + 1):
            # New files for each attempt: ranks would read the dead ones' addresses in the old.
            rendezvous_folder = folder / f"{ATTEMPT}{restart}"
            rendezvous_folder.mkdir()
            try:
                store = {STORE: str(rendezvous_folder), RESTARTS: f"{restart} {max_restarts}"}
                _attempt(work, job, {**environment, **store}, received)
            except _FaultError as fault:
                if restart == max_restarts:
                    tried = f", after {restart} of {max_restarts} restarts" * (restart > 0)
                    raise CifarzooError(f"{fault}{tried}{fault.advice}") from None
                warn(f"{fault}; restarting all ranks ({restart + 1} of {max_restarts})")
            else:
                return


def _environment(nproc: int) -> dict[str, str]:
    """What ranks find in their environment: a fork server keeps what it was started with."""
    return {
        "GLOO_SOCKET_IFNAME": "lo",
        "NCCL_SOCKET_IFNAME": "lo",  # where NCCL's ranks find each other; it avoids it by itself
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // nproc)),
        **os.environ,
        "WORLD_SIZE": str(nproc),
        "LOCAL_WORLD_SIZE": str(nproc),
    }


@dataclass
class _Received:
    """The first signal that came, or 0."""

    number: int = 0


def _attempt(
    work: Callable[[Any], None], job: Any, environment: dict[str, str], received: _Received
) -> None:
    context, folder = get_context("forkserver"), Path(environment[STORE])
    ranks: list[BaseProcess] = []
    try:
        for rank in range(int(environment["WORLD_SIZE"])):
            ranks.append(context.Process(target=_worker, args=(work, job, environment, rank)))
            ranks[-1].start()
        failed = _wait(ranks, received)
        if received.number:
            # Ranks ignore hang-ups, see ``_ignoring_hangups``.
            is_hangup = received.number == signal.SIGHUP
            _end(ranks, signal.SIGTERM if is_hangup else received.number, SAVE_SECONDS)
            if not any(process.exitcode for process in ranks):
                return  # they had just ended
            _raise_stopped(_notes(folder))
            name = signal.Signals(received.number).name
            raise CifarzooError(f"stopped by {name} before anything was saved")
        if failed is not None:
            is_stopped = ranks[failed].exitcode == EXIT_STOPPED
            _end(ranks, signal.SIGTERM, SAVE_SECONDS if is_stopped else GIVE_UP_SECONDS)
            _raise_failure(failed, ranks[failed].exitcode or 0, folder)
    finally:
        _end(ranks, signal.SIGKILL, GIVE_UP_SECONDS)


def _wait(ranks: Sequence[BaseProcess], received: _Received) -> int | None:
    """The first rank that failed; None once all have ended well, or a signal came."""
    running: dict[Any, int] = {process.sentinel: rank for rank, process in enumerate(ranks)}
    while running and not received.number:
        ended = [running.pop(s) for s in connection.wait(running, MONITOR_SECONDS)]
        for rank in ended:
            ranks[rank].join()
        # Of those that ended together, one that was killed is the cause: its code is negative.
        failed = [(ranks[rank].exitcode or 0, rank) for rank in ended if ranks[rank].exitcode]
        if failed:
            return min(failed)[1]
    return None


def _end(ranks: Sequence[BaseProcess], number: int, seconds: float) -> None:
    """Send a signal to the ranks that live, and kill those that still do after ``seconds``."""
    until = time.monotonic() + seconds
    started = [process for process in ranks if process.pid is not None]
    for process in started:
        if process.is_alive():
            with suppress(ProcessLookupError):  # it ended just now, which its sentinel tells later
                os.kill(process.pid or 0, number)
    for process in started:
        process.join(max(0.0, until - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


@contextmanager
def _noting_signals(
    folder: Path, at_second_interrupt: Callable[[], NoReturn]
) -> Iterator[_Received]:
    """Within ``with``, the first signal is noted; a second Ctrl-C ends all at once.

    It is counted here alone: ranks get each Ctrl-C twice, from the terminal and from here.
    """
    received = _Received()
    others = set(active_children())  # a notebook's own

    def note(number: int, _frame: FrameType | None) -> None:
        if received.number and number == signal.SIGINT:
            for process in set(active_children()) - others:
                process.kill()
            shutil.rmtree(folder, ignore_errors=True)
            at_second_interrupt()
        received.number = received.number or number

    numbers = [getattr(signal, name) for name in SIGNALS] if in_main_thread() else []
    before = {number: signal.getsignal(number) for number in numbers}
    handled = [number for number, handler in before.items() if handler != signal.SIG_IGN]  # nohup
    try:
        for number in handled:
            signal.signal(number, note)
        yield received
    finally:
        for number in handled:
            signal.signal(number, before[number])


@contextmanager
def _ignoring_hangups() -> Iterator[None]:
    """What is started meanwhile ignores SIGHUP, and so do its children: the ranks.

    A terminal that is closed sends it to all processes; the standard library's fork server and
    resource tracker would end by it, and the ranks count as lost before they could save.
    """
    if not in_main_thread():
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def _main_module_left_out() -> Iterator[None]:
    """Processes that are started meanwhile don't import the script that runs.

    ``multiprocessing`` has each new process import it, by these two attributes: one that trains
    without ``if __name__ == "__main__"`` would train again there. The ranks need nothing of it.
    """
    names = vars(sys.modules["__main__"])
    before: dict[str, Any] = {
        name: names[name] for name in ("__spec__", "__file__") if name in names
    }
    names["__spec__"] = None
    names.pop("__file__", None)  # None would be no path for ``inspect``, which torch calls
    try:
        yield
    finally:
        names.update(before)


def _start_quiet_tracker() -> None:
    """Keep Python's tracker of semaphores from warning of those that killed ranks left to it."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore:resource_tracker:UserWarning"
    try:
        resource_tracker.ensure_running()
    finally:
        del os.environ["PYTHONWARNINGS"]
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


def _worker(work: Callable[[Any], None], job: Any, environment: dict[str, str], rank: int) -> None:
    """One rank: what it raises is noted for the parent, which alone reports it."""
    # Until the run notes signals itself, Ctrl-C ends a rank without a traceback, as SIGTERM does.
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ.pop(PATH, None)  # the fork server's own
    os.environ.update(environment, RANK=str(rank), LOCAL_RANK=str(rank))
    hold(Path(environment[STORE]).parent)  # it may live longer than the launcher
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    Thread(target=_stop_without_parent, daemon=True).start()
    try:
        work(job)
    except PeerLostError:
        time.sleep(10 * MONITOR_SECONDS)  # let the parent see first whose death it was
        raise SystemExit(EXIT_FAILED) from None
    except CifarzooError as error:
        about = {name: getattr(error, name, None) for name in ("step", "signal")}
        _note(exit_code=error.exit_code, message=str(error), notes=_notes_of(error), **about)
        raise SystemExit(error.exit_code) from None
    except Exception as error:  # a bug
        message = f"rank {os.environ['RANK']} raised {type(error).__name__}: {error}"
        trace = traceback.format_exc()
        _note(exit_code=EXIT_FAILED, message=message, is_fault=True, traceback=trace)
        raise SystemExit(EXIT_FAILED) from None


def _notes_of(error: CifarzooError) -> list[str]:
    if wants_traceback():
        return traceback.format_exc().splitlines()
    return list(getattr(error, "__notes__", ()))


def _stop_without_parent() -> None:
    """Wait until the launcher has died, if it was killed: its ranks then end too, and save."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(SAVE_SECONDS)
        os._exit(EXIT_FAILED)


def _note(**note: Any) -> None:
    FileRankStore(Path(os.environ[STORE])).set(f"error-{os.environ['RANK']}", strict_json(note))


def _notes(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("error-*"))]


def _raise_stopped(notes: list[dict[str, Any]]) -> None:
    """Raise what a rank raised that a signal had stopped, if one did."""
    for note in notes:
        if note["exit_code"] == EXIT_STOPPED:
            raise StoppedError(note["message"], step=note["step"], signal=note["signal"]) from None


def _raise_failure(rank: int, exit_code: int, folder: Path) -> NoReturn:
    """Raise that a signal stopped the ranks; else what made the first of them fail."""
    notes = _notes(folder)
    _raise_stopped(notes)
    for note in notes:
        if not note.get("is_fault"):
            raised = CifarzooError(*note["message"].split("\n"))
            raised.exit_code = note["exit_code"]
            for line in note["notes"]:
                raised.add_note(line)
            raise raised from None
    hung = FileRankStore(folder).get(["lost"])[0]
    if hung:
        raise _FaultError(hung, advice=RESUME_HINT) from None
    for note in notes:
        sys.stderr.write(visible(note["traceback"]))
        raise _FaultError(note["message"]) from None
    reason = signal.Signals(-exit_code).name if exit_code < 0 else f"exit code {exit_code}"
    raise _FaultError(f"rank {rank} ended with {reason}", advice=RESUME_HINT) from None
