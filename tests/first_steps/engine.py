"""The same steps by the real thing: a recipe, its network made narrow and its run made short."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cifarzoo import config
from cifarzoo.components.run import Run
from cifarzoo.engine.assembly.build import build
from cifarzoo.engine.assembly.weight_decay import split
from cifarzoo.engine.events import Event, StepEvent
from cifarzoo.engine.runner import Task, execute
from cifarzoo.protocols import Dataset, Split
from cifarzoo.run_folders.folder import adopt
from cifarzoo.zoo.architectures.residual.pyramidnet import pyramidnet
from cifarzoo.zoo.architectures.residual.shake_resnet import shake_resnet
from cifarzoo.zoo.architectures.residual.wide_resnet import wide_resnet
from cifarzoo.zoo.datasets.cifar import cifar10
from cifarzoo.zoo.datasets.glyphs import glyphs
from tests.first_steps.outcome import Outcome
from tests.first_steps.rows import BATCH, NUM_TRAIN, SHARE, STEPS, STEPS_PER_EPOCH

NUM_TEST = 10
EPOCHS = STEPS // STEPS_PER_EPOCH
NARROW: dict[str, Callable[..., Any]] = {
    "wrn26_10": partial(wide_resnet, blocks_per_group=1, widen_factor=1),
    "wrn26_6_ss": partial(shake_resnet, blocks_per_group=1, widen_factor=1),
    "pyramid": partial(pyramidnet, depth=11, alpha=8.0),
}


@cache
def images() -> tuple[Split, Split]:
    """Training and test images."""
    return glyphs(None, train_images=NUM_TRAIN, test_images=NUM_TEST).load()


def small_cifar10(folder: Path | None) -> Dataset:
    """``cifar10`` with few images, which are drawn shapes."""
    return replace(cifar10(folder), num_train=NUM_TRAIN, num_test=NUM_TEST, load=images)


def short_run(recipe: str) -> Run:
    """A recipe's run with all that it sets, but for its width, its length and its images."""
    run = config.load(f"{recipe}.gin").build()
    narrow = NARROW[run.architecture.func.__name__]
    schedule = run.schedule
    if "milestones" in schedule.keywords:
        shorter = [m * EPOCHS / run.epochs for m in schedule.keywords["milestones"]]
        schedule = partial(schedule, milestones=shorter)
    return replace(
        run,
        architecture=partial(narrow, **run.architecture.keywords),
        dataset=small_cifar10,
        schedule=schedule,
        epochs=EPOCHS,
        batch_size=BATCH,
        bn_group_size=run.bn_group_size and run.bn_group_size * SHARE // 32,
        precision="float64",
    )


def start(run: Run) -> dict[str, Tensor]:
    """The first parameters and running statistics."""
    state = build(run, folder=None).model.state_dict()
    return {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")}


def train(run: Run, folder: Path) -> Outcome:
    """Train ``run`` as the command line does, with an event a step."""
    events: list[Event] = []
    task = Task(
        run=run,
        name="first steps",
        digest="0" * 64,
        open_folder=lambda: adopt(folder, "")[0],
        data=None,
        provenance={},
    )
    result = execute(task, [events.append])
    steps = [event for event in events if isinstance(event, StepEvent)]
    assert [event.step for event in steps] == list(range(1, STEPS + 1))
    path = folder / "checkpoints" / f"step-{STEPS:08d}" / "state.pt"
    state = torch.load(path, weights_only=True)
    model = {n: t for n, t in state["model"].items() if not n.endswith("num_batches_tracked")}
    tested = {"loss": result.test.loss, "error": result.test.error}
    return Outcome(
        rates={"rate": _numbers(event.lr for event in steps)},
        losses={"loss": _numbers(event.step_loss for event in steps)},
        weights={name: t for name, t in model.items() if ".running_" not in name},
        momenta=_momenta(run, state["optimizer"]),
        statistics={name: t for name, t in model.items() if ".running_" in name},
        test={name: _numbers([number])[0] for name, number in tested.items()},
    )


def _momenta(run: Run, state: dict[str, Any]) -> dict[str, Tensor]:
    """Momenta by name: the optimizer numbers its parameters in the order of its groups."""
    coverage = split(build(run, folder=None).model, run.weight_decay_policy)
    names = [name for name, _ in coverage.decayed + coverage.spared]
    if not any(".paths.1." in name for name in names):  # a single path is left out when saved
        names = [name.replace(".paths.0.", ".") for name in names]
    return {name: state["state"][i]["momentum_buffer"] for i, name in enumerate(names)}


def _numbers(values: Any) -> Tensor:
    return torch.tensor(list(values), dtype=torch.float64)
