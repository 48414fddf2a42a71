"""AutoAugment (Cubuk et al., 2019; arXiv:1805.09501) with the policies that it found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Augmentation, Dataset, Draws, check_settings
from cifarzoo.zoo.augmentations.operations.fill import as_tensor, mean_pixel
from cifarzoo.zoo.augmentations.policies.auto_augment_policies import CODE, PAPER, SVHN, Step
from cifarzoo.zoo.augmentations.policies.space import OPERATIONS, Space, apply_each, torchvisions

Policy: TypeAlias = Literal["paper", "code", "svhn"]
Ranges: TypeAlias = Literal["torchvision", "autoaugment"]
POLICIES = {"paper": PAPER, "code": CODE, "svhn": SVHN}
IDENTITY, SOLARIZE = OPERATIONS.index("identity"), OPERATIONS.index("solarize")
# The authors' code for CIFAR: levels are tenths, and bits and thresholds are cut to whole ones.
AUTOAUGMENT = Space(
    num_levels=11,
    shear=0.3,
    translate_x=10.0,
    translate_y=10.0,
    rotate=30.0,
    factors=tuple(1.8 * level / 10 + 0.1 for level in range(11)) * 2,
    bits=tuple(4 - 4 * level // 10 for level in range(11)) * 2,
    thresholds=tuple(256 - 256 * level // 10 for level in range(11)) * 2,
)


@dataclass(frozen=True, kw_only=True)
class AutoAugment:
    """``apply_each`` twice, with a sub-policy of each sample's own; see ``auto_augment``.

    Attributes:
        policy: Whose sub-policies.
        ranges: Whose magnitudes.
        pixel: What geometric operations uncover, a number a channel; None: black.
    """

    policy: Policy
    ranges: Ranges
    pixel: tuple[int, ...] | None

    def space(self, height: int, width: int) -> Space:
        """How strong operations are on images of H by W pixels."""
        if self.ranges == "autoaugment":
            return AUTOAUGMENT
        return torchvisions(
            num_levels=10,
            shear=0.3,
            translate_x=150.0 / 331.0 * width,
            translate_y=150.0 / 331.0 * height,
            rotate=30.0,
            enhance=0.9,
            posterize=4,
        )

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Change the batch (N, 3, H, W), uint8."""
        space, draws = self.space(*images.shape[2:]), draws.on_cpu
        sub_policy = draws.integers(len(POLICIES[self.policy]))
        if self.pixel is not None:
            images = torch.cat([images, torch.full_like(images[:, :1], 255)], 1)
        steps = _steps(self.policy, space.num_levels)
        for operations, probabilities, levels in zip(*steps, strict=True):
            is_applied = draws.uniform(0, 1) < probabilities[sub_policy]
            operation = torch.where(is_applied, operations[sub_policy], IDENTITY)
            column = space.column(levels[sub_policy], draws.bernoulli(0.5))
            images = apply_each(images, operation, column, space)
        return images if self.pixel is None else _filled(images, self.pixel)


@lru_cache(maxsize=4)
def _steps(policy: Policy, num_levels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Operation, probability and level of the first and second steps of K sub-policies, (2, K)."""
    numbers = [
        [_numbers(step, num_levels) for step in steps]
        for steps in zip(*POLICIES[policy], strict=True)
    ]
    operation, p, level = torch.tensor(numbers, dtype=torch.float64).unbind(2)
    return operation.long(), p.float(), level.long()


def _numbers(step: Step, num_levels: int) -> tuple[int, float, int]:
    name, p, level = step
    if name == "invert":  # solarize from 0 on, which is its strongest
        return SOLARIZE, p, num_levels - 1
    return OPERATIONS.index("identity" if name == "cutout" else name), p, level


def _filled(images: Tensor, pixel: tuple[int, ...]) -> Tensor:
    """The colours of (N, 4, H, W), and ``pixel`` where the opacity is 0 and not 255."""
    pixels = images.permute(0, 2, 3, 1)
    opacity, fill = pixels[..., 3:], as_tensor(pixel, images.dtype, images.device)
    # By bits: torch.where takes nearly twice as long on a CPU.
    return ((pixels[..., :3] & opacity) | (fill & ~opacity)).permute(0, 3, 1, 2)


@register.augmentation
def auto_augment(
    *,
    policy: Policy = "paper",
    ranges: Literal["torchvision", "autoaugment"] = "torchvision",
    fill: Literal["zero", "mean"] = "zero",
    dataset: Dataset | None = None,
) -> Augmentation:
    """Apply two operations to each image, of a policy that was searched for.

    AutoAugment (Cubuk et al., 2019; arXiv:1805.09501). Each image has a random sub-policy: two
    operations, one after the other, each with a probability and a magnitude of its own. Half of
    the shears, shifts and turns go the other way. It comes before ``normalize``.

    Args:
        policy: ``paper``, the 25 sub-policies of its appendix, ``code``, the 95 of the authors'
            code for CIFAR, twenty of which are the paper's, or ``svhn``, the 25 that were found
            on SVHN. Those found on CIFAR-10 are the paper's for CIFAR-100 too (its section 4.1).
        ranges: ``torchvision``: level 9 is the strongest, a shift of 14.5 pixels or a factor of
            1.9 or 0.1, each for half of the images, and posterize keeps 4 to 8 bits.
            ``autoaugment``: as in the authors' code for CIFAR, where level 10 is: a shift of 10
            pixels; factors grow from 0.1 at level 0 to 1.9, and posterize keeps 4 to 0 bits.
        fill: Where shears, shifts and turns uncover pixels: ``zero``, black, or ``mean``, the
            dataset's, as in the authors' code. It is filled in at the end: until then these
            pixels are black, and they stay black where one of posterize, solarize, invert,
            autocontrast and equalize comes after.
        dataset: Whose mean; passed by the engine.

    Raises:
        ConfigError: There is no such ``policy``, ``ranges`` or ``fill``, or nothing tells the
            mean.

    Differs from the authors' code: operations are torchvision's of tensors and not PIL's, which
    rounds otherwise; the mean is rounded to whole pixel values, which moves it by at most
    0.5 / 255; and cutout, a step of three of the 95 sub-policies, with a box that is mostly
    misplaced there, is left out.
    """
    check_settings(auto_augment, locals())
    pixel = mean_pixel(dataset) if fill == "mean" else None
    if fill == "mean" and pixel is None:
        raise ConfigError("is 'mean' of an unknown dataset; pass dataset", parameter="fill")
    return AutoAugment(policy=policy, ranges=ranges, pixel=pixel)
