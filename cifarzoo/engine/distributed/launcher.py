"""Launches the ranks of a run on one host, and reports how they ended.

torch's elastic launcher does it, without a network port: the ranks' store is files of
a private folder, and their collectives go over loopback.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing import (
    active_children,
    forkserver,
    get_context,
    parent_process,
    resource_tracker,
)
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Any, NoReturn

import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from cifarzoo.engine.distributed.environment import RESTARTS, STORE
from cifarzoo.engine.distributed.safe_path import PATH, safe_path
from cifarzoo.engine.distributed.signals import end_at_once, in_main_thread
from cifarzoo.engine.distributed.store import FileRankStore
from cifarzoo.errors import (
    EXIT_FAILED,
    EXIT_STOPPED,
    CifarzooError,
    PeerLostError,
    StoppedError,
)

SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
MONITOR_SECONDS = 0.1
SHUTDOWN_SECONDS = 300  # a rank that got a signal ends its step and saves first
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
    _quieten_launcher()
    environment = dict(os.environ)  # for ranks: what starts them gets another path of imports
    with safe_path(), _ignoring_hangups():
        _start_quiet_tracker()
        forkserver.ensure_running()
    with (
        safe_path(),
        tempfile.TemporaryDirectory(prefix="cifarzoo-") as folder,
        _stopping_once(folder, at_second_interrupt),
        nullcontext() if work.__module__ == "__main__" else _main_module_left_out(),
    ):
        for restart in range(max_restarts + 1):
            # New files for each attempt: ranks would read the dead ones' addresses in the old.
            rendezvous_folder = Path(folder) / f"attempt-{restart}"
            rendezvous_folder.mkdir()
            try:
                _attempt(
                    work,
                    job,
                    rendezvous_folder,
                    nproc=nproc,
                    environment={**environment, RESTARTS: f"{restart} {max_restarts}"},
                )
            except _FaultError as fault:
                if restart == max_restarts:
                    tried = f", after {restart} of {max_restarts} restarts" * (restart > 0)
                    raise CifarzooError(f"{fault}{tried}{fault.advice}") from None
                warn(f"{fault}; restarting all ranks ({restart + 1} of {max_restarts})")
            else:
                return


def _attempt(
    work: Callable[[Any], None], job: Any, folder: Path, *, nproc: int, environment: dict[str, str]
) -> None:
    # Handed over, since a fork server keeps the environment that it was started with.
    environment = {**environment, STORE: str(folder)}
    environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // nproc)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=nproc,
        run_id=f"{folder.parent.name}-{folder.name}",
        rdzv_backend="c10d",
        rdzv_endpoint=str(folder / "rendezvous"),
        rdzv_configs={"store_type": "file"},
        local_addr="localhost",
        max_restarts=0,  # it would restart whatever failed, a wrong config too
        monitor_interval=MONITOR_SECONDS,
        start_method="forkserver",
        signals_to_handle="",  # they are handled by ``_stopping_once``
        **_shutdown_timeout(),
    )
    try:
        elastic_launch(config, _worker)(work, job, environment)
    except SignalException as error:
        _raise_stopped(_notes(folder))
        name = signal.Signals(error.sigval).name
        raise CifarzooError(f"stopped by {name} before anything was saved") from None
    except ChildFailedError as error:
        _raise_failure(error, folder)


def _shutdown_timeout() -> dict[str, Any]:
    """How long a rank that got a signal has; before 2.14, torch itself gives it 30 seconds."""
    name = "shutdown_timeout"
    return {name: SHUTDOWN_SECONDS} if name in LaunchConfig.__dataclass_fields__ else {}


@contextmanager
def _stopping_once(folder: str, at_second_interrupt: Callable[[], NoReturn]) -> Iterator[None]:
    """Stop at the first signal, by torch's exception for it; at once at a second Ctrl-C.

    It is counted here alone: ranks get each Ctrl-C twice, from the terminal and from here.
    """
    is_stopping = False
    others = set(active_children())  # a notebook's own

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal is_stopping
        if is_stopping and number == signal.SIGINT:
            for process in set(active_children()) - others:
                process.kill()
            shutil.rmtree(folder, ignore_errors=True)
            at_second_interrupt()
        if not is_stopping:
            is_stopping = True
            # Ranks ignore hang-ups, see ``_ignoring_hangups``.
            to_ranks = signal.SIGTERM if number == signal.SIGHUP else signal.Signals(number)
            raise SignalException("", to_ranks)

    numbers = [getattr(signal, name) for name in SIGNALS] if in_main_thread() else []
    before = {number: signal.getsignal(number) for number in numbers}
    handled = [number for number, handler in before.items() if handler != signal.SIG_IGN]  # nohup
    try:
        for number in handled:
            signal.signal(number, stop)
        yield
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


def _quieten_launcher() -> None:
    """Keep torch's launcher from reporting each process it ends; we report why, once."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(("torch.distributed.elastic", "torch.multiprocessing")):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # each has a level of its own


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


def _worker(work: Callable[[Any], None], job: Any, environment: dict[str, str]) -> None:
    """One rank: what it raises is noted for the parent, which alone reports it."""
    os.environ.pop(PATH, None)  # the fork server's own
    for name, value in environment.items():
        os.environ.setdefault(name, value)  # the agent's own, such as RANK, stand
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    Thread(target=_stop_without_parent, daemon=True).start()
    try:
        work(job)
    except PeerLostError:
        time.sleep(10 * MONITOR_SECONDS)  # let the parent see first whose death it was
        raise SystemExit(EXIT_FAILED) from None
    except CifarzooError as error:
        about = {name: getattr(error, name, None) for name in ("step", "signal")}
        _note(exit_code=error.exit_code, message=str(error), **about)
        # A function that returns after a signal waits for the agent, which waits for it.
        raise SystemExit(error.exit_code) from None
    except Exception as error:  # a bug, whose traceback torch's launcher would keep to itself
        message = f"rank {os.environ['RANK']} raised {type(error).__name__}: {error}"
        trace = traceback.format_exc()
        _note(exit_code=EXIT_FAILED, message=message, is_fault=True, traceback=trace)
        raise SystemExit(EXIT_FAILED) from None


def _stop_without_parent() -> None:
    """Wait until the launcher has died, if it was killed: its ranks then end too, and save."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(SHUTDOWN_SECONDS)
        os._exit(EXIT_FAILED)


def _note(**note: Any) -> None:
    FileRankStore(Path(os.environ[STORE])).set(f"error-{os.environ['RANK']}", json.dumps(note))


def _notes(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("error-*"))]


def _raise_stopped(notes: list[dict[str, Any]]) -> None:
    """Raise what a rank raised that a signal had stopped, if one did."""
    for note in notes:
        if note["exit_code"] == EXIT_STOPPED:
            raise StoppedError(note["message"], step=note["step"], signal=note["signal"]) from None


def _raise_failure(error: ChildFailedError, folder: Path) -> NoReturn:
    """Raise that a signal stopped the ranks; else what made the first of them fail."""
    notes = _notes(folder)
    _raise_stopped(notes)
    for note in notes:
        if not note.get("is_fault"):
            raised = CifarzooError(note["message"])
            raised.exit_code = note["exit_code"]
            raise raised from None
    hung = FileRankStore(folder).get(["lost"])[0]
    if hung:
        raise _FaultError(hung, advice=RESUME_HINT) from None
    for note in notes:
        sys.stderr.write(note["traceback"])
        raise _FaultError(note["message"]) from None
    rank, failure = error.get_first_failure()
    code = failure.exitcode
    reason = failure.signal_name() if code < 0 else f"exit code {code}"
    raise _FaultError(f"rank {rank} ended with {reason}", advice=RESUME_HINT) from None
