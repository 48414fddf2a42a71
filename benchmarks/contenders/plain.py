"""A plain script: torchvision's transforms, a DataLoader with workers, a loop in NCHW.

What kuangliu/pytorch-cifar's main.py does a step, written anew and without its progress bar.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms

from benchmarks.contenders.images import DecodedCIFAR10, crop_and_flip
from benchmarks.networks import plain_network
from benchmarks.pace import Pace
from benchmarks.task import MEAN, STD, Task

EPOCHS = 200


def train(task: Task, pace: Pace) -> None:
    """Train epoch after epoch."""
    to_tensor = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    dataset = DecodedCIFAR10(task, transforms.Compose([*crop_and_flip(task), *to_tensor]))
    loader = DataLoader(dataset, task.batch_size, shuffle=True, num_workers=task.workers)
    device = torch.device("cpu")
    net = plain_network(task.network).to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(
        net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=task.is_nesterov
    )
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)
    for _ in range(EPOCHS):
        net.train()
        loss_sum, correct, total = 0.0, 0, 0
        for inputs, targets in loader:
            inputs, targets = inputs.to(device), targets.to(device)  # noqa: PLW2901  (as it is there)
            optimizer.zero_grad()
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
