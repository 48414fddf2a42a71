"""The forward pass of training, as the ``network`` stages of regularizers wrap it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from cifarzoo.components.protocols import Draws
from cifarzoo.components.regularizers import Forward, Passed, Regularizer, acting_stages


@dataclass(frozen=True)
class Plain:
    """The innermost pass: the network alone (``cifarzoo.protocols.Forward``).

    Attributes:
        model: The network, without wrappers.
        parallel: The network as it is called.
    """

    model: nn.Module
    parallel: nn.Module

    def __call__(self, images: Tensor, targets: Tensor) -> Passed:
        """See ``cifarzoo.protocols.Forward``."""
        logits: Tensor = self.parallel(images)
        return logits, targets, logits.new_zeros(())


@dataclass(frozen=True)
class Wrapped:
    """A pass under the ``network`` stage of a regularizer (``cifarzoo.protocols.Forward``).

    Attributes:
        inner: The pass that the stage is given.
        regularizer: The regularizer whose stage it is.
        draws: Random numbers for the images of the pass.
    """

    inner: Forward
    regularizer: Regularizer
    draws: Draws

    @property
    def model(self) -> nn.Module:
        """The network, without wrappers."""
        return self.inner.model

    def __call__(self, images: Tensor, targets: Tensor) -> Passed:
        """See ``cifarzoo.protocols.Forward``."""
        return self.regularizer.network(self.inner, images, targets, self.draws)


def network_stages(regularizers: Mapping[str, Regularizer]) -> dict[str, Regularizer]:
    """Those of the regularizers that act in the ``network`` stage, by name."""
    return {name: r for name, r in regularizers.items() if "network" in acting_stages(r)}


def wrap_forward(
    innermost: Forward, stages: Mapping[str, Regularizer], draws_of: Callable[[str], Draws]
) -> Forward:
    """The pass under all of the stages, the first of the list innermost.

    Args:
        innermost: Pass without any of the stages.
        stages: Regularizers with a ``network`` stage, by name.
        draws_of: Gives the random numbers of each for the images of the pass.
    """
    forward = innermost
    for name, regularizer in stages.items():
        forward = Wrapped(forward, regularizer, draws_of(name))
    return forward
