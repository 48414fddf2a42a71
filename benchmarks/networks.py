"""The networks in plain PyTorch, as scripts that train on CIFAR have them.

ResNet-18 as in kuangliu/pytorch-cifar and the Flax example's WRN-26-2, both written anew: torch's
own layers, ReLUs that allocate, ``nn.Dropout``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        stride: Stride of the first convolution.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, channels, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class ResNet18(nn.Module):
    """ResNet-18 on (N, 3, 32, 32): 11,173,962 parameters for ten classes."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        blocks: list[nn.Module] = []
        in_channels = 64
        for channels, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            blocks += [Block(in_channels, channels, stride), Block(channels, channels, 1)]
            in_channels = channels
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(512, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K)."""
        out = self.blocks(F.relu(self.bn1(self.conv1(x))))
        out = F.avg_pool2d(out, 4)
        logits: Tensor = self.linear(torch.flatten(out, 1))
        return logits


class WideBlock(nn.Module):
    """Norm, ReLU, 3x3, norm, ReLU, dropout, 3x3, beside x or a 3x3 convolution of it.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        stride: Stride of the first convolution.
        drop_prob: Probability of dropping an activation.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, drop_prob: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1 if stride == 1 else 0)
        self.bn2 = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(drop_prob)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.shortcut = None
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Conv2d(in_channels, channels, 3, stride, 1 if stride == 1 else 0)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, channels, H / stride, W / stride)."""
        out = F.relu(self.bn1(x))
        out = self.conv1(self.padded(out))
        out = self.dropout(F.relu(self.bn2(out)))
        out = self.conv2(out)
        return out + (x if self.shortcut is None else self.shortcut(self.padded(x)))

    def padded(self, x: Tensor) -> Tensor:
        """What a strided convolution sees, as XLA pads it."""
        return x if self.stride == 1 else F.pad(x, (0, 1, 0, 1))


class WideResNet(nn.Module):
    """WRN-26-2 of the Flax example on (N, 3, 32, 32): 1,555,658 parameters for ten classes."""

    def __init__(self, num_classes: int = 10, drop_prob: float = 0.3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1)
        blocks: list[nn.Module] = []
        in_channels = 16
        for channels, stride in ((32, 1), (64, 2), (128, 2)):
            for index in range(4):
                blocks.append(
                    WideBlock(in_channels, channels, stride if index == 0 else 1, drop_prob)
                )
                in_channels = channels
        self.blocks = nn.Sequential(*blocks)
        self.bn = nn.BatchNorm2d(128)
        self.linear = nn.Linear(128, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K)."""
        out = self.blocks(self.conv1(x))
        out = F.avg_pool2d(F.relu(self.bn(out)), 8)
        logits: Tensor = self.linear(torch.flatten(out, 1))
        return logits


def plain_network(name: str) -> nn.Module:
    """The plain form of ``resnet18`` or ``wrn26_2``."""
    return {"resnet18": ResNet18, "wrn26_2": WideResNet}[name]()
