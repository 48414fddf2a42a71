"""Shorter trainings of one config.

Every length that is counted in epochs shrinks with the run, so that a schedule of 200 epochs
is seen whole in ten. By name, as components write them: ``milestones`` and ``..._epochs``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from cifarzoo.components.root import ROOT
from cifarzoo.config.effective import effective

if TYPE_CHECKING:
    from cifarzoo.config import Config

Budget = Literal["smoke", "short", "full"]
SHORTER = 20  # by which ``short`` divides the epochs
SMOKE_BATCH, SMOKE_GROUP, SMOKE_IMAGES = 32, 16, 64
LIMITS = {"micro_batch_size": SMOKE_GROUP, "bn_group_size": SMOKE_GROUP}


def shortened(config: Config, budget: Budget) -> Config:
    """``config`` with other values for ``budget``.

    Args:
        config: Config of the whole training.
        budget: Length of the training. ``full``: nothing changes. ``short``: a twentieth of the
            epochs. ``smoke``: one epoch of two steps of at most 32 images, tested on 64; enough to
            see that every part of it works, and its error means nothing.
    """
    if budget == "full":
        return config
    epochs: int = _of_run(config, "epochs")
    if budget == "short":
        values = dict(_lengths(config, epochs, max(1, round(epochs / SHORTER))))
    else:
        values = _smoke(config, epochs)
    return config.with_values(values, location=f"--budget {budget}")


def _smoke(config: Config, epochs: int) -> dict[str, Any]:
    limited = {name: (_of_run(config, name), limit) for name, limit in LIMITS.items()}
    num_validation = min(_of_run(config, "validation_images"), SMOKE_GROUP)
    return {
        **dict(_lengths(config, epochs, 1)),
        "run.batch_size": min(_of_run(config, "batch_size"), SMOKE_BATCH),
        **{
            f"run.{name}": min(value, limit)
            for name, (value, limit) in limited.items()
            if value is not None
        },
        **({"run.validation_images": num_validation} if num_validation else {}),
        "run.train_images": SMOKE_IMAGES + num_validation,
        "run.eval_images": SMOKE_IMAGES,
    }


def _of_run(config: Config, parameter: str) -> Any:
    """What the run has for a parameter that has a default."""
    value = effective(config, f"{ROOT}.{parameter}")
    return value and value.value


def _lengths(config: Config, epochs: int, new_epochs: int) -> Iterator[tuple[str, Any]]:
    factor = new_epochs / epochs
    yield f"{ROOT}.epochs", new_epochs
    for name, binding in config.bindings.items():
        value = binding.value
        if name == f"{ROOT}.max_steps" and value is not None:
            yield name, max(1, round(value * factor))
        elif binding.parameter.endswith("_epochs"):
            yield name, value * factor
        elif binding.parameter == "milestones" and not _counts_fractions(config, name):
            yield name, [milestone * factor for milestone in value]


def _counts_fractions(config: Config, name: str) -> bool:
    """Whether the milestones called ``name`` are fractions of the run, which shrink with it."""
    unit = effective(config, f"{name.rpartition('.')[0]}.unit")
    return unit is not None and unit.value == "fraction"
