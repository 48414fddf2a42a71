"""Batch normalisation over a chosen number of images, with either running variance.

How many images share statistics changes what is learned, so it is a setting of the run and
no accident of the number of devices. This module knows no process group: where ranks share
statistics, the engine sets ``gather``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

Gather = Callable[[Tensor], Tensor]  # a tensor of this rank -> those of all its ranks (R, ...)


class BatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` whose images are normalised in groups, within a rank or over ranks.

    Batch normalisation (Ioffe and Szegedy, 2015; arXiv:1502.03167). The running statistics
    take in the mean over the groups, as copies on several devices have on average.

    Args:
        num_features: Number C of channels.
        eps: Number added to the variance.
        momentum: Weight of a step in the running statistics; None: their plain average.
        affine: Whether there is a scale and a shift.
        track_running_stats: Whether there are running statistics.
        unbiased: Whether the running variance divides by count - 1, as torch's does and
            Flax's does not. The images themselves are always normalised by the biased one.

    Attributes:
        group_size: Images that share statistics in training; divides the local batch. None:
            the whole local batch.
        gather: Function that stacks a tensor over the ranks whose local batches, of equal size,
            share statistics; None: this rank alone. Excludes ``group_size``.
    """

    unbiased: bool = True
    group_size: int | None = None
    gather: Gather | None = None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        *,
        affine: bool = True,
        track_running_stats: bool = True,
        unbiased: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats)
        self.unbiased = unbiased

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """Normalise images (N, C, H, W).

        Raises:
            ValueError: The groups don't divide the batch, or ranks and groups are both set.
        """
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        if self.gather is not None:
            return self._over_ranks(input, self.gather)
        if self.group_size not in (None, len(input)):
            return self._over_groups(input, self.group_size)
        if self.unbiased or self.running_var is None:
            return super().forward(input)
        return self._whole(input, self.running_var)

    def _whole(self, x: Tensor, running_var: Tensor) -> Tensor:
        """The usual case; costs what torch's costs and two small operations."""
        count = x.numel() // x.shape[1]
        # torch's kernel adds share * unbiased variance, which is the biased one after division.
        correction = count / max(count - 1, 1)
        variance = running_var * correction
        output = F.batch_norm(
            x,
            self.running_mean,
            variance,
            self.weight,
            self.bias,
            training=True,
            momentum=self._count_step(),
            eps=self.eps,
        )
        torch.div(variance, correction, out=running_var)
        return output

    def _over_groups(self, x: Tensor, group_size: int) -> Tensor:
        if len(x) % group_size:
            raise ValueError(
                f"BatchNorm groups of {group_size} images don't divide a local batch of {len(x)}"
            )
        groups = torch.split(x, group_size)
        normalised = [batch_norm(group, self.weight, self.bias, self.eps) for group in groups]
        statistics = torch.stack([of_group for _, of_group in normalised]).mean(0)
        count = groups[0].numel() // x.shape[1]
        self._track(statistics, 1.0 if self.unbiased else (count - 1) / count)
        return torch.cat([output for output, _ in normalised])

    def _over_ranks(self, x: Tensor, gather: Gather) -> Tensor:
        if self.group_size is not None:
            raise ValueError(
                f"BatchNorm has groups of {self.group_size} images and ranks that share "
                "statistics; expected one of the two"
            )
        statistics, count = gathered_statistics(x, gather)
        self._track(statistics, count / (count - 1) if self.unbiased else 1.0)
        output: Tensor = _Synchronised.apply(
            x, self.weight, self.bias, statistics, self.eps, gather
        )
        return output

    def _track(self, statistics: Tensor, variance_factor: float) -> None:
        """Take mean and variance (2, C) of a step in, the variance times a factor."""
        if self.running_mean is None or self.running_var is None:
            return
        share = self._count_step()
        mean, var = statistics
        self.running_mean.lerp_(mean, share)
        self.running_var.mul_(1 - share).add_(var, alpha=share * variance_factor)

    def _count_step(self) -> float:
        """The weight of this step in the running statistics."""
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        if self.momentum is not None:
            return self.momentum
        return 1.0 / float(self.num_batches_tracked or 1)

    def extra_repr(self) -> str:
        """The settings, for ``print(model)``."""
        settings: str = super().extra_repr()  # type: ignore[no-untyped-call]  # torch's
        return f"{settings}, unbiased={self.unbiased}"


def batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """Normalise a batch by its own statistics.

    Args:
        x: Images (N, C, H, W).
        weight: Scale (C,), or None.
        bias: Shift (C,), or None.
        eps: Number added to the variance.

    Returns:
        The normalised batch, and its mean and unbiased variance a channel (2, C).
    """
    # torch's kernel gives the statistics away only as running ones; with momentum 1 these are
    # the batch's own, and nothing is computed twice.
    statistics = torch.zeros(2, x.shape[1], dtype=statistics_dtype(x), device=x.device)
    mean, var = statistics
    output = F.batch_norm(x, mean, var, weight, bias, training=True, momentum=1.0, eps=eps)
    return output, statistics


@torch.no_grad()
def gathered_statistics(x: Tensor, gather: Gather) -> tuple[Tensor, int]:
    """Mean and biased variance (2, C) of equal batches on several ranks, and their count.

    The variance of the whole is the mean of the ranks' variances plus the variance of their
    means, which does not cancel as a mean of squares would.
    """
    # The first half of torch's own kernel, 4 to 40 times as fast as torch.var_mean on a CPU.
    local = torch.batch_norm_update_stats(x.to(statistics_dtype(x)), None, None, 1.0)
    means, variances = gather(torch.stack(local)).unbind(1)
    mean = means.mean(0)
    var = (variances + (means - mean).square()).mean(0)
    return torch.stack([mean, var]), len(means) * x.numel() // x.shape[1]


class _Synchronised(torch.autograd.Function):
    """Normalise by statistics of several ranks; the gradient flows through them on all ranks."""

    @staticmethod
    def forward(  # noqa: PLR0917  (autograd passes by position)
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        statistics: Tensor,
        eps: float,
        gather: Gather,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, statistics)
        ctx.eps, ctx.gather = eps, gather
        mean, var = statistics
        return F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, (mean, var) = ctx.saved_tensors
        wide = mean.dtype
        inverse_std = (var + ctx.eps).rsqrt()
        # As if the statistics were constants, in one kernel. CPUs take them from the running
        # ones, GPUs in some layouts from the saved ones ...
        statistics = (mean, var, mean, inverse_std)
        grad_x, of_product, of_grad = torch.ops.aten.native_batch_norm_backward(
            grad.to(wide), x.to(wide), weight, *statistics, False, ctx.eps, [True] * 3
        )
        # ... then what flows through mean and variance, which all ranks' gradients reach.
        every = ctx.gather(torch.stack([of_grad, of_product]))
        mean_grad, mean_product = every.sum(0) / (len(every) * x.numel() // x.shape[1])
        scale = inverse_std if weight is None else inverse_std * weight
        slope = scale * inverse_std * mean_product
        grad_x -= (scale * mean_grad - slope * mean)[:, None, None]
        grad_x.addcmul_(x.to(wide), slope[:, None, None], value=-1)
        affine = (None, None) if weight is None else (of_product, of_grad)
        return grad_x.to(x.dtype), *affine, None, None, None


def statistics_dtype(x: Tensor) -> torch.dtype:
    """Float32 for half precision, as under autocast; else x's own."""
    return torch.promote_types(x.dtype, torch.float32)


def convert(model: nn.Module) -> nn.Module:
    """Turn every plain ``nn.BatchNorm2d`` of ``model`` into ours, in place.

    The module objects stay: so do their parameters, buffers, settings, hooks and any reference
    that the network keeps to them. Subclasses, which have reasons of their own, are left alone.
    """
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = BatchNorm2d
    return model


def batch_norms(model: nn.Module) -> list[BatchNorm2d]:
    """Every normalisation of ``model`` that can be told its group."""
    return [module for module in model.modules() if isinstance(module, BatchNorm2d)]


def running_statistics(model: nn.Module) -> list[Tensor]:
    """Running means and variances of all batch normalisations of ``model``, 1-d and 3-d too."""
    return [tensor for tensor in tracked(model) if tensor.is_floating_point()]


def tracked(model: nn.Module) -> list[Tensor]:
    """All that batch normalisations change in a forward pass: statistics and step counts."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return [
        buffer
        for module in model.modules()
        if isinstance(module, kinds)
        for buffer in module.buffers(recurse=False)
    ]
