"""What ranks are told by their environment, and what they must have in common."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
import torch

from cifarzoo.engine.distributed.environment import (
    RankEnvironment,
    is_worker,
    lone_task,
    rank_environment,
    resolve_world_size,
)
from cifarzoo.engine.distributed.launcher import launch
from cifarzoo.engine.distributed.rendezvous import open_store, rendezvous
from cifarzoo.engine.distributed.store import FileRankStore
from cifarzoo.engine.distributed.world import group_options
from cifarzoo.errors import CifarzooError, UsageError
from cifarzoo.protocols import Dataset
from cifarzoo.zoo.datasets.glyphs import glyphs
from tests.tiny import train_as_rank


def test_a_gpu_is_bound_to_its_backend_and_a_cpu_needs_gloo():
    gpu = torch.device("cuda", 1)

    assert group_options(gpu) == {"backend": "nccl", "device_id": gpu}
    assert group_options(torch.device("cpu")) == {"backend": "gloo"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"MASTER_ADDR": ""}, "no MASTER_ADDR; expected the host of rank 0"),
        ({"MASTER_PORT": "70000"}, "MASTER_PORT is 70000; expected a port from 1 to 65535"),
        ({"GLOO_SOCKET_IFNAME": "eth99"}, "GLOO_SOCKET_IFNAME is 'eth99'; this host has .*lo"),
        ({"CIFARZOO_PATIENCE": "soon"}, "CIFARZOO_PATIENCE is 'soon'; expected a number of sec"),
        (
            {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_MAX_RESTARTS": "3"},
            "--max-restarts needs TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1",
        ),
    ],
)
def test_a_meeting_point_that_there_cannot_be_is_refused(monkeypatch, changes, message):
    right = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29999"}
    for name, value in {**right, **changes}.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(UsageError, match=message):
        rank_environment()


SRUN = {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "1"}
MASTER = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29999"}


def test_a_task_of_srun_is_a_rank_where_it_is_said_where_ranks_meet(monkeypatch):
    for name, value in {**SRUN, **MASTER}.items():
        monkeypatch.setenv(name, value)

    here = rank_environment()

    assert (here.rank, here.size, here.local_rank) == (3, 4, 1)
    assert (here.address, here.port) == ("127.0.0.1", 29999)
    assert not lone_task()


@pytest.mark.parametrize(
    ("environment", "rank"),
    [
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", **MASTER}, None),
        ({**SRUN, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", **MASTER}, None),
        ({**SRUN, **MASTER, "RANK": "1", "WORLD_SIZE": "2"}, 1),
    ],
    ids=["a batch script", "a step of one task", "torchrun within a task"],
)
def test_what_srun_did_not_start_as_one_of_several_is_none(monkeypatch, environment, rank):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert is_worker() == (rank is not None)
    assert not lone_task()
    assert rank is None or rank_environment().rank == rank


def test_tasks_of_srun_that_do_not_know_of_each_other_say_so(monkeypatch):
    for name, value in SRUN.items():
        monkeypatch.setenv(name, value)

    assert resolve_world_size(1) == 1
    assert lone_task() == (
        "SLURM started 4 tasks, and each trains for itself: 4 tasks are 4 trainings; export "
        "MASTER_ADDR and MASTER_PORT to have them train together"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"SLURM_PROCID": "4"}, "SLURM_PROCID is 4; expected less than SLURM_STEP_NUM_TASKS, wh"),
        ({"SLURM_STEP_NUM_TASKS": "two"}, "SLURM_STEP_NUM_TASKS is 'two'; expected a number"),
        ({"MASTER_PORT": ""}, "MASTER_PORT is ''; expected a number"),
    ],
)
def test_what_slurm_says_is_refused_by_slurms_own_name(monkeypatch, changes, message):
    for name, value in {**SRUN, **MASTER, **changes}.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(UsageError, match=message):
        rank_environment()


def test_a_port_that_is_held_is_said_at_once():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]

        with pytest.raises(UsageError, match=f"port {port} of this host is in use"):
            open_store(RankEnvironment(rank=0, size=2, address="127.0.0.1", port=port))


def test_ranks_that_would_train_something_else_are_named(tmp_path):
    rank_store = FileRankStore(tmp_path)
    there = {"host": "b", "pid": 1, "parent": 1, "fingerprint": {"config": "f" * 64}}
    rank_store.set("here-1", json.dumps(there))

    with pytest.raises(
        UsageError, match=r"^rank 1 \(on b\) and rank 0 .* have another config: fff"
    ):
        rendezvous(rank_store, RankEnvironment(rank=0, size=2), {"config": "0" * 64})


def test_ranks_that_read_other_data_are_named(tmp_path):
    said = r"rank 1 and rank 0 read other data: SHA-256 \w+\.\.\. and \w+"
    with pytest.raises(CifarzooError, match=said) as caught:
        launch(train_as_rank, (tmp_path, "run", {"dataset": glyphs_of_this_rank}), nproc=2)

    assert caught.value.exit_code == 2


def glyphs_of_this_rank(folder: Path | None) -> Dataset:
    """As of hosts with other copies of the images."""
    return glyphs(folder, train_images=128, test_images=60, seed=int(os.environ.get("RANK", "0")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RANK": "two", "WORLD_SIZE": "2"}, "environment's RANK is 'two'; expected a number"),
        ({"RANK": "0", "WORLD_SIZE": "-1"}, "environment's WORLD_SIZE is '-1'; expected a number"),
        ({"RANK": "5", "WORLD_SIZE": "2"}, "RANK is 5; expected less than WORLD_SIZE, which is 2"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused_before_any_socket(
    monkeypatch, changes, message
):
    for name, value in changes.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(UsageError, match=message):
        resolve_world_size(None)


def test_nproc_below_one_is_refused():
    with pytest.raises(UsageError, match="--nproc is 0; expected at least 1"):
        resolve_world_size(0)


def test_nproc_far_beyond_the_cores_is_refused_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)

    assert resolve_world_size(8) == 8
    with pytest.raises(UsageError, match="--nproc is 9, and this machine has 2 cores and no GPU"):
        resolve_world_size(9)


def test_nproc_beyond_the_gpus_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    with pytest.raises(UsageError, match="--nproc is 3, and this machine has 2 GPUs"):
        resolve_world_size(3)
