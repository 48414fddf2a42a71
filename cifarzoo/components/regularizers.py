"""What a regularizer is: its stages, and what each is given.

torch is imported for type checking only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from cifarzoo.components.protocols import Draws, Loss, Per, Timestamp

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class BranchDraw(Protocol):
    """A random number a sample that a branch module asked for at build time."""

    def __call__(self, x: Tensor) -> Tensor:
        """The current step's values as (n, 1, 1, 1), in x's dtype, on x's device."""


class BranchDraws(Protocol):
    """How a branch module declares, at build time, the random numbers it needs each step.

    What is returned is an ``nn.Module`` without parameters or buffers: assign it to an
    attribute of the branch module.
    """

    def uniform(self, low: float, high: float, *, per: Per = "sample") -> BranchDraw:
        """Numbers from [low, high)."""

    def bernoulli(self, p: float, *, per: Per = "sample") -> BranchDraw:
        """1 with probability ``p``, else 0."""


@dataclass(frozen=True)
class Site:
    """Where in a network a residual branch sits.

    Attributes:
        index: Number of the block, from 1.
        total: Number of residual blocks in the network.
        final_norm: Whether a path ends in a normalisation.
        channels: Channels of the residual; None: the network doesn't say.
        draws: Branch draws, set by the residual port; what ``Regularizer.branch`` asks for random
            numbers.
    """

    index: int
    total: int
    final_norm: bool = field(default=False, kw_only=True)
    channels: int | None = field(default=None, kw_only=True)
    draws: BranchDraws = field(default=None, kw_only=True, compare=False)  # type: ignore[assignment]  # the port sets it


class Residual(Protocol):
    """The residual port that an architecture is given.

    A block writes ``shortcut(x) + self.residual(x)`` with
    ``self.residual = residual(make_path, Site(index, total))``.
    """

    @property
    def num_paths(self) -> int:
        """Parallel paths that the run's regularizers merge; 1 without a merging one."""

    def __call__(self, make_path: Callable[[], nn.Module], site: Site) -> nn.Module:
        """Build the residual of a block from as many paths as the regularizers need."""


# What a forward pass of training gives: logits (m, K), the targets (m, K) that the loss compares
# them with, and a penalty () that is added to the loss.
Passed: TypeAlias = "tuple[Tensor, Tensor, Tensor]"


class Forward(Protocol):
    """A forward pass of training that a ``network`` stage is given to call.

    Attributes:
        model: The network that is trained, for hooks on its modules and for its parameters.
        moment: The point of training that the pass belongs to.
        num_views: Views V of each image: row ``V * i + v`` of a pass is view v of its image i.
        companions: Modules that the regularizer trains beside the network (``SupportsCompanions``);
            None: it has none.
    """

    @property
    def model(self) -> nn.Module:
        """See the class."""

    @property
    def moment(self) -> Timestamp:
        """See the class."""

    @property
    def num_views(self) -> int:
        """See the class."""

    @property
    def companions(self) -> nn.Module | None:
        """See the class."""

    def __call__(self, images: Tensor, targets: Tensor) -> Passed:
        """Pass all of the images through the network, in their order.

        Args:
            images: Batch (m, C, H, W), which may be changed.
            targets: Class probabilities (m, K).

        Returns:
            Logits, the targets that belong to them, and the penalty so far, which is 0 at first.
        """


class Regularizer:
    """Acts on any of seven stages; each does nothing unless a subclass says otherwise.

    Attributes:
        num_paths: Parallel residual paths that the ``branch`` stage merges; 1: it merges none.
        needs_final_norm: Whether the ``branch`` stage needs paths that end in a normalisation.
        num_views: Views of each image that the ``batch`` stage gives.
    """

    num_paths: int = 1
    needs_final_norm: bool = False
    num_views: int = 1

    def branch(self, site: Site) -> nn.Module | None:
        """A module on a block's residual, before the shortcut is added; None: nothing here.

        Its ``forward`` takes the residual, or the list of paths where ``num_paths`` > 1.
        """
        return None

    def selection(self, losses: Tensor, draws: Draws, moment: Timestamp) -> Tensor | None:
        """Which images of a batch are trained on; None: all.

        Called in every step, before the batch is made. Batches, epochs and schedules are as ever;
        images that aren't selected cost nothing. One regularizer of a run may have this stage.

        Args:
            losses: Cross-entropy of each image of the batch when it was last trained on (N,), in
                float32 on the CPU; infinite for an image that never was.
            draws: Random numbers for the batch, on the CPU.
            moment: The point of training.

        Returns:
            Their places in the batch (n,), different ones; ranks, forward passes and BatchNorm's
            groups have equal shares of them.
        """
        return None

    def batch(self, images: Tensor, targets: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Change a whole batch: images (N, C, H, W) float, targets (N, K) probabilities.

        With ``num_views`` V above 1 it gives V * N images and targets: the first view of each
        image in the batch's order, then the second of each, as ``torch.cat`` of the views.
        """
        return images, targets

    def network(self, forward: Forward, images: Tensor, targets: Tensor, draws: Draws) -> Passed:
        """Called in the place of ``forward`` in every forward pass of training.

        It may change images and targets, see and change what modules of ``forward.model`` compute
        (by hooks that it removes again), call ``forward`` several times, and add to the penalty
        what should be minimised beside the loss. It is not called on test images.

        A pass has the images of one micro-batch of one rank, in the batch's order; views of an
        image follow each other. Losses, penalties and gradients are averaged over passes and
        ranks. What is random comes from ``draws``, the same numbers a sample for any number of
        ranks; whatever else depends on which images share a pass depends on that number.
        Nothing can be kept from one step to the next, since no checkpoint has it.

        Args:
            forward: The pass, as the regularizers before this one in the list wrap it.
            images: Batch (m, C, H, W), in the type of the weights; under the run's autocast.
            targets: Class probabilities (m, K).
            draws: Random numbers for these images; again the same where a step passes twice.
        """
        return forward(images, targets)

    def loss(self, loss: Loss) -> Loss:
        """Wrap the loss of logits (N, K) and class probabilities (N, K); see ``Loss``.

        What the loss gives may be one number or one an image, as the run's loss has it.
        """
        return loss

    def optimizer(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Wrap the optimizer; what is returned has ``state_dict`` and ``load_state_dict``."""
        return optimizer

    def average(self, model: nn.Module) -> Average | None:
        """The averaged weights to evaluate instead of the model's."""
        return None


STAGES = ("branch", "selection", "batch", "network", "loss", "optimizer", "average")


def acting_stages(regularizer: Regularizer) -> list[str]:
    """Those of the seven stages in which ``regularizer`` does something."""
    kind = type(regularizer)
    return [name for name in STAGES if getattr(kind, name) is not getattr(Regularizer, name)]


def acting_in(stage: str, regularizers: Mapping[str, Regularizer]) -> dict[str, Regularizer]:
    """Those of ``regularizers`` that do something in ``stage``, by name."""
    return {name: each for name, each in regularizers.items() if stage in acting_stages(each)}


@runtime_checkable
class Average(Protocol):
    """Averaged weights, such as ``torch.optim.swa_utils.AveragedModel``.

    Whether BatchNorm's running statistics are computed for them before a test, it may say by
    ``SupportsStatistics``.

    Attributes:
        module: Network with the averaged weights.
    """

    module: nn.Module

    def update_parameters(self, model: nn.Module) -> None:
        """Take in the model's weights after an optimizer step."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Go on from ``state_dict``."""


RegularizerFactory: TypeAlias = Callable[..., Regularizer]
