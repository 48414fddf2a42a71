"""The example's three networks, one block a group and narrow, as functions of weights by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tests.first_steps import draws
from tests.first_steps.layers import Layers, two_faced

STRIDES = (1, 2, 2)


def wide(net: Layers, x: Tensor) -> Tensor:
    """WRN: dropout in each block, 3x3 shortcuts of the raw input where shapes change."""
    x = net.conv("stem.conv", x)
    for group, stride in enumerate(STRIDES):
        block = f"blocks.{group}.0"
        y = torch.relu(net.norm(f"{block}.residual.norm1", x))
        y = net.conv(f"{block}.residual.conv1", y, stride)
        y = torch.relu(net.norm(f"{block}.residual.norm2", y))
        if net.step is not None:
            keep = draws.dropout_mask(net.step, group, y.shape)
            y = y * keep / (1 - draws.DROPPED / draws.LEVELS)
        y = net.conv(f"{block}.residual.conv2", y)
        x = y + (x if x.shape == y.shape else net.conv(f"{block}.shortcut.conv", x, stride))
    return net.pooled_dense("head", torch.relu(net.norm("last.norm", x)))


def shake(net: Layers, x: Tensor) -> Tensor:
    """The network for shake-shake: two paths, mixed by other gates forward than backward."""
    x = net.conv("stem.conv", x)
    gates = [] if net.step is None else draws.shake_gates(net.step, len(STRIDES))
    for group, stride in enumerate(STRIDES):
        block = f"blocks.{group}.0"
        a, b = (_shake_path(net, f"{block}.residual.paths.{n}", x, stride) for n in (0, 1))
        if net.step is None:
            mixed = (a + b) * 0.5
        else:
            alpha, beta = gates[group]
            beta = alpha if net.row.reuses_gates else beta
            mixed = two_faced(a * alpha + b * (1 - alpha), a * beta + b * (1 - beta))
        if x.shape != mixed.shape:
            x = net.norm(f"{block}.shortcut.norm", net.conv(f"{block}.shortcut.conv", x, stride))
        x = x + mixed
    return net.pooled_dense("head", torch.relu(x))


def _shake_path(net: Layers, path: str, x: Tensor, stride: int) -> Tensor:
    y = net.norm(f"{path}.norm1", net.conv(f"{path}.conv1", torch.relu(x), stride))
    return net.norm(f"{path}.norm2", net.conv(f"{path}.conv2", torch.relu(y)))


def pyramid(net: Layers, x: Tensor) -> Tensor:
    """PyramidNet with ShakeDrop: bottlenecks, and shortcuts without weights."""
    x = net.norm("stem.norm", net.conv("stem.conv", x))
    keep = [1 - 0.5 * block / 3 for block in (1, 2, 3)]
    gates = [] if net.step is None else draws.drop_gates(net.step, keep)
    for block, stride in enumerate(STRIDES):
        y = _pyramid_path(net, f"blocks.{block}.residual", x, stride)
        if net.step is None:
            y = y * keep[block]
        else:
            mask, alpha, beta = gates[block]
            beta = alpha if net.row.reuses_gates else beta
            y = two_faced(y * (mask + alpha - mask * alpha), y * (mask + beta - mask * beta))
        if stride == 2:
            x = x.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).mean((3, 5))
        missing = x.new_zeros(len(x), y.shape[1] - x.shape[1], *x.shape[2:])
        x = torch.cat([x, missing], 1) + y
    return net.pooled_dense("head", torch.relu(net.norm("last.norm", x)))


def _pyramid_path(net: Layers, path: str, x: Tensor, stride: int) -> Tensor:
    y = net.conv(f"{path}.conv1", net.norm(f"{path}.norm1", x))
    y = net.conv(f"{path}.conv2", torch.relu(net.norm(f"{path}.norm2", y)), stride)
    y = net.conv(f"{path}.conv3", torch.relu(net.norm(f"{path}.norm3", y)))
    return net.norm(f"{path}.norm4", y)


NETWORKS: Mapping[str, Callable[[Layers, Tensor], Tensor]] = {
    "wide": wide,
    "shake": shake,
    "pyramid": pyramid,
}
