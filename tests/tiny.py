"""A run that trains in about a second: every stage of the engine at its smallest."""

from __future__ import annotations

import hashlib
import pickle
import random
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cifarzoo.api.teachers import open_teacher
from cifarzoo.components.run import Run
from cifarzoo.engine.events import EvaluationEvent, Event, WarningEvent
from cifarzoo.engine.runner import Task, execute
from cifarzoo.engine.trained import evaluate_run
from cifarzoo.protocols import Augmentation, Residual, Site, Timestamp
from cifarzoo.run_folders.folder import RunFolder, adopt
from cifarzoo.zoo.augmentations.flip import flip
from cifarzoo.zoo.augmentations.normalize import normalize
from cifarzoo.zoo.augmentations.pad_crop import pad_crop
from cifarzoo.zoo.datasets.glyphs import glyphs
from cifarzoo.zoo.optimizers.sgd import sgd
from cifarzoo.zoo.schedules.cosine import cosine


class TinyNet(nn.Module):
    """A stem and two residual blocks on a quarter of the resolution."""

    def __init__(self, num_classes: int, residual: Residual, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 4, 4, bias=False), nn.BatchNorm2d(width))

        def path() -> nn.Module:
            return nn.Sequential(
                nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
            )

        sites = (Site(i, 2, final_norm=True, channels=width) for i in (1, 2))
        self.blocks = nn.ModuleList(residual(path, site) for site in sites)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(torch.relu(x).mean((2, 3)))


def tiny_net(num_classes: int, residual: Residual, *, width: int = 8) -> nn.Module:
    """A network of a few thousand parameters."""
    return TinyNet(num_classes, residual, width)


def stranger() -> float:
    """From 0.9 to 1.1, by everybody's generators: torch's, NumPy's and Python's."""
    drawn = float(torch.rand(())) + np.random.random() + random.random()  # noqa: NPY002
    return 0.9 + 0.2 * drawn / 3


class Dropping(TinyNet):
    """Draws as strangers do: first weights, before a step, in a pass, and in a test too."""

    def __init__(self, num_classes: int, residual: Residual, width: int) -> None:
        super().__init__(num_classes, residual, width)
        self.stem.extend([nn.ReLU(), nn.Dropout(0.2)])
        self.first = nn.Parameter(torch.tensor(stranger()))
        self.shift = 1.0

    def begin_step(self, _moment: Timestamp) -> None:
        self.shift = stranger()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * stranger() * self.first + (self.shift if self.training else 0.0)
        return super().forward(nn.functional.dropout(x, 0.1, self.training))


class NoisySGD(torch.optim.SGD):
    """Adds to every parameter what it draws, before the pass over the batch and after it."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        self.jolt()
        loss = super().step(closure)
        self.jolt()
        return loss

    def jolt(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                noise = torch.randn_like(parameter) + np.random.normal() + random.gauss()  # noqa: NPY002
                parameter.add_(noise, alpha=1e-3)


def noisy_sgd(params: Any, *, lr: float = 0.05) -> torch.optim.Optimizer:
    """``NoisySGD`` with momentum."""
    return NoisySGD(params, lr=lr, momentum=0.9)


def dropping_net(num_classes: int, residual: Residual) -> nn.Module:
    """``Dropping`` of eight channels."""
    return Dropping(num_classes, residual, 8)


def dimmed() -> Augmentation:
    """Draws from everybody's generators, as a stranger's augmentation may."""
    return lambda images, _draws: images * torch.rand(len(images), 1, 1, 1) * stranger()


def tiny_run(**changes: Any) -> Run:
    """Two epochs of eight steps on 128 glyphs."""
    settings: dict[str, Any] = {
        "architecture": tiny_net,
        "dataset": partial(glyphs, train_images=128, test_images=60),
        "augmentations": [partial(pad_crop, padding=2), flip, normalize],
        "optimizer": partial(sgd, lr=0.05),
        "schedule": cosine,
        "epochs": 2,
        "batch_size": 16,
        "precision": "float32",
    }
    return Run(**(settings | changes))


def tiny_task(root: Path, name: str = "run", **changes: Any) -> Task:
    """The task of ``tiny_run(**changes)`` in ``root/name``; the same settings, the same run."""
    run = tiny_run(**changes)
    text = f"changes = {hashlib.sha256(pickle.dumps(changes)).hexdigest()!r}\n"

    def open_folder() -> RunFolder:
        return adopt(root / name, text)[0]

    return Task(
        run=run,
        name="tiny",
        digest=hashlib.sha256(text.encode()).hexdigest(),
        open_folder=open_folder,
        data=None,
        provenance={},
        open_run=open_teacher,
    )


def evaluated(task: Task) -> EvaluationEvent:
    """The test of a task's newest weights, as ``cifarzoo eval`` does it."""
    folder = task.open_folder()
    return evaluate_run(task.run, folder, data=task.data, emit=print)


def messages(events: list[Event]) -> list[str]:
    """What was warned of."""
    return [event.message for event in events if isinstance(event, WarningEvent)]


def train_as_rank(job: tuple[Path, str, dict[str, Any]]) -> None:
    """What each launched rank does: ``tiny_task(root, name, **changes)``."""
    root, name, changes = job
    execute(tiny_task(root, name, **changes))


def is_training() -> bool:
    """Whether the schedule that calls this is asked by the loop, and not to be checked before."""
    return sys._getframe(2).f_code.co_name == "begin_step"
