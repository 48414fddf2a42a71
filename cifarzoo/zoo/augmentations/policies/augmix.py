"""AugMix (Hendrycks et al., 2020; arXiv:1912.02781)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from cifarzoo import register
from cifarzoo.protocols import Augmentation, Draws, PositiveInt, check_settings
from cifarzoo.zoo.augmentations.policies.space import OPERATIONS, Space, apply_each

NUM_LEVELS = 10
# Those of the paper's figure 4: no brightness, color, contrast and sharpness, which the corrupted
# test images have.
CHOSEN = tuple(
    OPERATIONS.index(name)
    for name in (
        *("autocontrast", "equalize", "posterize", "rotate", "solarize"),
        *("shear_x", "shear_y", "translate_x", "translate_y"),
    )
)
WITH_COLORS = (
    *CHOSEN,
    *(OPERATIONS.index(name) for name in ("brightness", "color", "contrast", "sharpness")),
)
IDENTITY = OPERATIONS.index("identity")


@lru_cache(maxsize=4)
def space_of(height: int, width: int) -> Space:
    """How strong operations are on images of H by W pixels, at levels 0 to 9 as torchvision's."""
    shares = [level / (NUM_LEVELS - 1) for level in range(NUM_LEVELS)]
    return Space(
        num_levels=NUM_LEVELS,
        shear=0.3,
        translate_x=width / 3,
        translate_y=height / 3,
        rotate=30.0,
        factors=tuple(1 + sign * 0.9 * share for sign in (1, -1) for share in shares),
        bits=tuple(4 - round(4 * share) for share in shares) * 2,
        thresholds=tuple(255 * (1 - share) for share in shares) * 2,
    )


@dataclass(frozen=True, kw_only=True)
class AugMix:
    """Mixes several chains of operations with the image; arguments as in ``augmix``."""

    severity: int
    num_chains: int
    max_depth: int
    all_ops: bool
    num_views: int = 1

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Change the batch (N, 3, H, W), uint8, or give its views (V * N, 3, H, W)."""
        if self.num_views == 1:
            return self._mixed(images, draws)
        mixed = (self._mixed(images, draws) for _ in range(self.num_views - 1))
        return torch.cat([images, *mixed])

    def _mixed(self, images: Tensor, draws: Draws) -> Tensor:
        # Exponential numbers over their sum are from Dirichlet(1, ..., 1); Beta(1, 1) is uniform.
        waits = torch.stack([-(1 - draws.uniform(0.0, 1.0)).log() for _ in range(self.num_chains)])
        weights = waits / waits.sum(0)
        share = draws.uniform(0.0, 1.0)
        mixed = torch.zeros(images.shape, dtype=torch.float32, device=images.device)
        for weight in weights:
            mixed += weight[:, None, None, None] * self._chain(images, draws.on_cpu).float()
        kept = (1 - share)[:, None, None, None]
        return (kept * images.float() + (1 - kept) * mixed).round().to(torch.uint8)

    def _chain(self, images: Tensor, draws: Draws) -> Tensor:
        """Each image after one to ``max_depth`` operations."""
        space = space_of(*images.shape[2:])
        known = torch.tensor(WITH_COLORS if self.all_ops else CHOSEN)
        depth = 1 + draws.integers(self.max_depth)
        for number in range(self.max_depth):
            operation = known[draws.integers(len(known))]
            operation = torch.where(depth > number, operation, IDENTITY)
            column = space.column(draws.integers(self.severity), draws.bernoulli(0.5))
            images = apply_each(images, operation, column, space)
        return images


@register.augmentation
def augmix(
    *,
    severity: Annotated[int, Ge(1), Le(10)] = 3,
    num_chains: PositiveInt = 3,
    max_depth: PositiveInt = 3,
    all_ops: bool = False,
    num_views: PositiveInt = 1,
) -> Augmentation:
    """Mix each image with several chains of random operations on it.

    AugMix (Hendrycks et al., 2020; arXiv:1912.02781), algorithm 1, in torchvision's magnitudes.
    It comes before ``normalize``.

    Args:
        severity: Magnitudes are the weakest so many of ten, 1 to 10.
        num_chains: Chains that are mixed, the paper's k.
        max_depth: Operations of a chain, of which there are one to so many.
        all_ops: Whether brightness, color, contrast and sharpness are among them, as torchvision
            has it; the corrupted test images have these too.
        num_views: Views of each image that go through the network: the image as it is, and the
            others mixed; ``@jsd`` compares them. The paper has 3. 1: the image is mixed.

    Raises:
        ConfigError: A number is out of its range.

    Differs from the paper: images are rounded to whole values.
    """
    check_settings(augmix, locals())
    return AugMix(
        severity=severity,
        num_chains=num_chains,
        max_depth=max_depth,
        all_ops=all_ops,
        num_views=num_views,
    )
