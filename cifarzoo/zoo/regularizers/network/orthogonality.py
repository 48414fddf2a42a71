"""A penalty on kernels whose filters aren't orthogonal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.protocols import Draws, Forward, Passed, PositiveFloat, Regularizer, check_settings

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def soft_orthogonality(kernel: Tensor) -> Tensor:
    """``|W W' - I|**2`` of a kernel as the matrix W (O, ...) of its outputs, or of W' W.

    Of the two the smaller one: the rows of a tall matrix can't be orthogonal.
    """
    matrix = kernel.flatten(1)
    gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    return (gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)).square().sum()


@dataclass(frozen=True, kw_only=True)
class Orthogonality(Regularizer):
    """Adds ``soft_orthogonality`` of every convolution; see ``orthogonality``."""

    capturable: ClassVar[bool] = True
    strength: float

    def network(
        self,
        forward: Forward,
        images: Tensor,
        targets: Tensor,
        draws: Draws,  # noqa: ARG002
    ) -> Passed:
        """The pass, and the penalty."""
        logits, targets, penalty = forward(images, targets)
        with torch.autocast(images.device.type, enabled=False):  # 1 less 1 has few digits left
            parts = [
                soft_orthogonality(module.weight)
                for module in forward.model.modules()
                if isinstance(module, CONVOLUTIONS) and module.groups == 1
            ]
            total = torch.stack(parts).sum() if parts else images.new_zeros(())
        return logits, targets, penalty + self.strength * total


@register.regularizer
def orthogonality(*, strength: PositiveFloat = 1e-4) -> Regularizer:
    """Penalise convolutions whose filters aren't orthogonal to each other and of length 1.

    Can We Gain More from Orthogonality Regularizations (Bansal et al., 2018; arXiv:1810.09102),
    equation 1, soft orthogonality.

    Args:
        strength: Factor on the sum over the kernels, above 0.

    Raises:
        ConfigError: ``strength`` is out of its range.

    Differs from the paper: the strength doesn't fall during training, and grouped convolutions are
    left out.
    """
    check_settings(orthogonality, locals())
    return Orthogonality(strength=strength)
