"""What ``run.deterministic`` costs a training step, in turns on one machine.

``python -m benchmarks.deterministic`` prints ratios of rates with their spread, and writes every
sample to ``benchmarks/results/deterministic.json``. Torch's filling of uninitialised memory,
which comes with its deterministic algorithms and which the engine turns off, is measured too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch.utils.deterministic

from cifarzoo import config
from cifarzoo.bench.harness import Harness, build_harness, read_once
from cifarzoo.bench.report import origin
from cifarzoo.bench.spreads import Clock, ratio
from cifarzoo.bench.timing import Work, interleave
from cifarzoo.bench.variants import Variant
from cifarzoo.engine.distributed.world import World, pick_device
from cifarzoo.engine.loop import advance

RESULTS = Path(__file__).parent / "results" / "deterministic.json"
FREE, STRICT, FILLED = "free", "deterministic", "deterministic and filled"
CLOCKS: tuple[Clock, ...] = ("cpu_seconds", "wall_seconds")
RECIPE = "wrn26_2.gin"
SETTINGS = ["run.dataset=@glyphs", "glyphs.train_images=2048", "glyphs.test_images=64"]


def main() -> None:
    """Measure, print and write."""
    options = _options()
    harnesses = {name: _rig(name, options) for name in (FREE, STRICT, FILLED)}
    jobs = {name: _job(name, harness, options.steps) for name, harness in harnesses.items()}
    samples = interleave(jobs, rounds=options.rounds, device=pick_device(), emit=_print_note)
    found: dict[str, Any] = {
        **origin(),
        "recipe": RECIPE,
        "batch_size": options.batch_size,
        "steps": options.steps,
        "threads": options.threads,
        "device": str(pick_device()),
        "rounds": options.rounds,
        "rates over those of free": {
            name: {clock: ratio(samples[name], samples[FREE], clock) for clock in CLOCKS}
            for name in (STRICT, FILLED)
        },
        "samples": {name: [asdict(s) for s in of_name] for name, of_name in samples.items()},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    shown = {name: value for name, value in found.items() if name != "samples"}
    sys.stdout.write(json.dumps(shown, indent=1) + "\n")


def _rig(name: str, options: argparse.Namespace) -> Harness:
    sets = [*SETTINGS, f"run.batch_size={options.batch_size}"]
    run = config.load(RECIPE, sets=sets).build()
    run = replace(run, dataset=read_once(run.dataset), deterministic=name != FREE)
    variant = Variant(name=name, threads=options.threads)
    return build_harness(run, variant, data=None, world=World(0, 1, pick_device()))


def _job(name: str, harness: Harness, steps: int) -> Callable[[], Work]:
    training = harness.training
    plan = training.setup.plan
    module: Any = torch.utils.deterministic  # its setting is a property of the module

    def work() -> float:
        if training.state.step + steps > plan.total_steps:
            training.state.progress.step = 0
        with harness.settings():
            module.fill_uninitialized_memory = name == FILLED
            for _ in range(steps):
                advance(training)
        return float(steps * plan.batch_size)

    return lambda: work


def _print_note(message: str) -> None:
    sys.stderr.write(f"{message}\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deterministic")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=4, help="of a sample")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
