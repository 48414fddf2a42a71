"""Ranks that meet: each is one process, waiting can be ended, and who leaves is named."""

from __future__ import annotations

import os
import signal
import socket
import time
from threading import Thread, active_count

import pytest

from cifarzoo.engine.distributed.environment import (
    RankEnvironment,
    is_reported_elsewhere,
    resolve_world_size,
)
from cifarzoo.engine.distributed.heartbeat import Heartbeat
from cifarzoo.engine.distributed.rendezvous import claim_rank, open_store, rendezvous
from cifarzoo.engine.distributed.store import FileRankStore
from cifarzoo.errors import ConfigError, PeerLostError, UsageError


def test_a_second_process_of_a_rank_is_refused(tmp_path):
    rank_store, place_of_one = FileRankStore(tmp_path), RankEnvironment(rank=1, size=2)
    claim_rank(rank_store, RankEnvironment(rank=0, size=2))
    claim_rank(rank_store, place_of_one)

    with pytest.raises(UsageError, match="another process came as rank 1 before this one"):
        claim_rank(rank_store, place_of_one)


def test_waiting_for_other_ranks_can_be_ended(tmp_path):
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        rendezvous(FileRankStore(tmp_path), RankEnvironment(rank=0, size=2), {}, stop)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(InterruptedError):  # nothing listens there
            open_store(RankEnvironment(rank=1, size=2, address="127.0.0.1", port=port), stop)
        unused.listen()  # and never answers
        with pytest.raises(InterruptedError):
            open_store(RankEnvironment(rank=1, size=2, address="127.0.0.1", port=port), stop)


def test_a_patience_that_ranks_would_refuse_is_refused_before_they_are_launched(monkeypatch):
    monkeypatch.setenv("CIFARZOO_PATIENCE", "1")

    with pytest.raises(UsageError, match="CIFARZOO_PATIENCE is '1'; expected a number of seconds"):
        resolve_world_size(2)


@pytest.mark.parametrize(("local_rank", "waits"), [("first", 0), ("0", 0), ("1", 1)])
def test_only_a_later_rank_of_a_host_waits_for_the_first_to_tell(monkeypatch, local_rank, waits):
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": local_rank}.items():
        monkeypatch.setenv(name, value)

    assert not is_reported_elsewhere(UsageError("what all ranks find alone"))

    assert len(waited) == waits


@pytest.mark.parametrize("hosts", ["ab", "abc"])
def test_a_rank_of_another_host_is_named_though_its_last_beat_comes_late(tmp_path, hosts):
    rank_store = FileRankStore(tmp_path)
    ranks = [{"host": host, "pid": 1, "parent": 0} for host in hosts]

    def beat() -> None:
        for number in range(35):
            rank_store.set("beat-2", f"{number} in step 3")
            if number == 1:
                rank_store.set("beat-1", "7 in step 3")
            time.sleep(0.2)

    beating = Thread(target=beat)
    beating.start()
    with (
        pytest.raises(PeerLostError, match=r"^rank 1 on b ended or cannot be reached"),
        Heartbeat(rank_store, 0, ranks, patience=45).running(),
    ):
        raise RuntimeError("Connection reset by peer")
    beating.join()


def test_a_lost_rank_is_named_though_a_component_says_it_in_words_of_its_own(tmp_path):
    ranks = [{"host": host, "pid": 1, "parent": 0} for host in "ab"]
    heartbeat = Heartbeat(FileRankStore(tmp_path), 0, ranks, patience=45)
    heartbeat._lost = "rank 1 on b ended"

    with pytest.raises(PeerLostError, match=r"^rank 1 on b ended"), heartbeat.naming_lost_ranks():
        raise ConfigError("fails") from RuntimeError("Connection reset by peer")
    with pytest.raises(ConfigError, match="fails"), heartbeat.naming_lost_ranks():
        raise ConfigError("fails") from RuntimeError("shapes cannot be multiplied")


@pytest.mark.parametrize("host", ["a", "b"])
def test_a_rank_that_hangs_is_killed_on_this_host_alone(tmp_path, monkeypatch, host):
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr("os.kill", lambda *arguments: killed.append(arguments))
    here = {"host": "a", "pid": os.getpid(), "parent": os.getppid()}
    there = {**here, "host": host}  # the same process ids, as of two containers

    Heartbeat(FileRankStore(tmp_path), 0, [here, there], patience=45)._kill_sibling(there)

    assert killed == [(os.getpid(), signal.SIGKILL)] * (host == "a")


class SlowAtFirst(FileRankStore):
    """A store that takes a while over a beat, as one on another host may."""

    def set(self, name: str, text: str, /) -> None:
        time.sleep(0.3 * (text != "left"))
        super().set(name, text)


def test_the_last_word_of_a_rank_is_that_it_left_and_no_thread_outlives_it(tmp_path):
    here = {"host": "a", "pid": os.getpid(), "parent": os.getppid()}
    rank_store, before = SlowAtFirst(tmp_path), active_count()

    with Heartbeat(rank_store, 0, [here, here], patience=45).running():
        time.sleep(0.05)  # the first beat is on its way

    assert active_count() == before
    time.sleep(0.5)
    assert rank_store.get(["beat-0"]) == ["left"]
