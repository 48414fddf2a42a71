"""Two hosts on one machine: network namespaces that a cable joins, each with a torchrun of its own.

Needs root. ``python -m tests.trust D4`` tries everything that can happen between them;
``tests/engine/test_two_hosts.py`` the usual.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

PORT = 29500
FIRST = "10.77.0.1"
NUMBERS = count()  # pairs of hosts may be there at the same time
CONFIG = """\
run.dataset = @glyphs
glyphs.train_images = 160
glyphs.test_images = 61
run.augmentations = [@pad_crop, @flip, @normalize]
run.architecture = @resnet8
resnet8.stem_stride = 4
run.optimizer = @sgd
sgd.lr = 0.1
run.schedule = @cosine
run.regularizers = [@mixup, @ema]
run.validation_images = 20
run.batch_size = 32
run.checkpoint_steps = 4
"""


class Host:
    """A network namespace with an address, a name and a folder, and what runs in it.

    Args:
        name: ``a`` or ``b``.
        number: Last part of its address.
        folder: Its disk.
    """

    def __init__(self, name: str, number: int, folder: Path) -> None:
        self.name = name
        self.namespace = f"cifarzoo-{os.getpid()}-{next(NUMBERS)}{name}"
        self.address = f"10.77.0.{number}"
        self.folder = folder
        self.log = folder / f"log-{name}"
        self._agent: subprocess.Popen[bytes] | None = None
        folder.mkdir(exist_ok=True)
        (folder / "config.gin").write_text(CONFIG)

    def start(
        self,
        *arguments: str,
        torchrun: tuple[str, ...] = (),
        restarts: bool = True,
        **variables: str,
    ) -> None:
        """Start ``cifarzoo run config.gin --run-dir run ARGUMENTS`` on one rank of this host.

        Args:
            arguments: Of cifarzoo.
            torchrun: Further arguments of torchrun.
            restarts: Whether hosts meet in the way that allows restarts, or in the simple one.
            variables: Of the environment.
        """
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"]
        launcher += ["--nproc-per-node", "1"]
        if restarts:
            launcher += ["--rdzv-backend", "c10d", "--rdzv-id", "run"]
            launcher += ["--rdzv-endpoint", f"{FIRST}:{PORT}", "--local-addr", self.address]
            is_host = f"is_host={int(self.address == FIRST)}"
            launcher += ["--rdzv-conf", f"{is_host},join_timeout=120", *torchrun]
        else:
            launcher += ["--node-rank", str(int(self.address != FIRST)), "--master-addr", FIRST]
            launcher += ["--master-port", str(PORT), *torchrun]
        run = ["-m", "cifarzoo", "run", "config.gin", "--run-dir", "run", *arguments]
        environment = {
            **os.environ,
            "GLOO_SOCKET_IFNAME": "eth0",
            "OMP_NUM_THREADS": "1",
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
            **variables,
        }
        named = ["unshare", "--uts", "sh", "-c", f'hostname {self.name}; exec "$@"', "sh"]
        with self.log.open("ab") as log:
            self._agent = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, *named, *launcher, *run],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def workers(self) -> list[int]:
        """The ranks of this host, by process id."""
        assert self._agent is not None
        path = Path(f"/proc/{self._agent.pid}/task/{self._agent.pid}/children")
        with suppress(FileNotFoundError):
            return [int(pid) for pid in path.read_text().split() if _is_rank(pid)]
        return []

    def wait(self, timeout: float) -> int | None:
        """The exit code of its torchrun; None after ``timeout`` seconds."""
        assert self._agent is not None
        with suppress(subprocess.TimeoutExpired):
            return self._agent.wait(timeout)
        return None

    def wait_for(self, text: str, *, timeout: float = 200) -> float:
        """Wait until ``text`` was said on this host; the time at which that was."""
        until = time.monotonic() + timeout
        while text not in self.said():
            if time.monotonic() > until:
                raise TimeoutError(f"host {self.name} never said {text!r}: {self.said()[-3000:]}")
            time.sleep(0.05)
        return time.monotonic()

    def said(self) -> str:
        """All that was said on this host."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kill(self) -> None:
        """As a power cut: no process of this host lives on."""
        for pid in self.workers + ([self._agent.pid] if self._agent else []):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._agent:
            self._agent.wait()

    @property
    def record(self) -> dict[str, Any]:
        """The run.json on this host's disk."""
        record: dict[str, Any] = json.loads((self.folder / "run" / "run.json").read_text())
        return record


def why_not() -> str:
    """Why there can be no two hosts here; empty if there can."""
    name = f"cifarzoo-{os.getpid()}-try"
    try:
        _ip("netns", "add", name)
        try:
            # Both ends within it: outside, tests at the same time would take the same name.
            peer = ("peer", "name", "try1", "netns", name)
            _ip("link", "add", "name", "try0", "netns", name, "type", "veth", *peer)
        finally:
            _ip("netns", "delete", name)
    except FileNotFoundError:
        return "there is no iproute2 here"
    except subprocess.CalledProcessError as error:
        return f"network namespaces can't be made here: {error.stderr.decode().strip()}"
    return ""


@contextmanager
def two_hosts(folder: Path, *, share_disk: bool = False) -> Iterator[tuple[Host, Host]]:
    """Hosts a and b, 10.77.0.1 and 10.77.0.2, for the length of ``with``.

    Args:
        folder: Of their disks, one each.
        share_disk: Whether b works on a's disk, as on a network's.
    """
    hosts = Host("a", 1, folder / "a"), Host("b", 2, folder / ("a" if share_disk else "b"))
    try:
        for host in hosts:
            _ip("netns", "add", host.namespace)
        ends = [host.namespace for host in hosts]
        peer = ("peer", "name", "eth0", "netns", ends[1])
        _ip("link", "add", "name", "eth0", "netns", ends[0], "type", "veth", *peer)
        for host in hosts:
            _ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", "eth0")
            for interface in ("eth0", "lo"):
                _ip("-n", host.namespace, "link", "set", interface, "up")
        yield hosts
    finally:
        for host in hosts:
            host.kill()
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", host.namespace)


def cut_cable(host: Host) -> None:
    """Nothing reaches ``host`` or leaves it any more."""
    _ip("-n", host.namespace, "link", "set", "eth0", "down")


def mend_cable(host: Host) -> None:
    """Undo ``cut_cable``."""
    _ip("-n", host.namespace, "link", "set", "eth0", "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _is_rank(pid: str) -> bool:
    with suppress(OSError):  # it has just ended
        return b"RANK=" in Path(f"/proc/{pid}/environ").read_bytes()
    return False
