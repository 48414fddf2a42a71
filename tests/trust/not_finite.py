"""N1: numbers that are not finite, wherever they come from, end a run and are never saved."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cifarzoo.engine import loop, step, step_graph
from cifarzoo.engine.divergence import PATIENCE
from cifarzoo.errors import EXIT_NOT_FINITE
from cifarzoo.layers.norms import batch_norms
from cifarzoo.protocols import Timestamp
from cifarzoo.run_folders.folder import RunFolder
from cifarzoo.zoo.optimizers.sgd import sgd
from tests.trust.attempts import attempt, end_orphans, orphans
from tests.trust.cases import FAULTS, HUNG, WRONG, Budget, Check, Outcome
from tests.trust.mutations import in_float16
from tests.trust.workload import EVERYTHING, Patch, saved_step, train, train_on_ranks

INFINITY, NAN = math.inf, math.nan
STEP = 14  # in which the number comes up; the newest checkpoint is of step 10 or 12


def poison(where: str, number: float, rank: int) -> None:
    """Put ``number`` into step 14 of one rank: the loss, the gradient, a weight or a buffer."""
    if os.environ.get("RANK", "0") != str(rank):
        return
    POISONS[where](number)


def _loss(number: float) -> None:
    original = step_graph.train_step

    def wrapped(setup: Any, state: Any, images: Any, targets: Any, **named: Any) -> Any:
        if state.step == STEP - 1:
            targets = targets.clone()
            targets[0, 0] = number
        return original(setup, state, images, targets, **named)

    step_graph.train_step = wrapped


def _gradient(number: float) -> None:
    take, clip = step_graph.train_step, step.clip_gradient

    def wrapped(setup: Any, state: Any, images: Any, targets: Any, **named: Any) -> Any:
        if state.step == STEP - 1:
            step.clip_gradient = lambda *arguments: clip(*arguments) * number
        try:
            return take(setup, state, images, targets, **named)
        finally:
            step.clip_gradient = clip

    step_graph.train_step = wrapped


def _after_the_step(change: Callable[[Any], None]) -> None:
    original = loop.emit_step

    def wrapped(training: Any) -> None:
        if training.state.step == STEP:
            change(training.state.model)
        original(training)

    loop.emit_step = wrapped


def _buffer(number: float) -> None:
    def change(model: Any) -> None:
        batch_norms(model)[0].running_var[0] = number

    _after_the_step(change)


def _weight(number: float) -> None:
    def change(model: Any) -> None:
        next(model.parameters()).data.fill_(number)

    _after_the_step(change)


POISONS = {"loss": _loss, "gradient": _gradient, "buffer": _buffer, "weight": _weight}


def overflow_always() -> None:
    """Let every gradient overflow, whatever the loss is scaled by."""
    in_float16()
    original = step_graph.train_step

    def wrapped(setup: Any, state: Any, images: Any, targets: Any, **named: Any) -> Any:
        next(state.model.parameters()).register_hook(lambda grad: grad * INFINITY)
        return original(setup, state, images, targets, **named)

    step_graph.train_step = wrapped


def exploding() -> Callable[[Timestamp], float]:
    """A rate that no network stands."""
    return lambda moment: 1.0 if moment.step < 12 else 1e30


def shouting() -> None:
    """Add to the loss of each step from the third on."""
    note = loop.record_losses

    def wrapped(training: Any, reports: Any) -> Any:
        louder = [type(r)(r.loss + 100, r.signal, r.save_due) for r in reports]
        return note(training, louder if training.state.step > 2 else reports)

    loop.record_losses = wrapped


@dataclass(frozen=True, kw_only=True)
class Case:
    """Where a number that isn't finite comes from, and what the message says.

    Attributes:
        patches: Put it there.
        says: Parts of the one line.
        num_ranks: Processes.
        changes: To the run.
    """

    patches: tuple[Patch, ...] = ()
    says: tuple[str, ...]
    num_ranks: int = 1
    changes: dict[str, Any] | None = None


IN_STEP = (f"step {STEP}", "learning rate", "training images")
CASES = {
    "the loss is NaN": Case(patches=(partial(poison, "loss", NAN, 0),), says=("loss", *IN_STEP)),
    "the loss of rank 1 is NaN": Case(
        patches=(partial(poison, "loss", NAN, 1),), says=("loss", *IN_STEP), num_ranks=2
    ),
    "the loss of rank 0 is NaN, of two": Case(
        patches=(partial(poison, "loss", NAN, 0),), says=("loss", *IN_STEP), num_ranks=2
    ),
    "the gradient is infinite": Case(
        patches=(partial(poison, "gradient", INFINITY, 0),), says=("gradient", *IN_STEP)
    ),
    "the gradient of rank 1 is infinite": Case(
        patches=(partial(poison, "gradient", INFINITY, 1),),
        says=("gradient", *IN_STEP),
        num_ranks=2,
    ),
    "a running variance is infinite": Case(
        patches=(partial(poison, "buffer", INFINITY, 0),), says=("running_var", "is not finite")
    ),
    "a weight is NaN after the step": Case(
        patches=(partial(poison, "weight", NAN, 0),), says=("is not finite",)
    ),
    "a rate that no network stands": Case(
        changes={"schedule": exploding}, says=("is not finite in step", "e+28")
    ),
    "float16 overflows for ever": Case(
        patches=(overflow_always,),
        says=("overflowed float16 in 25 steps in a row", "bfloat16"),
        changes={"epochs": 10, "optimizer": partial(sgd, lr=0.05)},
    ),
}  # fmt: skip


def not_finite(budget: Budget) -> Iterator[Outcome]:
    """Each source of numbers that are not finite, and a loss that is finite and absurd."""
    for name, case in list(CASES.items())[:: budget.take(1, 3)]:
        yield _ends(budget.scratch, name, case)
    yield _warns(budget.scratch)


def _ends(root: Path, title: str, case: Case) -> Outcome:
    name = title.replace(" ", "-").replace(",", "")
    changes = {**EVERYTHING, **(case.changes or {})}
    work = train if case.num_ranks == 1 else train_on_ranks
    ended = attempt(work, root, name, changes, case.patches, log=root / f"{name}.log")
    left = orphans(patience=10.0)
    end_orphans()
    folder = RunFolder(root / name)
    plain = [line for line in ended.said.splitlines() if not line.startswith("{'event'")]
    problems = [f"exit code {ended.code}: {ended.said[-300:]}"] * (ended.code != EXIT_NOT_FINITE)
    problems += [f"says {plain}"] * (
        len(plain) != 1 or not all(part in plain[0] for part in case.says)
    )
    problems += [f"status {folder.record.get('status')}"] * (
        folder.record.get("status") != "diverged"
    )
    problems += ["left processes behind"] * bool(left)
    saved = list(_not_finite_in(folder))
    problems += [f"saved {', '.join(saved)}"] * bool(saved)
    return Outcome(
        name=title,
        passed=not problems,
        figure="; ".join(problems) or plain[0].partition(";")[0],
        counts={FAULTS: 1, WRONG: int(bool(saved)), HUNG: int(ended.hung)},
    )


def _warns(root: Path) -> Outcome:
    changes = {**EVERYTHING, "epochs": 36, "validation_images": 0}
    ended = attempt(train, root, "shouting", changes, (shouting,), log=root / "shouting.log")
    warnings = ended.said.count("may have diverged")
    return Outcome(
        name=f"a loss that stays absurd for {PATIENCE} steps",
        passed=warnings == 1 and ended.code == 0,
        figure=f"{warnings} warning, exit code {ended.code}",
        counts={FAULTS: 1, HUNG: int(ended.hung)},
    )


def _not_finite_in(folder: RunFolder) -> Iterator[str]:
    if not saved_step(folder):
        return
    for path in folder.checkpoints.glob("step-*/state.pt"):
        state = torch.load(path, weights_only=True)
        for part in ("model", "average", "optimizer"):
            if "inf" in (text := json.dumps(_lists(state[part]))).lower() or "NaN" in text:
                yield f"{path.parent.name}/{part}"


def _lists(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.flatten().tolist()
    if isinstance(value, dict):
        return {str(key): _lists(part) for key, part in value.items()}
    return [_lists(part) for part in value] if isinstance(value, list | tuple) else value


CHECKS = (Check(id="N1", title="numbers that are not finite", run=not_finite),)
