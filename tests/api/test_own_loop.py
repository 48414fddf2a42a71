"""Draws and schedules in a loop of one's own: what a run draws, and the rates that it has."""

from __future__ import annotations

import pytest
import torch

import cifarzoo
from cifarzoo.engine import step_graph
from cifarzoo.engine.runner import execute
from cifarzoo.errors import UsageError
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.keys import generator
from tests.tiny import tiny_task


def test_draws_are_those_that_a_run_gives_the_component():
    images = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8)
    augment = cifarzoo.create.augmentation("pad_crop", padding=2)
    engines = BatchDraws(generator(7, "pad_crop", 1, 9), 16)

    ours = augment(images, cifarzoo.draws(7, 16, component="pad_crop", epoch=1, step=9))

    assert torch.equal(ours, augment(images, engines))


def test_steps_components_and_seeds_draw_apart_and_repeat_themselves():
    numbers = [
        cifarzoo.draws(seed, 8, step=step, component=component).uniform(0, 1)
        for seed in (0, 1)
        for step in (0, 1)
        for component in ("a", "b")
    ]

    assert len({tuple(drawn.tolist()) for drawn in numbers}) == 8
    assert torch.equal(numbers[0], cifarzoo.draws(0, 8, component="a").uniform(0, 1))


def test_what_belongs_to_an_image_goes_with_it():
    flip = cifarzoo.create.augmentation("alternating_flip")
    images = torch.rand(6, 3, 4, 4)
    order = torch.tensor([4, 0, 5, 1, 3, 2])

    def flipped(rows: torch.Tensor, epoch: int) -> torch.Tensor:
        given = cifarzoo.draws(3, len(rows), epoch=epoch, images=rows.tolist())
        return flip(images[rows], given)

    assert torch.equal(flipped(order, 0), flipped(torch.arange(6), 0)[order])
    assert torch.equal(flipped(order, 1), flipped(order, 0).flip(3))
    assert torch.equal(flipped(order[:1], 0), flipped(order, 0)[:1])


def test_draws_of_images_that_are_not_named_are_refused():
    flip = cifarzoo.create.augmentation("alternating_flip")
    with pytest.raises(UsageError, match=r"give draws\(…, images=…\) the number of each"):
        flip(torch.rand(2, 3, 4, 4), cifarzoo.draws(0, 2))
    with pytest.raises(UsageError, match=r"^images has the shape \(1,\); expected one number for"):
        cifarzoo.draws(0, 2, images=[3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 2), r"^seed is -1; expected a whole number of at least 0$"),
        ((0, 0), r"^n is 0; expected a whole number of at least 1$"),
        ((0, 2.0), r"^n is 2.0; expected a whole number"),
        ((True, 2), r"^seed is True; expected a whole number"),
    ],
)
def test_numbers_of_draws_that_are_none_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        cifarzoo.draws(*arguments)


def test_lambda_lr_gives_each_step_the_rate_that_a_run_gives_it(tmp_path, monkeypatch):
    rates: list[float] = []
    train_step = step_graph.train_step

    def noting(setup, state, *arguments, **options):
        rates.append(state.rate)
        return train_step(setup, state, *arguments, **options)

    monkeypatch.setattr(step_graph, "train_step", noting)
    task = tiny_task(tmp_path)
    execute(task)
    base_rate = task.run.optimizer.keywords["lr"]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base_rate)
    schedule = cifarzoo.create.schedule("cosine")
    factor = cifarzoo.lambda_lr(schedule, steps_per_epoch=8, total_steps=16)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)

    theirs = []
    for _ in range(16):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()

    assert theirs == rates


@pytest.mark.parametrize(
    ("schedule", "steps", "message"),
    [
        ("cosine", 8, r"^schedule is 'cosine'; .*; make one by cifarzoo.create\('cosine'\)$"),
        (None, 8, r"^schedule is None; expected a function of a Timestamp$"),
        (float, 0, r"^steps_per_epoch is 0; expected a whole number of at least 1$"),
    ],
)
def test_what_lambda_lr_refuses_is_said_in_words(schedule, steps, message):
    with pytest.raises(UsageError, match=message):
        cifarzoo.lambda_lr(schedule, steps_per_epoch=steps, total_steps=16)
