"""A SLURM of one node on this machine, from Debian's packages, that is gone afterwards.

Its daemons talk over loopback, keep everything in a folder of their own, and need root. Processes
are told by their parents, without cgroups: no machine has to be set up for it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
PACKAGES = "apt-get install --no-install-recommends slurm-wlm munge"
PATIENCE = 30  # seconds in which it has to be up, or to come to rest
# Jobs in ``low`` make room for those in ``urgent``, which tells them 30 seconds before.
CONF = """\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_interval=2
KillWait=30
JobRequeue=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=30
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
"""


class NoClusterError(Exception):
    """SLURM can't be started here; the message says why."""


@dataclass(kw_only=True)
class Cluster:
    """A SLURM that is up.

    Attributes:
        environment: Variables with which its commands find it.
    """

    environment: dict[str, str]
    _daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, *command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command that finds this SLURM."""
        words = [str(word) for word in command]
        return subprocess.run(
            words, env=self.environment, capture_output=True, text=True, check=check
        )

    def state(self, job: str) -> str:
        """The state of a job; empty: it isn't queued any more."""
        told = self.run("squeue", "-h", "--array", "-o", "%T", "-j", job, check=False)
        return told.stdout.strip()

    def release(self, job: str) -> None:
        """Start a job that was queued again without the two minutes that SLURM lets pass.

        Some seconds have to: within one, a node takes it for the job that it has just ended.
        """
        wait_until(lambda: self.state(job) == "PENDING", f"{job} to be queued again")
        self.run("scontrol", "update", f"JobId={job}", "StartTime=now+3")


def wait_until(condition, what, seconds=4 * PATIENCE):
    """Wait for something of SLURM."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
        time.sleep(0.2)
    return found


@contextmanager
def one_node(folder: Path, *, cpus: int = 2) -> Iterator[Cluster]:
    """A SLURM of one node, within ``with``.

    Args:
        folder: Folder for all that it writes.
        cpus: Processors that it takes the node to have.

    Raises:
        NoClusterError: It can't be started here.
    """
    if missing := [name for name in DAEMONS if not shutil.which(name, path=search_path())]:
        raise NoClusterError(f"there is no {missing[0]} here: {PACKAGES}")
    if os.geteuid() != 0:
        raise NoClusterError("SLURM's daemons need root")
    conf = write_files(folder, cpus)
    environment = {**os.environ, "SLURM_CONF": str(conf), "PATH": search_path()}
    cluster = Cluster(environment=environment)
    try:
        start(cluster, folder, conf)
        yield cluster
        cluster.run("scancel", "--me", check=False)
        wait_until(lambda: not cluster.run("squeue", "-h").stdout, "all jobs to end")
    finally:
        for daemon in reversed(cluster._daemons):
            daemon.terminate()
            try:
                daemon.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def search_path() -> str:
    """Where daemons lie, for users whose PATH hasn't it."""
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def write_files(folder: Path, cpus: int) -> Path:
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge/key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(1024))
    conf = folder / "slurm.conf"
    host = socket.gethostname().partition(".")[0]
    conf.write_text(CONF.format(folder=folder, host=host, ports=free_ports(), cpus=cpus))
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\nCgroupPlugin=cgroup/v1\n")
    return conf


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def start(cluster: Cluster, folder: Path, conf: Path) -> None:
    munge = folder / "munge"
    files = [f"--{name}-file={munge / name}" for name in ("key", "log", "pid", "seed")]
    commands = [
        ["munged", "--foreground", "--force", f"--socket={munge / 'socket'}", *files],
        ["slurmctld", "-D", "-f", str(conf)],
        ["slurmd", "-D", "-f", str(conf)],
    ]
    for command in commands:
        with (folder / f"{command[0]}.out").open("wb") as out:
            cluster._daemons.append(
                subprocess.Popen(command, env=cluster.environment, stdout=out, stderr=out)
            )
        if command[0] == "munged":
            wait_for_start((munge / "socket").exists, cluster, folder)
    wait_for_start(
        lambda: "idle" in cluster.run("sinfo", "-h", "-o", "%T", check=False).stdout,
        cluster,
        folder,
    )


def wait_for_start(condition, cluster: Cluster, folder: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        ended = [daemon.args[0] for daemon in cluster._daemons if daemon.poll() is not None]
        if ended or time.monotonic() > end:
            name = ended[0] if ended else cluster._daemons[-1].args[0]
            lines = (folder / f"{name}.out").read_text(errors="replace").splitlines()
            raise NoClusterError(f"{name} did not come up: {' | '.join(lines[-3:])}")
        time.sleep(0.2)
