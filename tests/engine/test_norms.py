"""Every kind of norm in a run: in groups, on ranks, in micro-batches, or refused by its name."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from cifarzoo.engine.distributed.launcher import launch
from cifarzoo.engine.runner import execute
from cifarzoo.errors import CifarzooError, ConfigError
from tests.engine.test_ranks import check_parts_and_ranks
from tests.layers.test_norms import Activated, ByHand, Functional
from tests.tiny import tiny_task, train_as_rank


class EveryNorm(nn.Module):
    """A network in which every kind of norm keeps statistics."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 4, 4), Activated(8), nn.Conv2d(8, 8, 3, 2), Functional(8)
        )
        self.pixels = nn.Sequential(
            nn.BatchNorm1d(8), nn.InstanceNorm1d(8, track_running_stats=True)
        )
        self.volume = nn.BatchNorm3d(8)
        self.head = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.SyncBatchNorm(16))
        self.tokens = nn.BatchNorm1d(8)
        self.out = nn.Linear(16, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        pixels = self.pixels(self.body(images).flatten(2))
        pixels = self.volume(pixels[:, :, :, None, None]).flatten(2).transpose(1, 2)
        tokens = self.tokens(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])
        logits: Tensor = self.out(self.head(tokens.mean(1)))
        return logits


def every_norm(num_classes: int) -> nn.Module:
    """``EveryNorm``."""
    return EveryNorm(num_classes)


def test_every_kind_of_norm_obeys_groups_in_micro_batches_and_on_ranks(tmp_path):
    changes = {"architecture": every_norm, "bn_group_size": 4, "precision": "float64"}
    check_parts_and_ranks(tmp_path, {**changes, "max_steps": 4})


def by_hand(num_classes: int) -> nn.Module:
    """A network whose norm takes statistics by itself."""
    pooled = nn.Sequential(nn.Conv2d(3, 8, 4, 4), ByHand(8), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(pooled, nn.Flatten(), nn.Linear(8, num_classes))


@pytest.mark.parametrize("changes", [{"bn_group_size": 8}, {"micro_batch_size": 8}])
def test_a_norm_that_cannot_be_told_its_group_is_refused_by_its_name(tmp_path, changes):
    execute(tiny_task(tmp_path, "whole", architecture=by_hand, max_steps=1))
    grouped = tiny_task(
        tmp_path, "grouped", architecture=by_hand, **({"bn_group_size": 8} | changes)
    )
    with pytest.raises(ConfigError, match=r"has 0\.1, a ByHand that takes statistics .* by itself"):
        execute(grouped)
    assert "started" not in grouped.open_folder().record


def test_ranks_too_refuse_a_norm_that_cannot_be_told_its_group(tmp_path):
    with pytest.raises(CifarzooError, match=r"by_hand: has 0\.1, a ByHand.* one process") as info:
        launch(train_as_rank, (tmp_path, "run", {"architecture": by_hand}), nproc=2)
    assert info.value.exit_code == 2
