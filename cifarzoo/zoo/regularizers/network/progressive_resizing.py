"""Training on smaller images first, which cost less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from torch.nn import functional as F

from cifarzoo import register
from cifarzoo.errors import ConfigError, in_one_line
from cifarzoo.protocols import Draws, Forward, Passed, Regularizer, check_settings


def resized(images: Tensor, size: int) -> Tensor:
    """Images whose shorter side has ``size`` pixels, averaged over what each of them covers.

    Args:
        images: Batch (N, C, H, W), float.
        size: Pixels of the shorter side.
    """
    height, width = images.shape[2:]
    scale = size / min(height, width)
    smaller = F.interpolate(
        images,
        size=(round(height * scale), round(width * scale)),
        mode="bilinear",
        antialias=True,
        align_corners=False,
    )
    return smaller.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, kw_only=True)
class ProgressiveResizing(Regularizer):
    """Trains on smaller images first; see ``progressive_resizing``."""

    sizes: tuple[int, ...]
    until: tuple[float, ...]

    def network(
        self,
        forward: Forward,
        images: Tensor,
        targets: Tensor,
        draws: Draws,  # noqa: ARG002
    ) -> Passed:
        """The pass of images of the size that is due."""
        progress = forward.moment.progress
        for size, end in zip(self.sizes, self.until, strict=True):
            if progress < end:
                smaller = resized(images, size)
                try:
                    return forward(smaller, targets)
                except torch.OutOfMemoryError:
                    raise
                except (RuntimeError, ValueError) as error:  # of layers made for another size
                    height, width = smaller.shape[2:]
                    raise ConfigError(
                        f"has {size}, and the network fails on images of {height} x {width}: "
                        f"{in_one_line(error)}; expected sizes that it takes",
                        parameter="sizes",
                    ) from error
        return forward(images, targets)


@register.regularizer
def progressive_resizing(
    *,
    sizes: Sequence[Annotated[int, Ge(1)]] = (24,),
    until: Sequence[Annotated[float, Gt(0), Le(1)]] = (0.6,),
) -> Regularizer:
    """Train on smaller images at first, and on whole ones at the end and in tests.

    As in Howard's entries to DAWNBench (2018), and EfficientNetV2 (Tan and Le, 2021;
    arXiv:2104.00298), section 4.1. A pass over images of 24 pixels a side costs about half of one
    over 32. For networks that take any size: those that end in a pooling over what is left.

    Args:
        sizes: Pixels of the images' shorter side, in the order of training.
        until: Share of the run until which each of them is trained on; whole images follow.

    Raises:
        ConfigError: The two are of different lengths, or ``until`` doesn't rise.

    Differs from the paper: regularization is the same at all sizes.
    """
    check_settings(progressive_resizing, locals())
    if not sizes:
        raise ConfigError("is empty; expected at least one size", parameter="sizes")
    ends = [0.0, *until]
    if len(sizes) != len(until) or not all(a < b for a, b in pairwise(ends)):
        raise ConfigError(
            f"is {list(until)}; expected a share for each of {len(sizes)} sizes, rising, at most 1",
            parameter="until",
        )
    return ProgressiveResizing(sizes=tuple(sizes), until=tuple(until))
