"""Recorded random numbers in the place of drawn ones, to compare networks exactly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from cifarzoo.randomness.gates import SiteDraw


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
