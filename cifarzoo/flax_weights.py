"""The parameters of the Flax example of 2020 into our networks, by name.

Names and layouts are those of google/flax ``examples/cifar10``: kernels (H, W, in, out) of
convolutions and (in, out) of the classifier, ``scale`` and ``bias`` of norms, and their
``mean`` and ``var``. Numbers are taken as they are; the network keeps its dtype and device.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cifarzoo.errors import DataError

Arrays = Mapping[str, np.ndarray[Any, Any]]

_WIDE = r"WideResnetGroup_(\d+)/WideResnetBlock_(\d+)"
_SHAKE = r"WideResnetShakeShakeGroup_(\d+)/ShakeShakeBlock_(\d+)"
_PYRAMID = r"BottleneckShakeDrop_(\d+)"
# The original's name of a layer -> ours. Theirs number the last layers by what came before.
LAYERS = (
    (r"init_conv", r"stem.conv"),
    (r"init_bn", r"stem.norm"),
    (rf"{_WIDE}/bn(\d)", r"blocks.\1.\2.residual.norm\3"),
    (rf"{_WIDE}/conv(\d)", r"blocks.\1.\2.residual.conv\3"),
    (rf"{_WIDE}/Conv_0", r"blocks.\1.\2.shortcut.conv"),
    (rf"{_SHAKE}/conv_a_(\d)", r"blocks.\1.\2.residual.paths.0.conv\3"),
    (rf"{_SHAKE}/conv_b_(\d)", r"blocks.\1.\2.residual.paths.1.conv\3"),
    (rf"{_SHAKE}/bn_a_(\d)", r"blocks.\1.\2.residual.paths.0.norm\3"),
    (rf"{_SHAKE}/bn_b_(\d)", r"blocks.\1.\2.residual.paths.1.norm\3"),
    (rf"{_SHAKE}/conv_residual", r"blocks.\1.\2.shortcut.conv"),
    (rf"{_SHAKE}/bn_residual", r"blocks.\1.\2.shortcut.norm"),
    (rf"{_PYRAMID}/bn_1_pre", r"blocks.\1.residual.norm1"),
    (rf"{_PYRAMID}/1x1_conv_contract", r"blocks.\1.residual.conv1"),
    (rf"{_PYRAMID}/bn_1_post", r"blocks.\1.residual.norm2"),
    (rf"{_PYRAMID}/3x3", r"blocks.\1.residual.conv2"),
    (rf"{_PYRAMID}/bn_2", r"blocks.\1.residual.norm3"),
    (rf"{_PYRAMID}/1x1_conv_expand", r"blocks.\1.residual.conv3"),
    (rf"{_PYRAMID}/bn_3", r"blocks.\1.residual.norm4"),
    (r"BatchNorm_\d+|final_bn", r"last.norm"),
    (r"Dense_\d+", r"head"),
)
LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def load(model: nn.Module, params: Arrays, state: Arrays) -> None:
    """Set all parameters and running statistics of ``model``, or none.

    Args:
        model: A network of variant ``flax2020``.
        params: Parameters by the original's names, such as ``init_conv/kernel``.
        state: Running statistics, such as ``init_bn/mean``.

    Raises:
        DataError: Names or shapes aren't those of ``model``.
    """
    given = {**params, **state}
    theirs = {our_name(name): name for name in given}
    targets = tensors(model)
    missing = targets.keys() - theirs.keys()
    extra = {*given} - {theirs[name] for name in targets.keys() & theirs.keys()}
    if missing or extra:
        raise DataError(
            f"these weights are of another network: {_some(missing)} missing from them, "
            f"{_some(extra)} not in {type(model).__name__}"
        )
    for name, target in targets.items():
        shape = _transposed(given[theirs[name]]).shape  # before it is copied, or read from a disk
        if shape != target.shape:
            raise DataError(
                f"these weights are of another network: {theirs[name]} is {name} of "
                f"{shape}; expected {tuple(target.shape)}"
            )
    arrays = {name: to_torch(given[theirs[name]]) for name in targets}
    with torch.no_grad():
        for name, target in targets.items():
            target.copy_(arrays[name])


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and running statistics by the names that ``our_name`` gives.

    A residual of one path has the same names whether or not a regularizer follows it.
    """
    named = dict([*model.named_parameters(), *model.named_buffers()])
    named = {k: v for k, v in named.items() if not k.endswith("num_batches_tracked")}
    if any(".paths.1." in name for name in named):
        return named
    return {name.replace(".paths.0.", "."): tensor for name, tensor in named.items()}


def our_name(name: str) -> str:
    """The name of a parameter or statistic in our networks, such as ``stem.conv.weight``.

    Raises:
        DataError: The original has no such name.
    """
    layer, _, leaf = name.rpartition("/")
    for pattern, ours in LAYERS:
        match = re.fullmatch(pattern, layer)
        if match and leaf in LEAVES:
            return f"{match.expand(ours)}.{LEAVES[leaf]}"
    raise DataError(f"the Flax example of 2020 has no parameter or statistic named {name!r}")


def to_torch(array: np.ndarray[Any, Any]) -> Tensor:
    """A kernel with its output channels first; a vector as it is."""
    return torch.from_numpy(np.ascontiguousarray(_transposed(array)))


def _transposed(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim, range(array.ndim))
    return array.transpose(*axes)


def _some(names: Iterable[str], most: int = 3) -> str:
    """The first few names, and how many there are besides."""
    ordered = sorted(names)
    shown = ", ".join(ordered[:most]) or "nothing"
    return f"{shown} and {len(ordered) - most} more" if len(ordered) > most else shown
