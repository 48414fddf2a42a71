"""Batch normalisation over a chosen number of images, with either running variance.

How many images share statistics changes what is learned, so it is a setting of the run and
no accident of the number of devices. This module knows no process group: where ranks share
statistics, the engine sets ``gather``. Which norms of a network are these is in ``norms``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

Gather = Callable[[Tensor], Tensor]  # a tensor of this rank -> those of all its ranks (R, ...)


class Grouped(_BatchNorm):
    """What every batch norm has whose images are normalised in groups, within a rank or over ranks.

    Batch normalisation (Ioffe and Szegedy, 2015; arXiv:1502.03167). The running statistics
    take in the mean over the groups, as copies on several devices have on average.

    Attributes:
        unbiased: Whether the running variance divides by count - 1, as torch's does and
            Flax's does not. The images themselves are always normalised by the biased one.
        group_size: Images that share statistics in training; divides the local batch. None:
            the whole local batch.
        batch_size: Images that a forward pass has, by which an input is known that has several
            rows an image, such as (N * L, C); None: each row is an image.
        gather: Function that stacks a tensor over the ranks whose local batches, of equal size,
            share statistics; None: this rank alone. Excludes ``group_size``.
    """

    unbiased: bool = True
    group_size: int | None = None
    batch_size: int | None = None
    gather: Gather | None = None

    def batch_norm(  # noqa: PLR0917  (as F.batch_norm, in whose place it is called)
        self,
        input: Tensor,  # noqa: A002  (torch's name)
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """``F.batch_norm``, but for the images that share statistics.

        Raises:
            ValueError: The groups don't divide the batch, or ranks and groups are both set.
        """
        if training and self.gather is not None:
            output, statistics, factor = self._over_ranks(input, weight, bias, eps, self.gather)
        elif training and (num_groups := self._num_groups(len(input))) > 1:
            output, statistics, factor = self._over_groups(input, weight, bias, eps, num_groups)
        elif training and running_var is not None and not self.unbiased:
            affine = (weight, bias)
            return biased_batch_norm(input, running_mean, running_var, *affine, momentum, eps)
        else:
            return F.batch_norm(
                input, running_mean, running_var, weight, bias, training, momentum, eps
            )
        if running_mean is not None and running_var is not None:
            _move(running_mean, running_var, statistics, momentum, factor)
        return output

    def _num_groups(self, num_rows: int) -> int:
        """Groups in an input of so many rows."""
        if self.group_size is None:
            return 1
        is_whole = self.batch_size is not None and num_rows % self.batch_size == 0
        rows_per_image = num_rows // self.batch_size if is_whole and self.batch_size else 1
        num_groups, rest = divmod(num_rows, self.group_size * rows_per_image)
        if rest:
            raise ValueError(
                f"BatchNorm groups of {self.group_size} images don't divide a local batch of "
                f"{num_rows}"
            )
        return num_groups

    def _over_groups(
        self, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, num_groups: int
    ) -> tuple[Tensor, Tensor, float]:
        """The output, statistics (2, C), and the factor that makes a running variance of theirs."""
        # On a GPU each kernel costs the host what the loop takes eight times over; a CPU has a
        # group in its cache, and the two copies of the batched form cost more than they save.
        in_groups = batched_in_groups if x.is_cuda else looped_in_groups
        output, statistics = in_groups(x, weight, bias, eps, num_groups)
        count = x.numel() // (x.shape[1] * num_groups)
        return output, statistics, 1.0 if self.unbiased else (count - 1) / count

    def _over_ranks(
        self, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, gather: Gather
    ) -> tuple[Tensor, Tensor, float]:
        """As ``_over_groups``."""
        if self.group_size is not None:
            raise ValueError(
                f"BatchNorm has groups of {self.group_size} images and ranks that share "
                "statistics; expected one of the two"
            )
        statistics, count = gathered_statistics(x, gather)
        output: Tensor = _Synchronised.apply(x, weight, bias, statistics, eps, gather)
        return output, statistics, count / (count - 1) if self.unbiased else 1.0


def _move(
    running_mean: Tensor, running_var: Tensor, statistics: Tensor, momentum: float, factor: float
) -> None:
    """Take statistics (2, C) into the running ones; ``factor`` makes their variance the run's."""
    mean, var = statistics
    running_mean.lerp_(mean, momentum)
    running_var.mul_(1 - momentum).add_(var, alpha=momentum * factor)


class _Plain(Grouped):
    """The forward pass of a norm that does nothing else."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """Normalise a batch (N, C, ...).

        Raises:
            ValueError: See ``Grouped.batch_norm``.
        """
        self._check_input_dim(input)  # type: ignore[no-untyped-call]  # torch's
        if not self.training:
            if input.is_meta and input.shape[1] == self.num_features:
                return torch.empty_like(input)  # torch takes a hundred times as long for the shape
            return super().forward(input)
        tracks = self.track_running_stats
        return self.batch_norm(
            input,
            self.running_mean if tracks else None,
            self.running_var if tracks else None,
            self.weight,
            self.bias,
            training=True,
            momentum=self.count_step() if tracks else 0.0,
            eps=self.eps,
        )

    def count_step(self) -> float:
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


class BatchNorm1d(_Plain, nn.BatchNorm1d):
    """``nn.BatchNorm1d`` with groups; see ``Grouped``."""


class BatchNorm2d(_Plain, nn.BatchNorm2d):
    """``nn.BatchNorm2d`` with groups, and with either running variance; see ``Grouped``.

    Args:
        num_features: Number C of channels.
        eps: Number added to the variance.
        momentum: Weight of a step in the running statistics; None: their plain average.
        affine: Whether there is a scale and a shift.
        track_running_stats: Whether there are running statistics.
        unbiased: Whether the running variance divides by count - 1.
    """

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


class BatchNorm3d(_Plain, nn.BatchNorm3d):
    """``nn.BatchNorm3d`` with groups; see ``Grouped``."""


class SyncBatchNorm(_Plain, nn.BatchNorm2d):
    """In the place of ``nn.SyncBatchNorm``, with the run's groups instead of its own.

    Not a subclass of it, which torch refuses where ranks are on CPUs.
    """

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002  (torch's name)
        if input.ndim < 2:
            raise ValueError(f"SyncBatchNorm got {tuple(input.shape)}; expected (N, C, ...)")


def biased_batch_norm(  # noqa: PLR0917  (as F.batch_norm)
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float,
    eps: float,
) -> Tensor:
    """``F.batch_norm`` in training, with a running variance that divides by count.

    Costs what torch's costs and two small operations. The arguments are those of
    ``F.batch_norm``.
    """
    count = x.numel() // x.shape[1]
    # torch's kernel adds share * unbiased variance, which is the biased one after division.
    correction = count / max(count - 1, 1)
    variance = running_var * correction
    output = F.batch_norm(x, running_mean, variance, weight, bias, True, momentum, eps)
    torch.div(variance, correction, out=running_var)
    return output


def looped_in_groups(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, num_groups: int
) -> tuple[Tensor, Tensor]:
    """Normalise a batch in groups, one after the other.

    Args:
        x: Batch (N, C, ...).
        weight: Scale (C,), or None.
        bias: Shift (C,), or None.
        eps: Number added to the variance.
        num_groups: Number of groups, which divides N.

    Returns:
        The normalised batch, and the mean over the groups of the mean and unbiased variance a
        channel (2, C).
    """
    groups = torch.split(x, len(x) // num_groups)
    normalised = [batch_norm(group, weight, bias, eps) for group in groups]
    statistics = torch.stack([of_group for _, of_group in normalised]).mean(0)
    return torch.cat([output for output, _ in normalised]), statistics


def batched_in_groups(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, num_groups: int
) -> tuple[Tensor, Tensor]:
    """``looped_in_groups`` in one call: the channels of a group are channels of their own.

    Output and gradient of ``x`` are the loop's; so are those of scale and shift, but for the
    order in which they are summed over the groups.
    """
    channels = x.shape[1]
    # (G n, C, H, W) -> (n, G C, H, W) by one copy, which is channels_last where x is.
    is_channels_last = not x.is_contiguous() and x.movedim(1, -1).is_contiguous()
    axis = x.ndim - 1 if is_channels_last else 1
    groups = torch.unflatten(x.movedim(1, axis), 0, (num_groups, -1))
    folded = groups.movedim(0, axis).flatten(axis, axis + 1).movedim(axis, 1)
    weights, biases = (None if t is None else t.repeat(num_groups) for t in (weight, bias))
    output, statistics = batch_norm(folded, weights, biases, eps)
    groups = torch.unflatten(output.movedim(1, axis), axis, (num_groups, channels))
    mean = statistics.view(2, num_groups, channels).mean(1)
    return groups.movedim(axis, 0).flatten(0, 1).movedim(axis, 1), mean


def batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """Normalise a batch by its own statistics.

    Args:
        x: Batch (N, C, ...).
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
    """Mean and biased variance (2, C) of equal batches on several ranks, and their count."""
    # The first half of torch's own kernel, 4 to 40 times as fast as torch.var_mean on a CPU.
    local = torch.batch_norm_update_stats(x.to(statistics_dtype(x)), None, None, 1.0)
    every = gather(torch.stack(local))
    return merged(every), len(every) * x.numel() // x.shape[1]


def merged(every: Tensor) -> Tensor:
    """Means and biased variances (2, ...) of the whole, from those of its equal parts (R, 2, ...).

    The variance of the whole is the mean of the parts' variances plus the variance of their
    means, which does not cancel as a mean of squares would.
    """
    means, variances = every.unbind(1)
    mean = means.mean(0)
    return torch.stack([mean, (variances + (means - mean).square()).mean(0)])


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
        along = (-1, *[1] * (x.ndim - 2))
        grad_x -= (scale * mean_grad - slope * mean).view(along)
        grad_x.addcmul_(x.to(wide), slope.view(along), value=-1)
        affine = (None, None) if weight is None else (of_product, of_grad)
        return grad_x.to(x.dtype), *affine, None, None, None


def statistics_dtype(x: Tensor) -> torch.dtype:
    """Float32 for half precision, as under autocast; else x's own."""
    return torch.promote_types(x.dtype, torch.float32)
