"""What stands around an optimizer and is one to everybody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Wrapped:
    """Has the attributes of the optimizer inside it; a subclass has a ``step`` of its own.

    Args:
        inner: The optimizer that is wrapped, whose state is all that a checkpoint needs.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # asked for before it is there, as ``copy`` does
            raise AttributeError(name)
        return getattr(self.inner, name)

    def parameters(self) -> list[nn.Parameter]:
        """Those that have a gradient."""
        each = (p for group in self.param_groups for p in group["params"])
        return [parameter for parameter in each if parameter.grad is not None]


Closure = Callable[[], Tensor]


def gradients(parameters: list[nn.Parameter]) -> list[Tensor]:
    """The gradients of ``parameters``, which all have one."""
    return [p.grad for p in parameters if p.grad is not None]
