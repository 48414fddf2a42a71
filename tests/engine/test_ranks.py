"""Several processes give what one gives, and end together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cifarzoo.engine.assembly.build import build
from cifarzoo.engine.assembly.forward import uses_all_parameters
from cifarzoo.engine.distributed.environment import (
    restarts,
)
from cifarzoo.engine.distributed.launcher import launch
from cifarzoo.engine.runner import execute
from cifarzoo.errors import CifarzooError, NotFiniteError, StoppedError
from cifarzoo.protocols import Regularizer, Residual, Timestamp
from cifarzoo.zoo.architectures.named import resnet8
from cifarzoo.zoo.optimizers.sgd import sgd
from cifarzoo.zoo.regularizers.average.ema import ema
from cifarzoo.zoo.regularizers.batch.mixup import mixup
from cifarzoo.zoo.regularizers.branch.shake_drop import shake_drop
from cifarzoo.zoo.regularizers.branch.shake_shake import shake_shake
from tests.tiny import (
    TinyNet,
    evaluated,
    is_training,
    noisy_sgd,
    tiny_run,
    tiny_task,
    train_as_rank,
)


def on_ranks(root: Path, name: str, changes: dict[str, Any], *, nproc: int = 2) -> Any:
    launch(train_as_rank, (root, name, changes), nproc=nproc)
    return tiny_task(root, name, **changes).open_folder()


def weights(folder: Any) -> dict[str, torch.Tensor]:
    newest = max(folder.checkpoints.iterdir())
    return torch.load(newest / "state.pt", weights_only=True)["model"]


def check_parts_and_ranks(root: Path, changes: dict[str, Any]) -> None:
    """Micro-batches of four, and two ranks, train what one pass on one process trains."""
    in_parts = {**changes, "micro_batch_size": 4}
    folders = []
    for name, settings in (("alone", changes), ("parts", in_parts)):
        execute(tiny_task(root, name, **settings))
        folders.append(tiny_task(root, name, **settings).open_folder())
    alone, parts = folders
    for other in (parts, on_ranks(root, "ranks", changes)):
        torch.testing.assert_close(weights(other), weights(alone), rtol=1e-9, atol=1e-12)
        losses = [folder.metrics()[-1]["train_loss"] for folder in (other, alone)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-12)


@pytest.mark.parametrize(
    "changes",
    [
        {"regularizers": [shake_shake, shake_drop, mixup, ema], "optimizer": noisy_sgd},
        {"bn_group_size": 4},
        {"bn_group_size": 4, "micro_batch_size": 4},
    ],
    ids=[
        "synchronised statistics, every kind of draw, an optimizer's noise",
        "ghost groups",
        "micro-batches",
    ],
)
def test_two_processes_equal_one(task, tmp_path, changes):
    # In float64 a mistake has nowhere to hide: only the order of sums differs.
    changes = {**changes, "max_steps": 5, "epochs": 1, "precision": "float64"}
    alone = task("alone", **changes)
    execute(alone)

    together = on_ranks(tmp_path, "together", changes)

    torch.testing.assert_close(
        weights(together), weights(alone.open_folder()), rtol=1e-10, atol=1e-13
    )
    one, two = (folder.metrics()[-1] for folder in (alone.open_folder(), together))
    assert one["test_error"] == two["test_error"]
    assert one["train_loss"] == pytest.approx(two["train_loss"], rel=1e-13)


@pytest.mark.parametrize("kernels", ["torch", "fused"])
@pytest.mark.parametrize("changes", [{}, {"bn_group_size": 4}], ids=["shared", "ghost groups"])
def test_two_processes_equal_one_but_for_rounding_whoevers_kernels(
    task, tmp_path, kernels, changes
):
    changes = {**changes, "architecture": dropping_in_step, "kernels": kernels, "max_steps": 5}
    alone = task("alone", **changes)
    execute(alone)

    together = on_ranks(tmp_path, "together", changes)

    # Five steps in float32, whose sums are in another order.
    torch.testing.assert_close(
        weights(together), weights(alone.open_folder()), rtol=1e-3, atol=1e-4
    )


def dropping_in_step(num_classes: int, residual: Residual) -> nn.Module:
    """A tiny network with a norm, its activation and its dropout in a row."""
    network = TinyNet(num_classes, residual, 8)
    network.stem.extend([nn.ReLU(), nn.Dropout(0.2)])
    return network


class Unsteady(TinyNet):
    """Has a head that it never uses, a block in every second step, and one in the last half."""

    def __init__(self, num_classes: int, residual: Residual) -> None:
        super().__init__(num_classes, residual, 8)
        self.never = nn.Linear(8, num_classes)
        self.sometimes, self.later = (nn.Conv2d(3, 3, 1) for _ in range(2))
        self.step = 0

    def begin_step(self, timestamp: Timestamp) -> None:
        self.step = timestamp.step
        self.blocks[0].requires_grad_(timestamp.step != 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.sometimes(x) if self.step % 2 else x
        return super().forward(self.later(x) if self.step > 2 else x)


@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_parameters_that_a_step_does_not_use_are_those_of_one_process(tmp_path, clip_norm):
    check_parts_and_ranks(
        tmp_path,
        {
            "architecture": Unsteady,
            "clip_norm": clip_norm,
            "bn_group_size": 4,
            "max_steps": 6,
            "epochs": 1,
            "precision": "float64",
        },
    )


def test_only_of_known_code_it_is_known_that_all_is_used():
    ours = build(tiny_run(architecture=resnet8), folder=None).model
    assert uses_all_parameters(ours, {"mixup": mixup()})
    assert not uses_all_parameters(ours, {"seeing": Seeing()})
    assert not uses_all_parameters(build(tiny_run(), folder=None).model, {})


class Seeing(Regularizer):
    """Sees the forward pass, and may do with it whatever it likes."""

    def network(self, forward: Any, images: Any, targets: Any, draws: Any) -> Any:
        del draws
        return forward(images, targets)


def test_groups_of_some_of_the_ranks_equal_groups_on_one_process(task, tmp_path):
    changes = {"bn_group_size": 8, "max_steps": 3, "epochs": 1, "precision": "float64"}
    alone = task("alone", **changes)
    execute(alone)

    together = on_ranks(tmp_path, "together", changes, nproc=4)  # of four images: two share

    torch.testing.assert_close(
        weights(together), weights(alone.open_folder()), rtol=1e-10, atol=1e-13
    )


def test_statistics_that_ranks_do_not_share_are_averaged(task, tmp_path):
    changes = {"architecture": pixel_net, "max_steps": 3}
    alone = task("alone", **changes)
    execute(alone)

    together = on_ranks(tmp_path, "together", changes)

    # The mean of the ranks' means is the mean of the batch.
    torch.testing.assert_close(
        weights(together)["2.running_mean"], weights(alone.open_folder())["2.running_mean"]
    )


def pixel_net(num_classes: int) -> nn.Module:
    """A linear model with a norm that does not know of ranks."""
    norm = nn.BatchNorm1d(48)
    return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), norm, nn.Linear(48, num_classes))


def test_a_run_whose_groups_need_its_ranks_is_tested_on_one_process(task, tmp_path):
    changes = {"micro_batch_size": 8, "max_steps": 2}  # 16 images share statistics, on two ranks
    together = on_ranks(tmp_path, "together", changes)

    tested = evaluated(task("together", **changes))

    assert tested.test.error == together.record["test_error"]


def test_ranks_that_stop_for_a_signal_go_on_as_one_or_two(task, tmp_path):
    changes = {"epochs": 3, "checkpoint_steps": 4}
    whole = on_ranks(tmp_path, "whole", changes)
    stopping = {**changes, "schedule": stopping_schedule}
    with pytest.raises(
        StoppedError, match=r"stopped by SIGUSR1 after step \d+ of \d+, with"
    ) as info:
        launch(train_as_rank, (tmp_path, "stopped", stopping), nproc=2)
    assert info.value.signal == "SIGUSR1"
    stopped = tiny_task(tmp_path, "stopped", **stopping).open_folder()
    assert stopped.record["status"] == "stopped"

    resumed = on_ranks(tmp_path, "stopped", stopping)

    assert resumed.record["weights_sha256"] == whole.record["weights_sha256"]


def stopping_schedule() -> Any:
    """The usual schedule; sends rank 1 alone SIGUSR1 in step 10 of its first attempt."""
    from cifarzoo.zoo.schedules.cosine import cosine

    factor = cosine()

    def at(moment: Any) -> float:
        if moment.step == 10 and is_training() and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGUSR1)
        return factor(moment)

    return at


def test_what_one_rank_refuses_is_raised_once_with_its_exit_code(tmp_path):
    with pytest.raises(CifarzooError, match="batch_size is 999; expected at most") as info:
        launch(train_as_rank, (tmp_path, "run", {"batch_size": 999}), nproc=2)

    assert info.value.exit_code == 2


def test_a_loss_that_is_not_finite_ends_all_ranks_with_exit_code_4(tmp_path):
    changes = {"optimizer": partial(sgd, lr=1e30)}

    with pytest.raises(CifarzooError, match="is not finite in step") as info:
        launch(train_as_rank, (tmp_path, "run", changes), nproc=2)

    assert info.value.exit_code == NotFiniteError.exit_code == 4


def test_a_rank_that_is_killed_ends_the_others(tmp_path):
    with pytest.raises(CifarzooError, match=r"rank 1 ended with SIGKILL; cifarzoo resume goes on"):
        launch(train_as_rank, (tmp_path, "run", {"schedule": killing_schedule}), nproc=2)


def killing_schedule() -> Any:
    """Kills rank 1 in step 3."""

    def at(moment: Any) -> float:
        if moment.step == 3 and is_training() and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return 1.0

    return at


def test_a_bug_on_one_rank_keeps_its_traceback(tmp_path, capsys):
    with pytest.raises(CifarzooError, match=r"^rank 1 raised ValueError: a bug$") as info:
        launch(train_as_rank, (tmp_path, "run", {"schedule": schedule_with_a_bug}), nproc=2)

    assert info.value.exit_code == 1
    assert "in at\n" in capsys.readouterr().err


def schedule_with_a_bug() -> Any:
    """Fails on rank 1."""

    def at(moment: Any) -> float:
        if moment.step == 3 and is_training() and os.environ["RANK"] == "1":
            raise ValueError("a bug")
        return 1.0

    return at


def test_a_rank_that_leaves_without_a_word_is_named_with_its_exit_code(tmp_path):
    with pytest.raises(CifarzooError, match="rank 1 ended with exit code 7; cifarzoo resume"):
        launch(train_as_rank, (tmp_path, "run", {"schedule": leaving_schedule}), nproc=2)


def leaving_schedule() -> Any:
    """Ends rank 1."""

    def at(_moment: Any) -> float:
        if os.environ["RANK"] == "1":
            raise SystemExit(7)
        return 1.0

    return at


def test_torchrun_starts_ranks_that_agree(tmp_path):
    script = tmp_path / "work.py"
    script.write_text(
        "import pathlib, torch\n"
        "from tests.tiny import train_as_rank\n"
        "torch.set_num_threads(1)\n"
        f"train_as_rank((pathlib.Path({str(tmp_path)!r}), 'run', {{'max_steps': 3}}))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--standalone", str(script)]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "GLOO_SOCKET_IFNAME": "lo"}

    subprocess.run(command, check=True, env=environment, timeout=200, capture_output=True)

    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["status"], record["world_size"]) == ("done", 2)


def test_a_run_goes_on_from_its_checkpoint_after_a_rank_was_killed(tmp_path):
    changes = {"checkpoint_steps": 4, "epochs": 1, "kernels": "fused"}
    whole = on_ranks(tmp_path, "whole", changes)
    heard: list[str] = []
    killed = {**changes, "schedule": killing_once}

    job = (tmp_path, "killed", killed)
    launch(train_as_rank, job, nproc=2, max_restarts=1, warn=heard.append)

    record = tiny_task(tmp_path, "killed", **killed).open_folder().record
    assert heard == ["rank 1 ended with SIGKILL; restarting all ranks (1 of 1)"]
    assert record["weights_sha256"] == whole.record["weights_sha256"]


def killing_once() -> Any:
    """The usual schedule; kills rank 1 in step 6 of the first attempt."""
    from cifarzoo.zoo.schedules.cosine import cosine

    factor = cosine()

    def at(moment: Any) -> float:
        is_first_attempt = os.environ["RANK"] == "1" and restarts()[0] == 0
        if is_first_attempt and moment.step == 6 and is_training():
            os.kill(os.getpid(), signal.SIGKILL)
        return factor(moment)

    return at


def test_restarts_are_counted_and_what_the_user_must_mend_is_not_tried_again(tmp_path):
    heard: list[str] = []
    job = (tmp_path, "killed", {"schedule": killing_schedule})
    with pytest.raises(
        CifarzooError, match="rank 1 ended with SIGKILL, after 1 of 1 restarts; cif"
    ):
        launch(train_as_rank, job, nproc=2, max_restarts=1, warn=heard.append)
    assert len(heard) == 1

    job = (tmp_path, "refused", {"batch_size": 999})
    with pytest.raises(CifarzooError, match="batch_size is 999"):
        launch(train_as_rank, job, nproc=2, max_restarts=1, warn=heard.append)
    assert len(heard) == 1


def test_a_rank_that_hangs_is_named_with_its_step(tmp_path, monkeypatch):
    monkeypatch.setenv("CIFARZOO_PATIENCE", "5")
    job = (tmp_path, "hung", {"schedule": stopping_for_good})

    with pytest.raises(
        CifarzooError, match=r"rank 1 has not answered for 5 s \(it was in step 4\)"
    ):
        launch(train_as_rank, job, nproc=2)

    record = json.loads((tmp_path / "hung" / "run.json").read_text())
    assert record["error"].startswith("rank 1 has not answered for 5 s")


def stopping_for_good() -> Any:
    """Stops rank 1, as a frozen machine does, after step 3, once it has said where it is."""

    def at(moment: Any) -> float:
        if moment.step == 3 and is_training() and os.environ["RANK"] == "1":
            time.sleep(2.5)
            os.kill(os.getpid(), signal.SIGSTOP)
        return 1.0

    return at
