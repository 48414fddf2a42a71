"""Every component on a CPU and on the device, in float64, with the settings of its own test."""

from __future__ import annotations

import torch

from benchmarks.gpu.agreement import compared, weights_after_steps
from benchmarks.gpu.child import Session
from cifarzoo import config
from cifarzoo.components.run import Run
from cifarzoo.engine.distributed.world import World
from tests.components.test_every_component import (
    HUB,
    LEFT_OUT,
    SETTINGS,
    config_text,
    own_components,
)

FLOAT64 = "run.precision = 'float64'\nrun.compile = False\n"
# Of networks at their full size, on a handful of images: larger steps make much of rounding.
SMALL_STEPS = "sgd.lr = 1e-4\n"
TOLERANCE = 1e-6
FEW = ("resnet8", "mixup", "cutout", "focal", "cosine", "adamw")  # of the small check


def compare(session: Session) -> None:
    """Record for each component how far apart its trainings on a CPU and on the device are."""
    cpu = World(0, 1, torch.device("cpu"))
    for name in FEW if session.is_small else names():
        with session.recording_errors(name):
            run = smallest_run(name)
            trained = [weights_after_steps(run, world) for world in (cpu, session.world)]
            session.record(name, compared(*trained, tolerance=TOLERANCE))


def names() -> list[str]:
    """The components that are compared: all but networks that are a family's, and real images."""
    return sorted(SETTINGS.keys() - LEFT_OUT - HUB.keys())


def smallest_run(name: str) -> Run:
    """A run of a few images that uses a component."""
    kind = own_components()[name]
    steps = SMALL_STEPS if kind == "architecture" else ""
    return config.from_text(config_text(name, kind) + FLOAT64 + steps, name=name).build()
