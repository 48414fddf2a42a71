"""An optimizer's step as a loop over its parameters, each of which is updated by itself."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cifarzoo.errors import ConfigError


def evaluated(closure: Callable[[], Any] | None) -> Any:
    """The loss that ``closure`` gives with gradients; None: there is none, the gradients are."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def plain_step(kind: type[torch.optim.Optimizer]) -> Callable[..., Any]:
    """``step`` of one of torch's optimizers without what torch wraps around it for its compiler.

    The first call of that imports the compiler, which takes two seconds. What is given here
    takes the optimizer and the closure; it can't be differentiated.

    Args:
        kind: Class of the optimizer.
    """
    step: Callable[..., Any] = torch.no_grad()(inspect.unwrap(kind.step))
    return step


def descend(parameter: Tensor, direction: Tensor, rate: float | Tensor) -> None:
    """Subtract ``rate`` times ``direction`` from ``parameter``, in place.

    Args:
        parameter: Parameter that is changed.
        direction: Of the same shape.
        rate: Learning rate; where a captured step reads it, a tensor ().
    """
    if isinstance(rate, Tensor):
        parameter.addcmul_(direction, rate, value=-1)
    else:
        parameter.add_(direction, alpha=-rate)


class PerParameter(torch.optim.Optimizer):
    """Updates each parameter that has a gradient; a subclass says how."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient.

        Args:
            closure: Computes the loss and the gradients; None: these are there.
        """
        loss = evaluated(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.update(parameter, parameter.grad, self.state[parameter], group)
        return loss

    @abstractmethod
    def update(
        self,
        parameter: nn.Parameter,
        gradient: Tensor,
        state: dict[str, Any],
        group: dict[str, Any],
    ) -> None:
        """Change ``parameter`` in place.

        Args:
            parameter: Parameter to update.
            gradient: Its gradient, of the same shape.
            state: What was kept of it, which a checkpoint has; empty in its first step.
            group: Settings of its group: ``lr``, ``weight_decay`` and the optimizer's own.
        """


def check_betas(betas: Sequence[float], *, count: int) -> None:
    """Refuse another number of decays than an optimizer has means.

    Raises:
        ConfigError: There aren't ``count`` of them.
    """
    if len(betas) != count:
        words = {2: "two", 3: "three"}[count]
        raise ConfigError(f"is {list(betas)}; expected {words} numbers", parameter="betas")


def is_adapted(parameter: Tensor) -> bool:
    """Whether layer-wise rates are for ``parameter``: not for biases and norms.

    The authors of LARS and of LAMB leave these out in their codes.
    """
    return parameter.ndim > 1
