"""The forward pass of training, as the ``network`` stages of regularizers wrap it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from cifarzoo.components.protocols import Draws, Timestamp
from cifarzoo.components.regularizers import Forward, Passed, Regularizer, acting_in

KNOWN_CODE = ("cifarzoo", "torch")  # packages


@dataclass(frozen=True)
class Plain:
    """The innermost pass: the network alone (``cifarzoo.protocols.Forward``).

    Attributes:
        model: The network, without wrappers.
        parallel: The network as it is called.
        moment: The point of training that the pass belongs to.
        num_views: Views of each image, whose rows follow each other.
    """

    model: nn.Module
    parallel: nn.Module
    moment: Timestamp
    num_views: int = 1

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

    @property
    def moment(self) -> Timestamp:
        """The point of training that the pass belongs to."""
        return self.inner.moment

    @property
    def num_views(self) -> int:
        """Views of each image, whose rows follow each other."""
        return self.inner.num_views

    def __call__(self, images: Tensor, targets: Tensor) -> Passed:
        """See ``cifarzoo.protocols.Forward``."""
        return self.regularizer.network(self.inner, images, targets, self.draws)


def network_stages(regularizers: Mapping[str, Regularizer]) -> dict[str, Regularizer]:
    """Those of the regularizers that act in the ``network`` stage, by name."""
    return acting_in("network", regularizers)


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


def uses_all_parameters(model: nn.Module, regularizers: Mapping[str, Regularizer]) -> bool:
    """Whether every forward pass is known to use every parameter that is trained.

    It is where all of the code is known: torch's layers in cifarzoo's networks, and no stage of
    somebody else around them. A stranger's network may have a head that it doesn't use, or skip
    blocks as it likes, from any step on.

    Args:
        model: The network.
        regularizers: Those of the run, by name.
    """
    parts = [*model.modules(), *network_stages(regularizers).values()]
    return all(type(part).__module__.partition(".")[0] in KNOWN_CODE for part in parts)
