"""What ``eval`` prints: how a run's weights did."""

from __future__ import annotations

import sys

from cifarzoo.cli.terminal.console import results
from cifarzoo.cli.terminal.text import Text
from cifarzoo.cli.terminal.units import count, test_error
from cifarzoo.engine.events import EvaluationEvent, to_json
from cifarzoo.run_folders.strict_json import strict_json


def print_evaluation(event: EvaluationEvent, *, as_json: bool) -> None:
    """Print how a run's weights did on the test images."""
    if as_json:
        sys.stdout.write(strict_json(to_json(event)) + "\n")
        return
    run = Text(f"{event.run}: ")
    error = Text(test_error(event.test, event.tta_test), style="bold green")
    rest = f"test loss {event.test.loss:.4f}, {count(event.test_images)} images"
    named = f"{event.weights} weights, " if event.weights != "tested" else ""
    step = f"{named}step {count(event.step)} of {count(event.steps)}"
    results().print(Text.assemble(run, error, f", {rest}, {step}"), soft_wrap=True)
