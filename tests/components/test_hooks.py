"""What components may offer besides their contract is found by its protocol."""

from __future__ import annotations

import pytest
import torch

from cifarzoo.engine.batches import prepare_for_evaluation, views_of
from cifarzoo.protocols import (
    SupportsEvaluation,
    SupportsViews,
    SupportsWarnings,
    acts_at_evaluation,
    warnings_of,
)
from cifarzoo.zoo.augmentations.flip import flip
from cifarzoo.zoo.augmentations.flip_tta import flip_tta
from cifarzoo.zoo.augmentations.normalize import normalize
from cifarzoo.zoo.schedules.constant import constant
from cifarzoo.zoo.schedules.multistep import multistep

THREES = (0.5, 0.5, 0.5)


def halved(images, _draws):
    return images / 2


def test_a_plain_function_with_the_attribute_acts_on_test_images():
    def doubled(images, _draws):
        return images * 2

    doubled.at_evaluation = True

    seen = prepare_for_evaluation({"halved": halved, "doubled": doubled}, torch.ones(2, 3, 4, 4))

    assert torch.equal(seen, torch.full((2, 3, 4, 4), 2.0))
    assert isinstance(doubled, SupportsEvaluation)
    assert not isinstance(halved, SupportsEvaluation)


@pytest.mark.parametrize("value", [True, False])
def test_what_says_that_it_does_not_act_on_test_images_does_not(value):
    def doubled(images, _draws):
        return images * 2

    doubled.at_evaluation = value

    assert acts_at_evaluation(doubled) is value
    assert acts_at_evaluation(normalize(mean=THREES, std=THREES))
    assert not acts_at_evaluation(flip())


def test_views_of_several_augmentations_multiply_and_their_weights_sum_to_one():
    images = torch.rand(2, 3, 8, 8)
    both = {"one": flip_tta(translate=0), "halved": halved, "two": flip_tta(translate=1)}

    seen = views_of(both, images)

    assert len(seen) == 2 * 6
    assert sum(weight for weight, _ in seen) == pytest.approx(1)
    assert isinstance(both["one"], SupportsViews)
    assert not isinstance(halved, SupportsViews)


def test_a_schedule_under_a_warm_up_warns_of_its_own():
    schedule = multistep(milestones=[60], factors=[0.1], warmup_epochs=5)

    assert isinstance(schedule, SupportsWarnings)
    assert warnings_of(schedule, 3) == [
        "milestone 60 is past the end of the run (3 epochs)",
        "warm-up of 5 epochs is longer than the run (3 epochs)",
    ]
    assert warnings_of(constant(), 3) == []
    assert warnings_of(lambda _: 1.0, 3) == []
