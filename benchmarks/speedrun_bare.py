"""The airbench94 recipe as a bare script: what cifarzoo's time to accuracy is measured beside.

One file of plain torch on a CPU, float32 and channels_last, with torch's own memory and a loop
that does nothing else (Jordan, 2024; arXiv:2404.00498). Only the images are read by cifarzoo.

    python -m benchmarks.speedrun_bare --data DIR --epochs 9.9 --seed 0
    python -m benchmarks.speedrun_bare --data DIR --steps 4      # how long a step takes
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo.zoo.datasets.cifar import cifar10

BATCH, MOMENTUM, SMOOTHING, BIAS_SCALE = 1024, 0.85, 0.2, 64.0
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
KILOSTEP = 1024 * (1 + 1 / (1 - MOMENTUM))
LR = 11.5 / KILOSTEP
DECAY = 0.0153 * BATCH / KILOSTEP


class Block(nn.Module):
    """Two convolutions, the first with a pooling."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, padding="same", bias=False)
        self.norm1 = nn.BatchNorm2d(width, eps=1e-12, momentum=0.4)
        self.conv2 = nn.Conv2d(width, width, 3, padding="same", bias=False)
        self.norm2 = nn.BatchNorm2d(width, eps=1e-12, momentum=0.4)
        for conv in (self.conv1, self.conv2):
            nn.init.dirac_(conv.weight.data[: conv.in_channels])
        for norm in (self.norm1, self.norm2):
            norm.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, inputs, H, W) to (N, width, H // 2, W // 2)."""
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.norm2(self.conv2(x)))


class Network(nn.Module):
    """The network of the paper, its first layer from the training images."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 24, 2)
        nn.init.zeros_(self.first.bias)  # type: ignore[arg-type]  # it has one
        self.blocks = nn.Sequential(Block(24, 64), Block(64, 256), Block(256, 256))
        self.head = nn.Linear(256, 10, bias=False)
        patches = images.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 12)
        variances, axes = torch.linalg.eigh(torch.cov(patches.T))
        kernels = (axes / (variances + 5e-4).sqrt()).T.reshape(12, 3, 2, 2)
        self.first.weight.data.copy_(torch.cat([kernels, -kernels]))
        self.first.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, 10)."""
        x = self.blocks(F.gelu(self.first(x)))
        logits: Tensor = self.head(F.max_pool2d(x, 3).flatten(1)) / 9
        return logits


def batches(images: Tensor, labels: Tensor, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of one epoch: shifted by up to two pixels; every second epoch is mirrored."""
    padded = F.pad(images, (2, 2, 2, 2), "reflect")
    if epoch % 2:
        padded = padded.flip(3)
    shifts = torch.randint(5, (len(images), 2))
    order = torch.randperm(len(images))
    for rows in order[: len(images) // BATCH * BATCH].split(BATCH):
        batch = torch.empty(BATCH, 3, 32, 32)
        for y in range(5):
            for x in range(5):
                here = (shifts[rows] == torch.tensor([y, x])).all(1)
                batch[here] = padded[rows[here], :, y : y + 32, x : x + 32]
        yield batch.contiguous(memory_format=torch.channels_last), labels[rows]


def factor(step: int, total: int) -> float:
    """Of the learning rate: a triangle from 0.2 to 1 to 0.07."""
    return float(np.interp(step, [0, int(0.23 * total), total], [0.2, 1, 0.07]))


def train(network: Network, images: Tensor, labels: Tensor, *, total: int, steps: int) -> None:
    """Train for ``steps`` of ``total`` steps."""
    shifts = [p for n, p in network.named_parameters() if "norm" in n and p.requires_grad]
    others = [p for n, p in network.named_parameters() if "norm" not in n and p.requires_grad]
    rates = [LR * BIAS_SCALE, LR]
    groups = [
        {"params": params, "lr": rate, "weight_decay": DECAY / rate}
        for params, rate in zip((shifts, others), rates, strict=True)
    ]
    optimizer = torch.optim.SGD(groups, lr=LR, momentum=MOMENTUM, nesterov=True)
    slow = {name: value.clone() for name, value in network.state_dict().items()}
    step, epoch = 0, 0
    while step < steps:
        network.first.bias.requires_grad_(epoch < 3)  # type: ignore[union-attr]  # it has one
        for inputs, targets in batches(images, labels, epoch):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor(step, total)
            outputs = network(inputs)
            loss = F.cross_entropy(outputs, targets, label_smoothing=SMOOTHING, reduction="sum")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            step += 1
            if step % 5 == 0:
                follow(network, slow, 0.95**5 * (step / total) ** 3)
            if step >= steps:
                break
        epoch += 1
    follow(network, slow, 1.0)


def follow(network: nn.Module, slow: dict[str, Tensor], kept: float) -> None:
    """Lookahead: blend the weights into the slow ones, and go back to these."""
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            slow[name].lerp_(value, 1 - kept)
            value.copy_(slow[name])


@torch.no_grad()
def accuracies(network: Network, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Of the images alone, and of six views: mirrored, and shifted by a pixel both ways."""
    network.eval()
    right = torch.zeros(2)
    for batch, targets in zip(images.split(500), labels.split(500), strict=True):
        padded = F.pad(batch, (1, 1, 1, 1), "reflect")
        views = (batch, padded[:, :, :32, :32], padded[:, :, 2:, 2:])
        logits = [(network(view), network(view.flip(3))) for view in views]
        both = [(one + other) / 2 for one, other in logits]
        averaged = both[0] / 2 + (both[1] + both[2]) / 4
        for i, scores in enumerate((logits[0][0], averaged)):
            right[i] += (scores.argmax(1) == targets).sum()
    plain, in_views = (right / len(images)).tolist()
    return plain, in_views


def main() -> None:
    """Train, test, and print what came of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=float, default=9.9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="stop after so many, and test nothing")
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    splits = cifar10(options.data).load()
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (MEAN, STD))
    (images, labels), (test_images, test_labels) = (
        ((torch.from_numpy(s.images) / 255 - mean) / std, torch.from_numpy(s.labels))
        for s in splits
    )
    network = Network(images[:5000]).to(memory_format=torch.channels_last)
    coin = torch.rand(len(images)) < 0.5
    images[coin] = images[coin].flip(3)
    total = math.ceil(len(images) // BATCH * options.epochs)

    wall, cpu = time.perf_counter(), time.process_time()
    steps = min(options.steps or total, total)
    train(network, images, labels, total=total, steps=steps)
    result = {
        "steps": steps,
        "seed": options.seed,
        "threads": torch.get_num_threads(),
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }
    if options.steps is None:
        result["accuracy"], result["tta_accuracy"] = accuracies(network, test_images, test_labels)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
