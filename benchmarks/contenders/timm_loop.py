"""timm: its network where it has the same one, its loader, optimizer and scheduler.

timm's package has no loop: this one makes the calls of its train.py at the defaults (float32,
NCHW) or with ``--amp --amp-dtype bfloat16``, written anew. Its transforms are the recipe's crop
and flip, which is less work than its default of a resized crop with colour jitter.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any

import timm
import torch
from timm import utils
from timm.data import create_loader
from timm.data.transforms import ToNumpy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from torch import nn
from torchvision import transforms

from benchmarks.contenders.images import DecodedCIFAR10, crop_and_flip
from benchmarks.networks import plain_network
from benchmarks.pace import Pace
from benchmarks.task import MEAN, STD, Task

EPOCHS = 200


def train(task: Task, pace: Pace) -> None:
    """Train epoch after epoch."""
    device = torch.device("cpu")
    model = network(task.network).to(device)
    loader = create_loader(
        DecodedCIFAR10(task),
        input_size=(3, 32, 32),
        batch_size=task.batch_size,
        is_training=True,
        mean=MEAN,
        std=STD,
        num_workers=task.workers,
        device=device,
    )
    loader.dataset.transform = transforms.Compose([*crop_and_flip(task), ToNumpy()])
    optimizer = create_optimizer_v2(
        model,
        opt="sgd" if task.is_nesterov else "momentum",
        lr=0.1,
        weight_decay=5e-4,
        momentum=0.9,
    )
    scheduler, epochs = create_scheduler_v2(
        optimizer, sched="cosine", num_epochs=EPOCHS, updates_per_epoch=len(loader)
    )
    loss_fn = nn.CrossEntropyLoss().to(device)
    amp_autocast: Callable[[], AbstractContextManager[Any]] = suppress
    if task.is_bfloat16:
        amp_autocast = partial(torch.autocast, device_type="cpu", dtype=torch.bfloat16)
    for epoch in range(epochs):
        losses = train_one_epoch(
            epoch,
            model,
            loader,
            optimizer=optimizer,
            loss_fn=loss_fn,
            scheduler=scheduler,
            amp_autocast=amp_autocast,
            pace=pace,
        )
        scheduler.step(epoch + 1, losses.avg)


def network(name: str) -> nn.Module:
    """ResNet-18 of timm behind the stem that people give it for CIFAR; the plain one else."""
    if name != "resnet18":
        return plain_network(name)
    model: Any = timm.create_model("resnet18", num_classes=10)
    model.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    model.maxpool = nn.Identity()
    return model  # type: ignore[no-any-return]  # timm has no types


def train_one_epoch(
    epoch: int,
    model: nn.Module,
    loader: Any,
    *,
    optimizer: torch.optim.Optimizer,
    loss_fn: nn.Module,
    scheduler: Any,
    amp_autocast: Callable[[], AbstractContextManager[Any]],
    pace: Pace,
) -> utils.AverageMeter:
    """One pass over the images, with the meters and the updates a step that its script has."""
    update_time, data_time, losses = (utils.AverageMeter() for _ in range(3))
    model.train()
    num_updates = epoch * len(loader)
    data_start = update_start = time.time()
    optimizer.zero_grad()
    for inputs, targets in loader:
        data_time.update(time.time() - data_start)
        with amp_autocast():
            outputs = model(inputs)
            loss = loss_fn(outputs, targets)
        loss.backward()
        optimizer.step()
        losses.update(loss.item(), inputs.size(0))
        num_updates += 1
        optimizer.zero_grad()
        now = time.time()
        update_time.update(now - update_start)
        update_start = now
        scheduler.step_update(num_updates=num_updates, metric=losses.avg)
        data_start = time.time()
        pace.step_done(len(inputs))
    return losses
