"""ResizeMix (Qin et al., 2020; arXiv:2012.11101)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Draws, Fraction, Regularizer, check_settings
from cifarzoo.zoo.regularizers.batch.mixup import blend_targets


def paste_resized(
    images: Tensor, targets: Tensor, partner: Tensor, *, top: int, left: int, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Paste each partner, whole and made smaller, into the image; mix the targets by area.

    Args:
        images: Batch (N, C, H, W), float.
        targets: Class probabilities (N, K).
        partner: Who is pasted into each image, indices (N,).
        top: First row of the pasted images.
        left: First column of the pasted images.
        size: Height and width that they are made.

    Returns:
        A new batch of the same shapes; targets still sum to one.
    """
    small = F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
    pasted = images.clone()
    pasted[:, :, top : top + size[0], left : left + size[1]] = small[partner]
    kept = 1 - size[0] * size[1] / images[0, 0].numel()
    return pasted, blend_targets(targets, partner, targets.new_full((len(targets),), kept))


@dataclass(frozen=True, kw_only=True)
class Resizemix(Regularizer):
    """``paste_resized`` with random partners, scales and places; see ``resizemix``."""

    low: float
    high: float

    def batch(self, images: Tensor, targets: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Mix the whole batch with a permutation of itself."""
        height, width = images.shape[2:]
        numbers = draws.on_cpu  # what decides on shapes
        scale = float(numbers.uniform(self.low, self.high, per="batch")[0])
        size = max(1, round(scale * height)), max(1, round(scale * width))
        top = int(numbers.integers(height - size[0] + 1, per="batch")[0])
        left = int(numbers.integers(width - size[1] + 1, per="batch")[0])
        partner = draws.permutation()
        return paste_resized(images, targets, partner, top=top, left=left, size=size)


@register.regularizer
def resizemix(*, low: Fraction = 0.1, high: Fraction = 0.8) -> Regularizer:
    """Paste a whole image, made smaller, into another and mix their targets by area.

    ResizeMix (Qin et al., 2020; arXiv:2012.11101), section 3.2: nothing of the pasted image is
    lost, so that its share of the target belongs to an object that can be seen. One scale and
    place a batch; partners are a random permutation of the global batch.

    Args:
        low: Smallest side of the pasted image, as a share of the whole, 0 to below 1.
        high: Largest side, likewise; at least ``low``.

    Raises:
        ConfigError: A number is out of its range, or they are in the wrong order.
    """
    check_settings(resizemix, locals())
    if low > high:
        raise ConfigError(f"is {high!r}; expected at least low, {low!r}", parameter="high")
    return Resizemix(low=low, high=high)
