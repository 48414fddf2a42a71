"""How long the cells of a sweep will train, from those that have trained, or from a few steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from cifarzoo.config import Config
from cifarzoo.sweeps.plan import Cell
from cifarzoo.sweeps.states import standing


def seconds_left(cells: Sequence[Cell], known: Mapping[str, float]) -> float | None:
    """Seconds of training that cells which aren't done will take, one after the other.

    Args:
        cells: Cells of the sweep.
        known: Seconds of a whole run, by name of the point, or else of the config.

    Returns:
        The seconds; None: of some it isn't known.
    """
    left = 0.0
    for cell in cells:
        found = standing(cell)
        if found.state == "done":
            continue
        seconds = known.get(cell.point.name, known.get(cell.point.config_name))
        if seconds is None:
            return None
        left += max(0.0, seconds - float(found.record.get("train_seconds") or 0))
    return left


def trained_seconds(cells: Sequence[Cell]) -> dict[str, float]:
    """Mean seconds of training of finished cells, by name of the point and of the config."""
    found: dict[str, list[float]] = {}
    for cell in cells:
        there = standing(cell)
        seconds = there.record.get("train_seconds")
        if there.state == "done" and seconds:
            for name in {cell.point.name, cell.point.config_name}:
                found.setdefault(name, []).append(float(seconds))
    return {name: fmean(each) for name, each in found.items()}


def measured_seconds(config: Config, *, data: Path | None, emit: Callable[[str], None]) -> float:
    """Seconds that ``config`` would train for here, from a few steps of it.

    Args:
        config: A config.
        data: Folder of the data; None: not known.
        emit: Receives what is being done.

    Raises:
        CifarzooError: What training would raise before its first batch.
    """
    from cifarzoo.bench.measurement import TRAINING, Case, measure
    from cifarzoo.bench.spreads import rate
    from cifarzoo.bench.variants import AS_IS, Variant

    variant = Variant(name=AS_IS)
    found = measure([Case(variant, config)], data=data, rounds=1, steps=None, emit=emit)
    plan = found.harnesses[0].training.setup.plan
    images = plan.total_steps * plan.batch_size
    return images / rate(found.samples[variant, TRAINING], "wall_seconds")["median"]
