"""A run of two seconds, and the command that makes it."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from cifarzoo.cli.app import app

CONFIG = """# A run of two seconds.
run.architecture = @resnet8
run.dataset = @glyphs
glyphs.train_images = 128
glyphs.test_images = 40
run.optimizer = @sgd
sgd.lr = 0.05
run.schedule = @cosine
run.batch_size = 16
run.epochs = 2
run.checkpoint_steps = 5
"""


def cifarzoo(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


def events(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def result_of(*arguments: str) -> dict[str, Any]:
    done = cifarzoo(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return events(done.stdout)[-1]
