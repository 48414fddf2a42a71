"""Random numbers as functions: of (seed, purpose, epoch, step), never of what was drawn before.

Numbers are drawn on the CPU by NumPy's Philox under a 128-bit key (torch's CPU generator
uses only 32 bits of its seed), for the whole global batch, and sliced to the rank's part. So
nothing about generators is in a checkpoint, and 1, 2 or 8 devices see the same training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from cifarzoo.protocols import Per

Floats = np.ndarray[Any, np.dtype[np.float32]]
Indices = np.ndarray[Any, np.dtype[np.int64]]


def key(seed: int, *purpose: str | int) -> int:
    """A 128-bit key for ``purpose`` under ``seed``: the blake2b digest of both."""
    # int(): NumPy's integers print as np.int64(3), and must give the same key as 3.
    text = repr(tuple(part if isinstance(part, str) else int(part) for part in (seed, *purpose)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """The generator of all numbers for ``purpose`` under ``seed``, from its start."""
    return np.random.Generator(np.random.Philox(key=key(seed, *purpose)))


class BatchDraws:
    """The draws of one component for one batch (``cifarzoo.protocols.Draws``).

    Args:
        rng: Where the numbers come from; successive calls go on in it.
        batch_size: Images in the global batch.
        part: The rows of the global batch that are asked for.
        device: Where the tensors go.
        epoch: Of the batch.
        of_images: Makes the draws that belong to the batch's images; None: they have none.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        batch_size: int,
        *,
        part: slice | Indices = slice(None),
        device: torch.device | str = "cpu",
        epoch: int = 0,
        of_images: Callable[[], BatchDraws] | None = None,
    ) -> None:
        self._rng = rng
        self._batch_size = batch_size
        self._part = part
        self._device = torch.device(device)
        self._of_images = of_images
        self.epoch = epoch

    def uniform(self, low: float, high: float, *, per: Per = "sample") -> Tensor:
        """Float32 from [low, high), one a sample (n,)."""
        return self._give(uniform(self._rng, self._count(per), low, high))

    def bernoulli(self, p: float, *, per: Per = "sample") -> Tensor:
        """Bool, True with probability ``p``, one a sample (n,)."""
        return self._give(self._rng.random(self._count(per)) < p)

    def integers(self, n: int, *, per: Per = "sample") -> Tensor:
        """Int64 from 0 to n - 1, one a sample (n,)."""
        return self._give(self._rng.integers(n, size=self._count(per)))

    def beta(self, a: float, b: float, *, per: Per = "sample") -> Tensor:
        """Float32 from Beta(a, b), one a sample (n,)."""
        return self._give(self._rng.beta(a, b, self._count(per)).astype(np.float32))

    def permutation(self) -> Tensor:
        """Int64: a permutation of the global batch (n,)."""
        rows = range(self._batch_size)
        if not isinstance(self._part, slice) or rows[self._part] != rows:
            raise ValueError("a permutation needs the whole batch: draw it in the batch stage")
        return self._give(self._rng.permutation(self._batch_size))

    def of_images(self) -> BatchDraws:
        """Draws that belong to the images of the dataset: the same in every epoch."""
        if self._of_images is None:
            raise ValueError("these draws belong to no images of a dataset")
        return self._of_images()

    def _count(self, per: Per) -> int:
        return self._batch_size if per == "sample" else 1

    def _give(self, numbers: np.ndarray[Any, Any]) -> Tensor:
        whole = np.broadcast_to(numbers, (self._batch_size,))
        return on_device(whole[self._part], self._device)


def on_device(numbers: np.ndarray[Any, Any], device: torch.device | str) -> Tensor:
    """A copy of ``numbers``, which may not be writable; a GPU's queue does not wait for it."""
    copied = torch.from_numpy(numbers.copy())
    if torch.device(device).type == "cuda":
        return copied.pin_memory().to(device, non_blocking=True)
    return copied.to(device)


def uniform(rng: np.random.Generator, count: int, low: float, high: float) -> Floats:
    """Float32 numbers from [low, high), the upper end left out after rounding too."""
    numbers = rng.random(count, dtype=np.float32) * np.float32(high - low) + np.float32(low)
    below_high = np.nextafter(np.float32(high), np.float32(low))
    below: Floats = np.minimum(numbers, below_high, dtype=np.float32)
    return below


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


def inject(model: nn.Module, gates: Iterable[Any]) -> None:
    """Make the next forward pass of ``model`` in training use recorded random numbers.

    They are taken in call order: by the branch modules' draws, and by every ``nn.Dropout``
    in training. After that pass the model draws for itself again.

    Args:
        model: Any network.
        gates: Arrays or tensors. For a draw (n,) or (n, 1, 1, 1); for dropout a mask of
            the input's shape, or of its NHWC form as the original code has it; True keeps.

    Raises:
        ValueError: (from the forward pass) It took fewer or more numbers than there are, or
            a mask has another shape than its input.
    """
    _Injection(gates).attach(model)


class _Injection:
    """Recorded gates, given out by forward hooks in call order until a pass ends or fails."""

    def __init__(self, gates: Iterable[Any]) -> None:
        self._rest: Iterator[Tensor] = iter([torch.as_tensor(gate) for gate in gates])
        self._handles: list[RemovableHandle] = []

    def attach(self, model: nn.Module) -> None:
        for module in model.modules():
            if isinstance(module, SiteDraw):
                self._handles.append(module.register_forward_hook(self._give_draw))
            elif isinstance(module, nn.Dropout):
                self._handles.append(module.register_forward_hook(self._give_dropped))
        self._handles.append(model.register_forward_hook(self._finish))

    def _give_draw(self, _draw: SiteDraw, args: tuple[Tensor], _output: Tensor) -> Tensor:
        x = args[0]
        return self._next().to(x.device, x.dtype).reshape(-1, 1, 1, 1)

    def _give_dropped(
        self, dropout: nn.Dropout, args: tuple[Tensor], output: Tensor
    ) -> Tensor | None:
        if not dropout.training:
            return None
        x, mask = args[0], self._next().to(output.device)
        if mask.ndim == 4 and mask.shape != x.shape:
            mask = mask.permute(0, 3, 1, 2)
        if mask.shape != x.shape:
            self._fail(f"a dropout mask is {tuple(mask.shape)}; expected {tuple(x.shape)}")
        return torch.where(mask.bool(), x / (1 - dropout.p), torch.zeros_like(x))

    def _finish(self, *_: object) -> None:
        left = sum(1 for _ in self._rest)
        if left:
            self._fail(f"the forward pass left {left} of the injected gates unused")
        self._detach()

    def _next(self) -> Tensor:
        gate = next(self._rest, None)
        if gate is None:
            self._fail("the forward pass asked for more gates than were injected")
        return gate

    def _fail(self, problem: str) -> NoReturn:
        self._detach()
        raise ValueError(problem)

    def _detach(self) -> None:
        for handle in self._handles:
            handle.remove()
