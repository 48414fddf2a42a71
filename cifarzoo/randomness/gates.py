"""The gates of residual branches: random numbers that modules declare, fed to them once a step.

All that belongs to them is here: which key a gate has, its numbers, and the seeds under which
branch modules and extra paths are built. A gate's key names its component, the site's index and
its own number there. So adding a component changes no gate of another, and two runs of one seed
that differ in a component have the same numbers in what both have.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from cifarzoo.components.protocols import Per
from cifarzoo.randomness.global_generators import kept_generators, seed_generators
from cifarzoo.randomness.keys import Floats, generator, uniform

Counts = Counter[tuple[str, int]]  # of things by component and site


@dataclass(frozen=True)
class Owner:
    """What a module inside a residual branch belongs to, besides the architecture itself.

    Attributes:
        component: Name of the regularizer in the run; or ``path 2`` and so on for what only a
            merging regularizer makes the architecture build.
        site: Index of the residual block, from 1.
        number: How many things of this component at this site come before it.
    """

    component: str
    site: int
    number: int = 0


def next_owner(component: str, site: int, counts: Counts) -> Owner:
    """The owner of one more thing of ``component`` at ``site``, which is counted.

    In a network that numbers two sites alike the counts go on, so that keys differ all the same.
    """
    number = counts[component, site]
    counts[component, site] += 1
    return Owner(component, site, number)


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
        owner: What keys the numbers, besides seed and step.
    """

    def __init__(
        self,
        distribution: Literal["uniform", "bernoulli"],
        a: float,
        b: float,
        *,
        per: Per = "sample",
        owner: Owner,
    ) -> None:
        super().__init__()
        self.owner = owner
        self.distribution = distribution
        self.a = a
        self.b = b
        self.per = per
        self.value: Tensor | None = None

    def draw(self, batch_size: int, *, seed: int, step: int) -> Floats:
        """The numbers of the global batch (batch_size,) of an optimizer step."""
        owner = self.owner
        rng = generator(seed, owner.component, "gate", owner.site, owner.number, step)
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
    """What the residual port puts on a site (``cifarzoo.protocols.BranchDraws``).

    Args:
        component: Name of the regularizer in the run.
        site: Index of the residual block, from 1.
        counts: How many gates each (component, site) has by now; shared by a network's sites.
    """

    def __init__(self, component: str = "", site: int = 1, counts: Counts | None = None) -> None:
        self._component = component
        self._site = site
        self._counts = Counter() if counts is None else counts

    def uniform(self, low: float, high: float, *, per: Per = "sample") -> SiteDraw:
        """Numbers from [low, high)."""
        return SiteDraw("uniform", low, high, per=per, owner=self._owner())

    def bernoulli(self, p: float, *, per: Per = "sample") -> SiteDraw:
        """1 with probability ``p``, else 0."""
        return SiteDraw("bernoulli", p, 0.0, per=per, owner=self._owner())

    def _owner(self) -> Owner:
        return next_owner(self._component, self._site, self._counts)


def site_draws(model: nn.Module) -> list[SiteDraw]:
    """Every gate of ``model``, in the order in which they were registered."""
    return [module for module in model.modules() if isinstance(module, SiteDraw)]


def feed(draws: Sequence[SiteDraw], values: Tensor) -> None:
    """Set this step's numbers: row i of ``values`` (len(draws), n) goes to the i-th module."""
    for draw, value in zip(draws, values, strict=True):
        draw.value = value


def draw_gates(draws: Sequence[SiteDraw], batch_size: int, *, seed: int, step: int) -> Floats:
    """The numbers of all gates for a global batch: (len(draws), batch_size).

    Args:
        draws: ``site_draws(model)``; their order decides the rows and no number.
        batch_size: Images in the global batch.
        seed: Seed of the run.
        step: Number of the optimizer step, from 0.
    """
    rows = [draw.draw(batch_size, seed=seed, step=step) for draw in draws]
    return np.stack(rows) if rows else np.empty((0, batch_size), np.float32)


def own_dropouts(module: nn.Module, component: str, site: int, counts: Counts) -> None:
    """Key the masks of every ``nn.Dropout`` in ``module`` by component, site and number.

    The architecture's own are numbered in its order, which these must not shift.

    Args:
        module: What a component put into a residual block.
        component: Name of the component.
        site: Index of the residual block, from 1.
        counts: How many dropouts each (component, site) has by now; counted on.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Dropout):
            layer.owner = next_owner(component, site, counts)  # type: ignore[assignment]  # not a module


@contextmanager
def built_apart(owner: Owner) -> Iterator[None]:
    """While a module is built that only ``owner`` asks for: its first weights are its own.

    The generators are seeded by the owner and by where torch's stood; all are put back.
    So what is built inside draws other numbers in every network, and shifts none of the rest.
    """
    with kept_generators():
        state = hashlib.blake2b(torch.get_rng_state().numpy().tobytes(), digest_size=8).digest()
        base = int.from_bytes(state, "little")
        seed_generators(base, "weights", owner.component, owner.site, owner.number)
        yield
