"""D1, R6: one process and several draw the same and learn the same; so do runs that change.

Float64 shows whether two ways of computing differ by more than the order of their sums: it
leaves nothing for a mistake to hide in. Float32, whose rounding training amplifies, is measured.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cifarzoo.engine import loop, step
from cifarzoo.engine.batches import Batches
from cifarzoo.run_folders.folder import RunFolder
from cifarzoo.zoo.augmentations.cutout import cutout
from cifarzoo.zoo.augmentations.flip import flip
from cifarzoo.zoo.augmentations.normalize import normalize
from cifarzoo.zoo.augmentations.pad_crop import pad_crop
from cifarzoo.zoo.augmentations.policies.trivial_augment import trivial_augment_wide
from cifarzoo.zoo.datasets.glyphs import glyphs
from cifarzoo.zoo.optimizers.sgd import sgd
from cifarzoo.zoo.regularizers.average.ema import ema
from cifarzoo.zoo.regularizers.batch.mixup import mixup
from cifarzoo.zoo.regularizers.branch.shake_drop import shake_drop
from cifarzoo.zoo.regularizers.branch.shake_shake import shake_shake
from cifarzoo.zoo.regularizers.loss.label_smoothing import label_smoothing
from tests.trust.attempts import Ended, attempt
from tests.trust.cases import FAULTS, HUNG, Budget, Check, Outcome
from tests.trust.kill_points import after
from tests.trust.workload import Patch, flatten, saved_step, train, train_on_ranks

# A gradient's relative distance in float64, of sums in another order: those of BatchNorm add
# up to 15,360 numbers one by one, each of which may be off by 1.1e-16 of the sum.
EXACT = 1e-13
LEARNT = 1e-12  # that of weights after some steps
# In float32, training amplifies rounding: runs are to be as near to the one in float64 as one
# process is, whose BatchNorm is off by up to 7e-5 on a CPU (torch sums its squares one by one).
AS_NEAR, METRICS_ROUNDED = 2.0, 0.02

# Every kind of draw but those of torch's own generator, which are promised to no one.
DRAWING: dict[str, Any] = {
    "dataset": partial(glyphs, train_images=1024, test_images=61),
    "augmentations": [pad_crop, flip, trivial_augment_wide, normalize, cutout],
    "regularizers": [
        shake_shake,
        shake_drop,
        mixup,
        label_smoothing,
        partial(ema, decay=0.9),
    ],
    "optimizer": partial(sgd, lr=0.05),
    "batch_size": 256,
    "epochs": 5,  # of four steps
    "keep_checkpoints": 9,
}
GROUPS: dict[str, dict[str, Any]] = {
    "statistics over the whole batch": {},
    "groups of 20": {"bn_group_size": 20},
    "groups and micro-batches of 20": {"bn_group_size": 20, "micro_batch_size": 20},
    "a clipped gradient": {"clip_norm": 0.01},
}
OF_240 = {**DRAWING, "batch_size": 240, "max_steps": 1, "precision": "float64"}
CHANGING = {**DRAWING, "batch_size": 240, "precision": "float64", "checkpoint_steps": 4}
# (processes, what ends the attempt, after which step); an epoch has four steps, a run 20
JOURNEYS: dict[str, list[tuple[int, signal.Signals | None, int]]] = {
    "2, 1, 2 and 4": [
        (2, signal.SIGTERM, 5),
        (1, signal.SIGTERM, 10),
        (2, signal.SIGTERM, 15),
        (4, None, 0),
    ],
    "1 and 3, killed": [(1, signal.SIGKILL, 7), (3, None, 0)],
    "4 and 1, killed": [(4, signal.SIGKILL, 10), (1, None, 0)],
    "3, 2 and 1, killed twice": [
        (3, signal.SIGKILL, 6),
        (2, signal.SIGKILL, 13),
        (1, None, 0),
    ],
}


def same_answer(budget: Budget) -> Iterator[Outcome]:
    """Compare draws, gradients, weights and metrics of several processes with those of one."""
    yield from _gradients(budget)
    yield from _weights(budget)


def other_sizes(budget: Budget) -> Iterator[Outcome]:
    """Go on with other numbers of processes, and compare with one process all the way."""
    root = budget.scratch
    whole = _train(root, "whole", CHANGING, nproc=1)
    assert whole.code == 0, whole.said
    for title in list(JOURNEYS)[: budget.take(len(JOURNEYS), 1)]:
        name = title.replace(", ", "-").replace(" ", "-")
        problems, hung = [], False
        for nproc, number, at in JOURNEYS[title]:
            patches = () if number is None else (partial(end_after, number, at),)
            ended = _train(root, name, CHANGING, nproc=nproc, patches=patches)
            hung = hung or ended.hung
            if number is None and ended.code != 0:
                problems.append(f"ended with {ended.code}: {ended.said[-300:]}")
            if number is signal.SIGTERM and ended.code != 75:
                problems.append(f"stopped with {ended.code}: {ended.said[-300:]}")
        distance = float("nan")
        if not problems:
            problems, distance = _differences(root, name, "whole", within=LEARNT)
        yield Outcome(
            name=f"processes: {title}",
            passed=not problems and not hung,
            figure="; ".join(problems) or f"draws equal, weights within {distance:.1e}",
            counts={FAULTS: len(JOURNEYS[title]) - 1, HUNG: int(hung)},
            largest={"relative distance of weights in float64": distance},
        )


def _gradients(budget: Budget) -> Iterator[Outcome]:
    root = budget.scratch
    for title in list(GROUPS)[: budget.take(len(GROUPS), 2)]:
        changes = {**OF_240, **GROUPS[title]}
        slug = title.replace(" ", "-")
        for nproc in (1, 2, 3, 4) if not budget.is_fast else (1, 2):
            name = f"{slug}-{nproc}"
            patches = (partial(keep_gradient, root, name),)
            ended = _train(root, name, changes, nproc=nproc, patches=patches)
            assert ended.code == 0, ended.said
            if nproc == 1:
                continue
            gradients = [torch.load(root / f"{slug}-{n}.gradient") for n in (nproc, 1)]
            distance = relative_distance(*gradients)
            yield Outcome(
                name=f"the gradient of {nproc} x {240 // nproc} images, {title}",
                passed=distance < EXACT,
                figure=f"relative distance {distance:.1e} in float64",
                largest={"relative distance of a gradient in float64": distance},
            )


def _weights(budget: Budget) -> Iterator[Outcome]:
    root = budget.scratch
    within = LEARNT
    for precision in ("float64", "float32")[: budget.take(2, 1)]:
        for nproc in (1, 2, 4) if not budget.is_fast else (1, 2):
            name = f"{precision}-{nproc}"
            ended = _train(root, name, {**DRAWING, "precision": precision}, nproc=nproc)
            assert ended.code == 0, ended.said
            if name == "float64-1":
                continue
            problems, distance = _differences(root, name, "float64-1", within=within)
            if name == "float32-1":
                within = AS_NEAR * distance
                continue
            yield Outcome(
                name=f"20 steps of {nproc} x {256 // nproc} images in {precision}",
                passed=not problems,
                figure="; ".join(problems)
                or f"draws equal, weights within {distance:.1e} of one process in float64",
                largest={f"relative distance of weights in {precision}": distance},
            )


def _train(
    root: Path, name: str, changes: dict[str, Any], *, nproc: int, patches: tuple[Patch, ...] = ()
) -> Ended:
    patches = (partial(keep_draws, root, name), *patches)
    log = root / f"{name}.log"
    if nproc == 1:
        return attempt(train, root, name, changes, patches, log=log)
    return attempt(train_on_ranks, root, name, changes, patches, nproc, log=log)


def _differences(root: Path, name: str, other: str, *, within: float) -> tuple[list[str], float]:
    """What is wrong with a run beside another, and the distance of what they learnt."""
    problems = []
    mine, expected = _draws(root, name), _draws(root, other)
    if mine != expected:
        wrong = [key for key in expected if mine.get(key) != expected[key]]
        problems.append(f"{len(wrong)} of {len(expected)} images were drawn otherwise")
    folders = [RunFolder(root / run) for run in (name, other)]
    distance = relative_distance(*map(_learnt, folders))
    if not distance < within:
        problems.append(f"weights differ by {distance:.1e}")
    for one, two in zip(*(folder.metrics() for folder in folders), strict=True):
        problems += _metrics(one, two, within=within if within <= LEARNT else METRICS_ROUNDED)
    return problems, distance


def _metrics(one: dict[str, Any], two: dict[str, Any], *, within: float) -> list[str]:
    bounds = {"epoch": 0.0, "step": 0.0, "lr": 0.0, "train_loss": within, "test_loss": within}
    bounds["test_error"] = 0.0 if within <= LEARNT else within  # a tested image counts 0.016
    far = [name for name, bound in bounds.items() if abs(one[name] - two[name]) > bound]
    return [f"{name} is {one[name]} for {two[name]}" for name in far]


def _learnt(folder: RunFolder) -> dict[str, Tensor]:
    """Weights, statistics, momenta and the average of a run's newest checkpoint."""
    path = folder.checkpoints / f"step-{saved_step(folder):08d}" / "state.pt"
    state = torch.load(path, weights_only=True)
    parts: dict[str, Tensor] = {}
    flatten({name: state[name] for name in ("model", "average", "optimizer")}, "", parts, [])
    return {name: part for name, part in parts.items() if part.is_floating_point()}


def relative_distance(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    """Norm of the difference of all tensors together, over the norm of the second."""
    if one.keys() != two.keys():
        return float("inf")
    square = sum((one[n].double() - two[n].double()).square().sum() for n in two)
    size = sum(two[n].double().square().sum() for n in two)
    return float(torch.as_tensor(square / size).sqrt())


def keep_gradient(root: Path, name: str) -> None:
    """Write the gradient of rank 0's newest step beside the run."""
    if os.environ.get("RANK", "0") != "0":
        return
    clip = step.clip_gradient

    def clip_and_keep(parameters: Any, largest: float | None) -> Tensor:
        norm = clip(parameters, largest)
        gradient = {str(n): p.grad.clone() for n, p in enumerate(parameters)}
        torch.save(gradient, root / f"{name}.gradient")
        return norm

    step.clip_gradient = clip_and_keep


def keep_draws(root: Path, name: str) -> None:
    """Write a digest of every image and target that a rank trains on, by step and row."""
    path = root / f"{name}.draws{os.environ.get('RANK', '0')}"
    make = Batches.__call__

    def make_and_keep(batches: Batches, number: int) -> tuple[Tensor, Tensor]:
        images, targets = make(batches, number)
        first = batches._mine.start
        with path.open("a") as file:
            for row, (image, target) in enumerate(zip(images, targets, strict=True)):
                data = image.contiguous().numpy().tobytes() + target.numpy().tobytes()
                digest = hashlib.sha256(data).hexdigest()
                file.write(json.dumps([number, first + row, digest]) + "\n")
        return images, targets

    Batches.__call__ = make_and_keep


def _draws(root: Path, name: str) -> dict[tuple[int, int], str]:
    """What every attempt of a run drew, by step and row of the whole batch."""
    found: dict[tuple[int, int], str] = {}
    for path in root.glob(f"{name}.draws*"):
        for line in path.read_text().splitlines():
            number, row, digest = json.loads(line)
            if found.setdefault((number, row), digest) != digest:
                found[number, row] = "drawn otherwise the second time"
    return found


def end_after(number: int, at: int) -> None:
    """Send rank 0 a signal after a step."""
    if os.environ.get("RANK", "0") != "0":
        return
    is_there = after(loop, "emit_step", lambda training: training.state.step == at)
    is_there(partial(os.kill, os.getpid(), number))


CHECKS = (
    Check(
        id="R6",
        title="a run that is stopped or killed, and goes on with another number of processes",
        run=other_sizes,
    ),
    Check(
        id="D1",
        title="draws, gradients and weights of several processes beside those of one",
        run=same_answer,
    ),
)
