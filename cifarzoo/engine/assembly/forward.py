"""The forward pass of training, as the ``network`` stages of regularizers wrap it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor, nn

from cifarzoo.components.protocols import Draws, Timestamp
from cifarzoo.components.regularizers import Passed, Regularizer, acting_in
from cifarzoo.engine.assembly.companions import companions_of

KNOWN_CODE = ("cifarzoo", "torch")  # packages


@dataclass(frozen=True)
class Plain:
    """The innermost pass: the network alone.

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
    """A pass under the ``network`` stage of a regularizer.

    Attributes:
        plain: The innermost pass.
        inner: The pass that the stage is given.
        name: Name of the regularizer.
        regularizer: The regularizer whose stage it is.
        draws: Random numbers for the images of the pass.
    """

    plain: Plain
    inner: Pass
    name: str
    regularizer: Regularizer
    draws: Draws

    def __call__(self, images: Tensor, targets: Tensor) -> Passed:
        """See ``cifarzoo.protocols.Forward``."""
        given = Given(self.plain, self.inner, companions_of(self.plain.model, self.name))
        return self.regularizer.network(given, images, targets, self.draws)


Pass: TypeAlias = Plain | Wrapped


@dataclass(frozen=True)
class Given:
    """A pass as a regularizer is given it (``cifarzoo.protocols.Forward``).

    Attributes:
        plain: The innermost pass.
        inner: The pass.
        companions: Modules that the regularizer trains beside the network; None: it has none.
    """

    plain: Plain
    inner: Pass
    companions: nn.Module | None

    @property
    def model(self) -> nn.Module:
        """The network, without wrappers."""
        return self.plain.model

    @property
    def moment(self) -> Timestamp:
        """The point of training that the pass belongs to."""
        return self.plain.moment

    @property
    def num_views(self) -> int:
        """Views of each image, whose rows follow each other."""
        return self.plain.num_views

    def __call__(self, images: Tensor, targets: Tensor) -> Passed:
        """See ``cifarzoo.protocols.Forward``."""
        return self.inner(images, targets)


def network_stages(regularizers: Mapping[str, Regularizer]) -> dict[str, Regularizer]:
    """Those of the regularizers that act in the ``network`` stage, by name."""
    return acting_in("network", regularizers)


def wrap_forward(
    innermost: Plain, stages: Mapping[str, Regularizer], draws_of: Callable[[str], Draws]
) -> Pass:
    """The pass under all of the stages, the first of the list innermost.

    Args:
        innermost: Pass without any of the stages.
        stages: Regularizers with a ``network`` stage, by name.
        draws_of: Gives the random numbers of each for the images of the pass.
    """
    forward: Pass = innermost
    for name, regularizer in stages.items():
        forward = Wrapped(innermost, forward, name, regularizer, draws_of(name))
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
