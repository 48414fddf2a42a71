"""A plugin's half of the signal checks: pauses a real run in one of its phases.

The run's plugin file calls ``arm`` when it is imported, which happens in every rank.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.trust.attempts import LOG, say_into_log

PHASE = "TRUST_PHASE"  # which one is paused in
MARK = "TRUST_MARK"  # the file that says so to the check
STEP_SECONDS = "TRUST_STEP_SECONDS"  # that a step takes at least
PHASES = ("import", "build", "step", "eval", "save")
STEP = 9  # of the run's 18, in the middle of its second epoch
PAUSE = 0.5  # seconds
PLUGIN = '''"""A schedule whose runs can be paused."""

from cifarzoo import register
from tests.trust import phases

phases.arm()


@register.schedule
def paused():
    """The base rate, always."""
    return phases.paused()
'''
CONFIG = """run.architecture = @resnet8
resnet8.stem_stride = 2
run.dataset = @glyphs
glyphs.train_images = 48
glyphs.test_images = 16
run.optimizer = @sgd
sgd.lr = 0.05
run.schedule = @paused
run.regularizers = [@mixup, @ema]
run.batch_size = 8
run.epochs = 3
run.checkpoint_steps = 4
"""


def arm() -> None:
    """Pause in the phase that the environment names, in the processes that train."""
    if LOG in os.environ:
        say_into_log()
    phase = _phase()
    if phase == "import":
        pause()
    elif phase == "step":
        from cifarzoo.engine import step_graph

        step_graph.train_step = _paused_at(step_graph.train_step, STEP + 1)
    elif phase == "eval":
        from cifarzoo.engine import loop

        loop.score = _paused_at(loop.score, 2)
    elif phase == "save":
        from cifarzoo.engine import checkpoint

        # Between the state and the manifest of the second checkpoint.
        checkpoint._manifest_text = _paused_at(checkpoint._manifest_text, 2)


def paused() -> Callable[[Any], float]:
    """The schedule's factory, called when components are built."""
    phase = _phase()
    if phase == "build":
        pause()

    def factor(_moment: Any) -> float:
        time.sleep(float(os.environ.get(STEP_SECONDS, "0")))
        return 1.0

    return factor


def pause() -> None:
    """Say that the phase is reached, and stay in it for a while."""
    mark = os.environ.get(MARK)
    if mark and not Path(mark).exists():
        Path(mark).touch()
        time.sleep(PAUSE)


def _phase() -> str | None:
    """The phase, but in a launcher, which looks at the config before it starts the ranks."""
    is_launcher = "--nproc" in sys.argv and "RANK" not in os.environ
    return None if is_launcher else os.environ.get(PHASE)


def _paused_at(original: Callable[..., Any], number: int) -> Callable[..., Any]:
    calls = 0

    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            pause()
        return original(*arguments, **named)

    return wrapped
