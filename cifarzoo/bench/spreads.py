"""Rates of samples: medians and spreads, and how many times as fast as others they are."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

from cifarzoo.bench.timing import Sample

Clock = Literal["wall_seconds", "cpu_seconds"]
Spread = dict[str, float]
SHORTEST = 1e-9  # seconds; a clock may stand still


def spread(values: Sequence[float]) -> Spread:
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def rate(samples: Sequence[Sample], clock: Clock) -> Spread:
    """Amounts a second of ``clock``."""
    return spread([_rate(sample, clock) for sample in samples])


def ratio(samples: Sequence[Sample], others: Sequence[Sample], clock: Clock) -> Spread:
    """Rates over those of ``others`` in the same rounds, so that a slow round cancels."""
    pairs = zip(samples, others, strict=True)
    return spread([_rate(a, clock) / _rate(b, clock) for a, b in pairs])


def _rate(sample: Sample, clock: Clock) -> float:
    return float(sample.amount / max(getattr(sample, clock), SHORTEST))
