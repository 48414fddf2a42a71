"""A cell trained in a process of its own: ``cifarzoo resume FOLDER``, as any queue would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cifarzoo.sweeps.plan import Cell

MOST_SHOWN = 64 << 10  # bytes at the end of what a process said
# What a launcher around the sweep says to its own ranks must not reach those of a cell.
OF_LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one cell's process may use.

    Attributes:
        threads: Threads of its arithmetic; None: as many as torch takes.
        devices: Numbers of its GPUs; empty: it isn't told which.
        nproc: Processes that train a cell together; None: as ``cifarzoo resume`` has it.
    """

    threads: int | None = None
    devices: tuple[int, ...] = ()
    nproc: int | None = None

    def environment(self) -> dict[str, str]:
        """The variables that hold a process to it."""
        found = {}
        if self.threads is not None:
            found["OMP_NUM_THREADS"] = str(self.threads)
        if self.devices:
            found["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, self.devices))
        return found


def command(folder: Path, *, data: Path | None, nproc: int | None = None) -> list[str]:
    """The words after ``cifarzoo`` that train a cell, go on with it, or say what it came to."""
    words = ["resume", str(folder)]
    if data is not None:
        words += ["--data", str(data)]
    if nproc is not None:
        words += ["--nproc", str(nproc)]
    return words


class RunProcess:
    """A running process that trains the run of a folder.

    What it writes to stderr goes to a file without a name: it outlives this process if it must.

    Args:
        folder: Folder of the run.
        resources: What the process may use.
        data: Folder of the data; None: not known.
    """

    def __init__(self, folder: Path, resources: Resources, *, data: Path | None) -> None:
        self.resources = resources
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # until close
        inherited = {n: v for n, v in os.environ.items() if n not in OF_LAUNCHERS}
        self._process = subprocess.Popen(  # noqa: S603
            [
                *(sys.executable, "-P", "-m", "cifarzoo"),
                *command(folder, data=data, nproc=resources.nproc),
                "--json",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
            env={**inherited, **resources.environment()},
            process_group=0,  # Ctrl-C reaches this process alone, which passes it on
        )

    def exit_code(self) -> int | None:
        """How it ended; None: it runs."""
        return self._process.poll()

    def wait(self) -> int:
        """How it ended, once it has; a signal's handler may call it while another call waits.

        ``Popen.wait`` takes a lock, for which a handler would wait for ever.
        """
        if self._process.returncode is not None:
            return self._process.returncode
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None  # noqa: S101  # as only WNOHANG finds nothing
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def stop(self) -> None:
        """Ask it to save a checkpoint and end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it, and those it started, at once."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def words(self) -> str:
        """The end of what it wrote to stderr."""
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - MOST_SHOWN))
        return self._stderr.read().decode(errors="replace")

    def last_words(self) -> str:
        """The last line that it wrote to stderr, which says why it ended early."""
        lines = self.words().splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close(self) -> None:
        """Let go of what it wrote."""
        self._stderr.close()


class CellProcess(RunProcess):
    """A running process that trains a cell.

    Args:
        cell: Cell that is trained.
        resources: What the process may use.
        data: Folder of the data; None: not known.
    """

    def __init__(self, cell: Cell, resources: Resources, *, data: Path | None) -> None:
        super().__init__(cell.folder, resources, data=data)
        self.cell = cell
