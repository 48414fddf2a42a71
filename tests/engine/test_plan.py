"""The arithmetic of steps, shares and groups, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from cifarzoo.engine.assembly.plan import Plan, length_warnings, plan
from cifarzoo.errors import ConfigError
from tests.tiny import tiny_run


def sizes(num_train: int = 50_000, world_size: int = 1, **changes: Any) -> Plan:
    run = tiny_run(**({"batch_size": 256, "epochs": 200} | changes))
    return plan(run, num_train=num_train, num_test=10_000, world_size=world_size)


def test_cifar10_at_batch_256_has_the_originals_steps():
    planned = sizes()

    assert planned.steps_per_epoch == 195
    assert planned.total_steps == 39_000


def test_ranks_share_the_batch_without_overlap():
    planned = sizes(world_size=4)

    rows = [list(range(256))[planned.part(rank)] for rank in range(4)]

    assert [row for part in rows for row in part] == list(range(256))
    assert {len(part) for part in rows} == {64}


@pytest.mark.parametrize(
    ("max_steps", "warnings"),
    [
        (None, []),
        (390, []),
        (196, []),  # 1.005 epochs: how a run of a part of an epoch is written
        (391, ["run.max_steps is 391 and changes nothing: run.epochs = 2 is 390 steps"]),
        (
            100,
            [
                "run.max_steps is 100 of the 390 steps of run.epochs = 2: the schedule is the "
                "whole one of a run of 100 steps, not the beginning of the longer one"
            ],
        ),
    ],
)
def test_a_length_without_effect_or_with_another_schedule_is_warned_of(
    max_steps: int | None, warnings: list[str]
):
    run = tiny_run(batch_size=256, epochs=2, max_steps=max_steps)

    planned = plan(run, num_train=50_000, num_test=10_000)

    assert length_warnings(run, planned) == warnings
    assert planned.total_steps == min(max_steps or 390, 390)


def test_validation_images_are_taken_from_the_training_images():
    planned = sizes(train_images=10_000, validation_images=1_000)

    assert (planned.train_images, planned.validation_images) == (9_000, 1_000)


def test_max_steps_shortens_the_run_and_never_lengthens_it():
    assert sizes(max_steps=36).total_steps == 36
    assert sizes(max_steps=10**6).total_steps == 39_000


@pytest.mark.parametrize(
    ("changes", "world_size", "ranks", "group"),
    [
        ({}, 1, 1, 256),
        ({}, 4, 4, 256),
        ({"bn_group_size": 32}, 1, 1, 32),
        ({"bn_group_size": 32}, 8, 1, 32),
        ({"bn_group_size": 128}, 4, 2, 128),
        ({"bn_group_size": 32, "micro_batch_size": 64}, 2, 1, 32),
    ],
)
def test_batch_norm_groups_lie_within_a_rank_or_over_whole_ranks(changes, world_size, ranks, group):
    planned = sizes(world_size=world_size, **changes)

    assert (planned.bn_ranks, planned.bn_group_size) == (ranks, group)


@pytest.mark.parametrize(
    ("changes", "world_size", "message"),
    [
        ({"batch_size": 60_000}, 1, r"batch_size is 60000; expected at most the 50000 training"),
        ({}, 3, r"batch_size is 256; expected a multiple of the 3 processes, such as 255"),
        ({"micro_batch_size": 100}, 1, r"micro_batch_size is 100; expected a divisor of the 256"),
        ({"micro_batch_size": 64}, 1, r"micro_batch_size is 64, and BatchNorm's statistics"),
        ({"bn_group_size": 48}, 1, r"bn_group_size is 48; expected a divisor of the 256 images"),
        ({"bn_group_size": 48}, 4, r"bn_group_size is 48; expected a divisor of the 64 images"),
        ({"bn_group_size": 192}, 4, r"bn_group_size is 192; expected a divisor"),
        ({"validation_images": 50_000}, 1, r"validation_images is 50000; expected fewer than"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes, world_size, message):
    with pytest.raises(ConfigError, match=message):
        sizes(world_size=world_size, **changes)


def test_a_network_without_batch_norm_may_use_any_micro_batch():
    run = tiny_run(batch_size=256, micro_batch_size=64)

    planned = plan(run, num_train=1000, num_test=10, has_batch_norm=False)

    assert planned.num_micro_batches == 4


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", 0, "epochs is 0; expected at least 1"),
        ("epochs", -1, "epochs is -1; expected at least 1"),
        ("batch_size", 0, "batch_size is 0; expected at least 1"),
        ("max_steps", 0, "max_steps is 0; expected at least 1"),
        ("eval_images", 0, "eval_images is 0; expected at least 1"),
        ("validation_images", -1, "validation_images is -1; expected at least 0"),
        ("seed", -1, "seed is -1; expected at least 0"),
        ("clip_norm", float("nan"), "clip_norm is nan; expected a number above 0"),
        ("checkpoint_seconds", 0.0, "checkpoint_seconds is 0.0; expected a number above 0"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(name, value, message):
    with pytest.raises(ConfigError, match=message):
        tiny_run(**{name: value})
