"""A plain script: torchvision's transforms, a DataLoader with workers, a loop.

What kuangliu/pytorch-cifar's main.py does a step, written anew and without its progress bar; in
bfloat16 with the two switches that a user would add, autocast and channels_last.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms

from benchmarks.contenders.images import DecodedCIFAR10, crop_and_flip
from benchmarks.networks import plain_network
from benchmarks.pace import Pace
from benchmarks.task import MEAN, STD, Task

EPOCHS = 200

Trained = tuple[nn.Module, torch.optim.Optimizer]


def as_they_are(net: nn.Module, optimizer: torch.optim.Optimizer) -> Trained:
    """Network and optimizer without another's optimizations."""
    return net, optimizer


def train(
    task: Task,
    pace: Pace,
    optimized: Callable[[nn.Module, torch.optim.Optimizer], Trained] = as_they_are,
) -> None:
    """Train epoch after epoch.

    Args:
        task: Task that is trained.
        pace: Pace that gives the turns.
        optimized: Function from network and optimizer to those that are trained.
    """
    to_tensor = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    dataset = DecodedCIFAR10(task, transforms.Compose([*crop_and_flip(task), *to_tensor]))
    loader = DataLoader(dataset, task.batch_size, shuffle=True, num_workers=task.workers)
    device = torch.device("cpu")
    layout = torch.channels_last if task.is_bfloat16 else torch.contiguous_format
    net = plain_network(task.network).to(device, memory_format=layout)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(
        net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=task.is_nesterov
    )
    net, optimizer = optimized(net.train(), optimizer)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)
    for _ in range(EPOCHS):
        net.train()
        loss_sum, correct, total = 0.0, 0, 0
        for inputs, targets in loader:
            inputs = inputs.to(device, memory_format=layout)  # noqa: PLW2901  (as it is there)
            targets = targets.to(device)  # noqa: PLW2901
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=task.is_bfloat16):
                outputs = net(inputs)
                loss = criterion(outputs, targets)
            loss.backward()
            optimizer.step()

            loss_sum += loss.item()
            predicted = outputs.argmax(1)
            total += targets.size(0)
            correct += predicted.eq(targets).sum().item()
            pace.step_done(len(inputs))
        scheduler.step()
