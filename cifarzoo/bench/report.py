"""What a benchmark found, as one JSON object: rates with their spread, and every sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cifarzoo
from cifarzoo.bench.harness import Harness
from cifarzoo.bench.machine import Arithmetic
from cifarzoo.bench.measurement import (
    BATCHES,
    CONVOLUTION,
    EVALUATION,
    MATMUL,
    TRAINING,
    Case,
    Measured,
)
from cifarzoo.bench.spreads import rate, ratio
from cifarzoo.bench.timing import Sample
from cifarzoo.run_folders.git import git_state
from cifarzoo.run_folders.provenance import provenance

SCHEMA = 1


def to_json(found: Measured) -> dict[str, Any]:
    """The whole benchmark; seconds, images and floating-point operations, no thousands."""
    first, harness = found.cases[0], found.harnesses[0]
    arithmetics = dict.fromkeys(harness.arithmetic for harness in found.harnesses)
    return {
        **origin(),
        "name": first.config.name,
        "config": first.config.text(),
        "dataset": harness.training.setup.components.dataset.title,
        "device": found.device,
        "rounds": found.rounds,
        "steps": found.steps,
        "load_average": {"before": found.load_before, "after": found.load_after},
        "rates": [_rates(arithmetic, found) for arithmetic in arithmetics],
        "variants": [
            _variant(case, harness, found)
            for case, harness in zip(found.cases, found.harnesses, strict=True)
        ],
        "overheads": _overheads(found),
    }


def origin() -> dict[str, Any]:
    """When, on what, and with which code and versions."""
    facts = provenance([])
    checkout = Path(cifarzoo.__file__).parents[1]
    return {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": git_state(checkout) if (checkout / ".git").exists() else None,
        **{name: facts[name] for name in ("python", "versions", "machine")},
    }


def _rates(arithmetic: Arithmetic, found: Measured) -> dict[str, Any]:
    return {
        **asdict(arithmetic),
        **{what: _series(found.samples[arithmetic, what]) for what in (MATMUL, CONVOLUTION)},
    }


def _variant(case: Case, harness: Harness, found: Measured) -> dict[str, Any]:
    variant, plan = case.variant, harness.training.setup.plan
    training = found.samples[variant, TRAINING]
    limits = {what: found.samples[harness.arithmetic, what] for what in (MATMUL, CONVOLUTION)}
    others = {what: found.samples.get((variant, what)) for what in (BATCHES, EVALUATION)}
    return {
        "name": variant.name,
        "settings": list(variant.settings),
        "is_bare": variant.is_bare,
        "policy": harness.training.setup.policy.record(),
        "batch_size": plan.batch_size,
        "flops_per_image": harness.flops,
        "warm_up_seconds": harness.warm_up_seconds,
        TRAINING: _series(training),
        "times_as_fast": _ratios(training, found.samples[found.cases[0].variant, TRAINING]),
        **{what: _series(samples) if samples else None for what, samples in others.items()},
        "of_machine": {
            what: _ratios(training, samples, amount=harness.flops)
            for what, samples in limits.items()
        },
    }


def _overheads(found: Measured) -> list[dict[str, Any]]:
    """What the engine costs over each bare loop that was measured: time, as a fraction of it."""
    names = {case.variant: case.variant.name for case in found.cases}
    return [
        {
            "engine": names[variant.engine],
            "bare": variant.name,
            **{
                clock: {name: value - 1 for name, value in times.items()}
                for clock, times in _ratios(
                    found.samples[variant, TRAINING], found.samples[variant.engine, TRAINING]
                ).items()
            },
        }
        for variant in names
        if variant.is_bare and variant.engine in names
    ]


def _series(samples: Sequence[Sample]) -> dict[str, Any]:
    return {
        "per_second": rate(samples, "wall_seconds"),
        "per_cpu_second": rate(samples, "cpu_seconds"),
        "samples": [asdict(sample) for sample in samples],
    }


def _ratios(
    samples: Sequence[Sample], others: Sequence[Sample], *, amount: float = 1.0
) -> dict[str, dict[str, float]]:
    clocks = {
        "wall": ratio(samples, others, "wall_seconds"),
        "cpu": ratio(samples, others, "cpu_seconds"),
    }
    return {
        clock: {name: amount * value for name, value in times.items()}
        for clock, times in clocks.items()
    }
