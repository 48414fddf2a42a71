"""The random numbers of residual branches: declared when a network is built, fed once a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from cifarzoo.components.protocols import Per
from cifarzoo.randomness.keys import Floats, uniform


class SiteDraw(nn.Module):
    """A number a sample that a branch module needs in every training step.

    The engine sets ``value`` once a step for every such module. One that nobody has fed
    draws from torch's generator, so that a network trains in any loop. ``value`` is a plain
    attribute and never a buffer: DDP would overwrite rank 1's with rank 0's, and refilling
    a buffer in place between forward and backward breaks autograd.

    Args:
        distribution: ``uniform`` from [a, b), or ``bernoulli`` with probability a.
        a: First parameter of the distribution.
        b: Second parameter of the distribution.
        per: Whether every sample gets a number of its own.
    """

    def __init__(
        self, distribution: Literal["uniform", "bernoulli"], a: float, b: float, per: Per
    ) -> None:
        super().__init__()
        self.distribution = distribution
        self.a = a
        self.b = b
        self.per = per
        self.value: Tensor | None = None

    def draw(self, rng: np.random.Generator, batch_size: int) -> Floats:
        """The numbers of a global batch (batch_size,)."""
        count = batch_size if self.per == "sample" else 1
        if self.distribution == "uniform":
            numbers = uniform(rng, count, self.a, self.b)
        else:
            numbers = (rng.random(count) < self.a).astype(np.float32)
        return np.broadcast_to(numbers, (batch_size,))

    def forward(self, x: Tensor) -> Tensor:
        """This step's numbers as (n, 1, 1, 1), in x's dtype, on x's device."""
        value = self.value
        if value is None:
            count = len(x) if self.per == "sample" else 1
            numbers = torch.rand(count, device=x.device)
            if self.distribution == "uniform":
                value = (self.a + (self.b - self.a) * numbers).expand(len(x))
            else:
                value = (numbers < self.a).expand(len(x))
        return value.to(x.device, x.dtype).view(-1, 1, 1, 1)

    def extra_repr(self) -> str:
        """What is drawn, for ``print(model)``."""
        ends = f"{self.a}, {self.b}" if self.distribution == "uniform" else f"{self.a}"
        return f"{self.distribution}({ends}), per={self.per!r}"


class SiteDraws:
    """What the residual port puts on a site (``cifarzoo.protocols.BranchDraws``)."""

    def uniform(self, low: float, high: float, *, per: Per = "sample") -> SiteDraw:
        """Numbers from [low, high)."""
        return SiteDraw("uniform", low, high, per)

    def bernoulli(self, p: float, *, per: Per = "sample") -> SiteDraw:
        """1 with probability ``p``, else 0."""
        return SiteDraw("bernoulli", p, 0.0, per)


def site_draws(model: nn.Module) -> list[SiteDraw]:
    """Every ``SiteDraw`` of ``model``, in the order in which they were registered."""
    return [module for module in model.modules() if isinstance(module, SiteDraw)]


def feed(draws: Sequence[SiteDraw], values: Tensor) -> None:
    """Set this step's numbers: row i of ``values`` (len(draws), n) goes to the i-th module."""
    for draw, value in zip(draws, values, strict=True):
        draw.value = value


def draw_sites(draws: Sequence[SiteDraw], rng: np.random.Generator, batch_size: int) -> Floats:
    """The numbers of all sites for a global batch: (len(draws), batch_size)."""
    rows = [draw.draw(rng, batch_size) for draw in draws]
    return np.stack(rows) if rows else np.empty((0, batch_size), np.float32)
