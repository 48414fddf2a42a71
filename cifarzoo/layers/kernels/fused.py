"""Where a network's modules give way to kernels: norms with what follows them, 2x2 pooling.

The modules stay where they are registered, and so do their names, parameters, buffers and order;
only the containers that call them change. Whether a kernel may be used is asked at each call,
since modes and hooks change; else the modules are called one by one, as without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules.module import _has_any_global_hook

from cifarzoo.layers.batch_norm import BatchNorm2d, merged
from cifarzoo.layers.dropout import LEVELS, Dropout
from cifarzoo.layers.kernels import operations
from cifarzoo.layers.kernels.operations import Activation
from cifarzoo.layers.kernels.readable import is_readable

LEAST = 2**18  # activations; with fewer the cost of a call is what a kernel gains
HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)
REPLACED = ("forward", "batch_norm")  # where a module itself has one, its class says nothing


def convert(model: nn.Module, *, least: int = 0, pools: bool = True) -> nn.Module:
    """Let kernels do what they can of ``model``, in place.

    Args:
        model: Network whose layers are the engine's, see ``norms.convert``.
        least: Number of activations from which on a kernel does a layer.
        pools: Whether there is a kernel for poolings, as on a CPU.
    """
    for module in model.modules():
        if type(module) is nn.Sequential and any(type(child) is BatchNorm2d for child in module):
            module.__class__ = FusedSequential
            vars(module)["least"] = least
        elif pools and _is_2x2(module):
            module.__class__ = MaxPool2d
    return model


def count(model: nn.Module) -> dict[str, int]:
    """How many layers of a converted ``model`` kernels may do, by what they are."""
    sequences = [module for module in model.modules() if isinstance(module, FusedSequential)]
    norms = {id(child) for each in sequences for child in each if type(child) is BatchNorm2d}
    pools = sum(isinstance(module, MaxPool2d) for module in model.modules())
    return {"norms": len(norms), "poolings": pools}


class FusedSequential(nn.Sequential):
    """``nn.Sequential`` in which a norm, its activation and its dropout are one kernel.

    Attributes:
        least: Number of activations from which on they are.
    """

    least: int = 0

    def forward(self, input: Any) -> Any:  # noqa: A002  (torch's name)
        """Call the modules in order."""
        modules = list(self)
        while modules:
            first, *modules = modules
            if _may_fuse(first, input) and input.numel() >= self.least:
                activation, dropout = _followers(modules)
                input = _fused(input, first, activation, dropout)  # noqa: A001
                modules = modules[(activation is not Activation.NONE) + (dropout is not None) :]
            else:
                input = first(input)  # noqa: A001
        return input


class MaxPool2d(nn.MaxPool2d):
    """``nn.MaxPool2d(2)``, whose choices are kept in a byte each."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """The largest of each 2x2 pixels (N, C, H, W)."""
        if _has_kernels(input) and input.device.type == "cpu" and min(input.shape[2:]) > 1:
            pooled: Tensor = torch.ops.cifarzoo.max_pool(input)
            return pooled
        unfused: Tensor = super().forward(input)
        return unfused


def _is_2x2(module: nn.Module) -> TypeGuard[nn.MaxPool2d]:
    if type(module) is not nn.MaxPool2d:
        return False
    sizes = (module.kernel_size, module.stride, module.padding, module.dilation)
    is_plain = not module.ceil_mode and not module.return_indices
    return is_plain and sizes in {(2, 2, 0, 1), ((2, 2), (2, 2), (0, 0), (1, 1))}


def _has_kernels(images: Any) -> TypeGuard[Tensor]:
    """Whether ``images`` are what kernels are written for."""
    # torch tells nowhere else whether forward-mode differentiation is at work.
    is_forward = forward_ad._current_level >= 0  # noqa: SLF001
    if not is_readable(images, "cpu", "cuda") or images.numel() == 0 or is_forward:
        return False
    return images.dtype in operations.dtypes_of(images.device.type)


def _may_fuse(norm: nn.Module, images: Any) -> TypeGuard[BatchNorm2d]:
    if type(norm) is not BatchNorm2d or not norm.training or not _has_kernels(images):
        return False
    if norm.momentum is None or not norm.track_running_stats or not _is_untouched(norm):
        return False
    tensors = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    if any(t is None or t.dtype is not torch.float32 or not t.is_contiguous() for t in tensors):
        return False
    num, channels, height, width = images.shape
    rows = norm.group_size or num
    if norm.gather is not None and norm.group_size is not None:
        return False
    # What the norm itself refuses, it refuses in its own words.
    return channels == norm.num_features and num % rows == 0 and rows * height * width > 1


def _followers(modules: Sequence[nn.Module]) -> tuple[Activation, Dropout | None]:
    """Of the modules behind a norm, the activation and the dropout that its kernel does."""
    activation, dropout = (*modules, None, None)[:2]
    kind = Activation.NONE if activation is None else _kind(activation)
    # The mask of a dropout is kept by the sign of ReLU's output.
    if kind is not Activation.RELU or type(dropout) is not Dropout:
        return kind, None
    is_quick = dropout.training and 0 < dropout.threshold < LEVELS and _is_untouched(dropout)
    return kind, dropout if is_quick else None


def _kind(module: nn.Module) -> Activation:
    if not _is_untouched(module):
        return Activation.NONE
    if type(module) is nn.ReLU:
        return Activation.RELU
    if type(module) is nn.GELU and module.approximate == "none":
        return Activation.GELU
    return Activation.NONE


def _is_untouched(module: nn.Module) -> bool:
    """Whether calling ``module`` does what its class says, and nothing besides."""
    if _has_any_global_hook():  # type: ignore[no-untyped-call]  # torch's
        return False
    own = vars(module)
    return not any(own.get(name) for name in HOOKS) and not any(name in own for name in REPLACED)


def _fused(
    images: Tensor, norm: BatchNorm2d, activation: Activation, dropout: Dropout | None
) -> Tensor:
    groups = len(images) // (norm.group_size or len(images))
    count, gather = images.numel() // (images.shape[1] * groups), norm.gather
    moments = operations.statistics(images, groups)
    if gather is not None:
        every = gather(moments)
        moments, count = merged(every), len(every) * count
    _take_in(norm, moments, count)
    masks, threshold = (None, 0) if dropout is None else (_masks(dropout), dropout.threshold)
    settings = (norm.eps, activation.value, threshold)
    return operations.norm(images, norm.weight, norm.bias, moments, masks, *settings, gather)


def _take_in(norm: BatchNorm2d, moments: Tensor, count: int) -> None:
    """Move the running statistics by those of groups of ``count`` numbers a channel."""
    if norm.running_mean is not None and norm.running_var is not None:
        factor = count / (count - 1) if norm.unbiased else 1.0
        running = (norm.running_mean, norm.running_var)
        operations.move(moments, norm.count_step(), factor, *running)


def _masks(dropout: Dropout) -> Tensor:
    """Key and first row of the masks, as the signed numbers that operations take (3,)."""
    return torch.tensor(dropout.rows_of_pass().words()) if dropout.words is None else dropout.words
