"""The cases of D5: environments that make no sense, and what processes are to say of them."""

from __future__ import annotations

import http.server
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from threading import Thread

from cifarzoo.engine.distributed import rendezvous
from cifarzoo.errors import EXIT_FAILED, EXIT_USAGE

WAIT = 10.0  # seconds that ranks wait for each other here, in place of START_SECONDS
RIGHT = {
    "RANK": "0",
    "WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
    "OMP_NUM_THREADS": "1",
}
NO_RANK = {**dict.fromkeys(RIGHT, ""), "MASTER_PORT": ""}


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
        says=("what listens on .* is no store of ranks, or does not answer",),
        ranks=(Rank(environment=SECOND),),
        held=mute,
        wait=rendezvous.ANSWER_SECONDS,
    ),
    Case(
        name="a port that a web server holds",
        says=("what listens on .* is no store of ranks, or does not answer",),
        ranks=(Rank(environment=SECOND),),
        held=web_server,
        wait=rendezvous.ANSWER_SECONDS,
    ),
    Case(
        name="two processes of rank 0",
        says=(
            "port [0-9]+ of this host is in use|what listens on .* is no store of ranks",
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
        says=("rank 1 found no store at 127.0.0.1:[0-9]+ within 10 s: .*is rank 0 running",),
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
