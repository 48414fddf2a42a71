"""Shorter trainings of one config: what to set for them.

Every length that is counted in epochs shrinks with the run, so that a schedule of 200 epochs
is seen whole in ten. By name, as components write them: ``milestones`` and ``..._epochs``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from cifarzoo.components.index import root
from cifarzoo.components.registry import ROOT

if TYPE_CHECKING:
    from cifarzoo.config import Config

Budget = Literal["smoke", "short", "full"]
SHORTER = 20  # by which ``short`` divides the epochs
SMOKE_BATCH, SMOKE_GROUP, SMOKE_IMAGES = 32, 16, 64
LIMITS = {"micro_batch_size": SMOKE_GROUP, "bn_group_size": SMOKE_GROUP}


def settings(config: Config, budget: Budget) -> list[str]:
    """What to set in ``config`` for ``budget``, as ``--set`` takes it.

    Args:
        config: The whole training.
        budget: ``full``: nothing changes. ``short``: a twentieth of the epochs. ``smoke``: one
            epoch of two steps of at most 32 images, tested on 64; enough to see that every
            part of it works, and its error means nothing.
    """
    epochs: int = _of_run(config, "epochs")
    if budget == "full":
        return []
    if budget == "short":
        return list(_shortened(config, epochs, max(1, round(epochs / SHORTER))))
    batch_size = min(_of_run(config, "batch_size"), SMOKE_BATCH)
    return [
        *_shortened(config, epochs, 1),
        f"run.batch_size={batch_size}",
        *(
            f"run.{name}={min(value, limit)}"
            for name, limit in LIMITS.items()
            if (value := _of_run(config, name)) is not None
        ),
        f"run.train_images={SMOKE_IMAGES}",
        f"run.eval_images={SMOKE_IMAGES}",
    ]


def _of_run(config: Config, parameter: str) -> Any:
    """What the run has for a parameter, its default where the config sets nothing."""
    bound = config.bindings.get(f"{ROOT}.{parameter}")
    if bound is not None:
        return bound.value
    [default] = [known.default for known in root().parameters if known.name == parameter]
    return None if default is None else ast.literal_eval(default)


def _shortened(config: Config, epochs: int, new_epochs: int) -> Iterator[str]:
    factor = new_epochs / epochs
    yield f"{ROOT}.epochs={new_epochs}"
    for name, bound in config.bindings.items():
        value = bound.value
        if name == f"{ROOT}.max_steps" and value is not None:
            yield f"{name}={max(1, round(value * factor))}"
        elif bound.parameter.endswith("_epochs"):
            yield f"{name}={value * factor}"
        elif bound.parameter == "milestones" and not _counts_fractions(config, name):
            yield f"{name}={[milestone * factor for milestone in value]}"


def _counts_fractions(config: Config, name: str) -> bool:
    """Whether the milestones called ``name`` are fractions of the run, which shrink with it."""
    unit = config.bindings.get(f"{name.rpartition('.')[0]}.unit")
    return unit is not None and unit.value == "fraction"
