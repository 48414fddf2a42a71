"""A plugin: the regularizer ``my_regularizer``, which acts in residual blocks.

What others do in its place: ``batch`` (images and targets), ``network`` (the forward pass),
``loss``, ``optimizer``, ``average``; see ``cifarzoo.protocols.Regularizer``.
"""

from __future__ import annotations

from dataclasses import dataclass

from cifarzoo import register
from cifarzoo.protocols import Probability, Regularizer, Site, check_settings
from torch import Tensor, nn


class Scaled(nn.Module):
    """Scales a residual (N, C, H, W) by one random number an image, in training."""

    def __init__(self, strength: float, site: Site) -> None:
        super().__init__()
        self.factor = site.draws.uniform(1 - strength, 1 + strength)

    def forward(self, residual: Tensor) -> Tensor:
        """The residual times its factor; as it is in tests, since the factor's mean is 1."""
        return residual * self.factor(residual) if self.training else residual


@dataclass(frozen=True)
class MyRegularizer(Regularizer):
    """See ``my_regularizer``."""

    strength: float

    def branch(self, site: Site) -> nn.Module:
        """What acts on the residual of one block."""
        return Scaled(self.strength, site)


@register.regularizer
def my_regularizer(*, strength: Probability = 0.5) -> Regularizer:
    """Scale each residual by a random number.

    Args:
        strength: The numbers are uniform from 1 - strength to 1 + strength; 0 to 1.

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_settings(my_regularizer, locals())
    return MyRegularizer(strength)
