"""Launches the ranks of a run on one host, and tells how they ended.

torch's elastic launcher does it, without a network port: ranks meet in files of a private
folder and talk over loopback.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from torch.distributed import DistBackendError
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from cifarzoo.engine.distributed import STORE
from cifarzoo.errors import EXIT_FAILED, EXIT_STOPPED, CifarzooError

SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1,SIGUSR2"
MONITOR_SECONDS = 0.1
SHUTDOWN_SECONDS = 300  # a rank that got a signal ends its step and saves first


def launch(work: Callable[[Any], None], job: Any, *, nproc: int) -> int:
    """Run ``work(job)`` in ``nproc`` processes on this host; give the exit code.

    Args:
        work: A module's function, so that a new process can import it.
        job: Its picklable argument.
        nproc: Number of processes.

    Raises:
        CifarzooError: What the first rank to fail raised; a bug's traceback is on stderr.
    """
    with tempfile.TemporaryDirectory(prefix="cifarzoo-") as folder:
        # Handed over, since a fork server keeps the environment that it was started with.
        environment = {STORE: folder, "GLOO_SOCKET_IFNAME": "lo", **os.environ}
        threads = str(max(1, (os.cpu_count() or 1) // nproc))
        environment.setdefault("OMP_NUM_THREADS", threads)
        os.environ.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")  # or restarts fail
        # One import of torch for all ranks; plain fork is unsafe once OpenMP has run.
        get_context("forkserver").set_forkserver_preload([work.__module__])
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=nproc,
            run_id=Path(folder).name,
            rdzv_backend="c10d",
            rdzv_endpoint=str(Path(folder) / "rendezvous"),
            rdzv_configs={"store_type": "file"},
            local_addr="localhost",
            max_restarts=0,
            monitor_interval=MONITOR_SECONDS,
            start_method="forkserver",
            signals_to_handle=SIGNALS,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        _quieten_launcher()
        try:
            elastic_launch(config, _worker)(work, job, environment)
        except SignalException:
            return _exit_code_after_signal(Path(folder))
        except ChildFailedError as error:
            return _exit_code_of(error, Path(folder))
    return 0


def _quieten_launcher() -> None:
    """Keep torch's launcher from telling of each process it ends; we tell why, once."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(("torch.distributed.elastic", "torch.multiprocessing")):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # each has a level of its own


def _worker(work: Callable[[Any], None], job: Any, environment: dict[str, str]) -> None:
    """One rank: what it raises is noted for the parent, which alone reports it."""
    for name, value in environment.items():
        os.environ.setdefault(name, value)  # the agent's own, such as RANK, stand
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    Thread(target=_stop_without_parent, daemon=True).start()
    try:
        work(job)
    except CifarzooError as error:
        _note(exit_code=error.exit_code, message=str(error))
        # A function that returns after a signal waits for the agent, which waits for it.
        raise SystemExit(error.exit_code) from None
    except Exception as error:
        if _lost_a_peer(error):
            time.sleep(10 * MONITOR_SECONDS)  # let the parent see first whose death it was
        else:  # a bug, whose traceback torch's launcher would keep to itself
            message = f"rank {os.environ['RANK']} raised {type(error).__name__}: {error}"
            _note(exit_code=EXIT_FAILED, message=message, traceback=traceback.format_exc())
        raise SystemExit(EXIT_FAILED) from None


def _stop_without_parent() -> None:
    """Wait until the launcher has died, if it was killed: its ranks then end too, and save."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(SHUTDOWN_SECONDS)
        os._exit(EXIT_FAILED)


def _lost_a_peer(error: Exception) -> bool:
    return isinstance(error, DistBackendError) or "gloo/transport" in str(error)


def _note(**note: Any) -> None:
    path = Path(os.environ[STORE]) / f"error-{os.environ['RANK']}.json"
    path.write_text(json.dumps(note), encoding="utf-8")


def _notes(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("error-*.json"))]


def _exit_code_after_signal(folder: Path) -> int:
    notes = _notes(folder)
    stopped = [note for note in notes if note["exit_code"] == EXIT_STOPPED]
    return EXIT_STOPPED if stopped else EXIT_FAILED


def _exit_code_of(error: ChildFailedError, folder: Path) -> int:
    for note in _notes(folder):
        if note["exit_code"] == EXIT_STOPPED:
            return EXIT_STOPPED
        sys.stderr.write(note.get("traceback", ""))
        raised = CifarzooError(note["message"])
        raised.exit_code = note["exit_code"]
        raise raised from None
    rank, failure = error.get_first_failure()
    code = failure.exitcode
    reason = failure.signal_name() if code < 0 else f"exit code {code}"
    raise CifarzooError(
        f"rank {rank} ended with {reason}; cifarzoo resume goes on from the last checkpoint"
    ) from None
