"""What an architecture, regularizer, augmentation, schedule, optimizer and dataset is.

The contracts between the engine and components, ours and third parties'. torch is
imported for type checking only, so that a plugin's metadata can be used without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

Per: TypeAlias = Literal["sample", "batch"]
PadMode: TypeAlias = Literal["reflect", "zero"]
Loss: TypeAlias = "Callable[[Tensor, Tensor], Tensor]"  # (logits (N, K), targets (N, K)) -> ()


@dataclass(frozen=True)
class Timestamp:
    """A point of training, as schedules see it.

    Attributes:
        step: Optimizer updates done so far, from 0.
        steps_per_epoch: Updates in an epoch.
        total_steps: Updates in the whole run.
    """

    step: int
    steps_per_epoch: int
    total_steps: int

    @property
    def epoch(self) -> float:
        """Epochs done so far, in fractions."""
        return self.step / self.steps_per_epoch

    @property
    def progress(self) -> float:
        """Share of the run done so far, from 0 to below 1."""
        return self.step / self.total_steps

    @property
    def total_epochs(self) -> float:
        """Epochs in the whole run."""
        return self.total_steps / self.steps_per_epoch


Moment = Timestamp  # its name until 0.1; plugins may have it
Schedule: TypeAlias = Callable[[Timestamp], float]


class Draws(Protocol):
    """Random numbers for one batch, owned by no component.

    Every call returns one number a sample of the batch it is asked for; the numbers are
    drawn for the whole global batch and sliced, so they do not depend on the number of
    ranks. ``per="batch"`` draws one number and gives it to every sample.
    All tensors are (n,), on the images' device.
    """

    def uniform(self, low: float, high: float, *, per: Per = "sample") -> Tensor:
        """Float32 from [low, high)."""

    def bernoulli(self, p: float, *, per: Per = "sample") -> Tensor:
        """Bool, True with probability ``p``."""

    def integers(self, n: int, *, per: Per = "sample") -> Tensor:
        """Int64 from 0 to n - 1."""

    def beta(self, a: float, b: float, *, per: Per = "sample") -> Tensor:
        """Float32 from the Beta(a, b) distribution."""

    def permutation(self) -> Tensor:
        """Int64: a permutation of the batch; only in the ``batch`` stage, which sees it whole."""

    @property
    def epoch(self) -> int:
        """The epoch of the batch, from 0."""

    def of_images(self) -> Draws:
        """Draws that belong to the images of the dataset: the same in every epoch."""


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
        draws: Set by the residual port; what ``Regularizer.branch`` asks for random numbers.
    """

    index: int
    total: int
    final_norm: bool = field(default=False, kw_only=True)
    draws: BranchDraws = field(default=None, kw_only=True, compare=False)  # type: ignore[assignment]  # the port sets it


class Regularizer:
    """Acts on any of five stages; each does nothing unless a subclass says otherwise.

    Attributes:
        num_paths: Parallel residual paths that the ``branch`` stage merges; 1: it merges none.
        needs_final_norm: Whether the ``branch`` stage needs paths that end in a normalisation.
    """

    num_paths: int = 1
    needs_final_norm: bool = False

    def branch(self, site: Site) -> nn.Module | None:
        """A module on a block's residual, before the shortcut is added; None: nothing here.

        Its ``forward`` takes the residual, or the list of paths where ``num_paths`` > 1.
        """
        return None

    def batch(self, images: Tensor, targets: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Change a whole batch: images (N, 3, H, W) float, targets (N, K) probabilities."""
        return images, targets

    def loss(self, loss: Loss) -> Loss:
        """Wrap the loss of logits (N, K) and class probabilities (N, K)."""
        return loss

    def optimizer(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Wrap the optimizer; what is returned has ``state_dict`` and ``load_state_dict``."""
        return optimizer

    def average(self, model: nn.Module) -> Average | None:
        """The averaged weights to evaluate instead of the model's."""
        return None


STAGES = ("branch", "batch", "loss", "optimizer", "average")


def acting_stages(regularizer: Regularizer) -> list[str]:
    """Those of the five stages in which ``regularizer`` does something."""
    kind = type(regularizer)
    return [name for name in STAGES if getattr(kind, name) is not getattr(Regularizer, name)]


@runtime_checkable
class Average(Protocol):
    """Averaged weights, such as ``torch.optim.swa_utils.AveragedModel``."""

    module: nn.Module

    def update_parameters(self, model: nn.Module) -> None:
        """Take in the model's weights after an optimizer step."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Go on from ``state_dict``."""


@runtime_checkable
class DataInitialised(Protocol):
    """A module of a network that takes its first weights from training images."""

    def initialise_from(self, images: Tensor) -> None:
        """Called once, on every rank with the same images: normalised (n, 3, H, W), n <= 5000.

        A run that is resumed calls it too, before it loads its weights.
        """


@runtime_checkable
class Timed(Protocol):
    """What changes with the progress of training: a module, an optimizer or an average.

    A module may train some of its parameters for a part of the run only, by their
    ``requires_grad``; the optimizer has those that are trained at first.
    """

    def begin_step(self, moment: Timestamp) -> None:
        """Called before each optimizer step, in training only."""


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


class Augmentation(Protocol):
    """Changes a batch of images (N, 3, H, W): uint8 before ``normalize``, float after it.

    Attributes:
        at_evaluation: Whether it is applied to test images too, as ``normalize`` is. May be
            left out (False), so that a plain function will do.
        views: From prepared test images to weights, which sum to 1, and views of them; at the
            end of a run the logits of all views are averaged for a second test. May be left out.
    """

    def __call__(self, images: Tensor, draws: Draws, /) -> Tensor:
        """The changed batch, on the same device."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What lies around stored images, so that every window of an augmentation is in them.

    Attributes:
        padding: Pixels added to each side.
        mode: What they are: ``reflect`` (the edge isn't repeated) or ``zero``.
        is_mirrored: Whether images are needed mirrored left to right too.
    """

    padding: int = 0
    mode: PadMode = "reflect"
    is_mirrored: bool = False


@dataclass(frozen=True)
class Window:
    """What a batch takes of its padded images: a cutting of the images' own size, then mirrored.

    Attributes:
        top: First row of each cutting in the padded image, int64 (n,), 0 to 2 * padding.
        left: First column of each, likewise.
        is_mirrored: Which cuttings are mirrored left to right, bool (n,).
    """

    top: Tensor
    left: Tensor
    is_mirrored: Tensor


@runtime_checkable
class Windowed(Protocol):
    """An augmentation that only shifts and mirrors, and says which window of the image it takes.

    Where such augmentations begin a run's list, the engine asks for their windows instead of
    calling them, and gathers the composed window from images padded beforehand. A call with
    the same draws must give the same pixels.
    """

    @property
    def frame(self) -> Frame:
        """What its windows need around the images."""

    def window(self, draws: Draws) -> Window:
        """The window of each sample, one for all that a call would do."""

    def __call__(self, images: Tensor, draws: Draws, /) -> Tensor:
        """As in ``Augmentation``."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Half of a dataset.

    Attributes:
        images: uint8 (N, 3, H, W).
        labels: int64 (N,), from 0 to K - 1.
    """

    images: np.ndarray[Any, np.dtype[np.uint8]]
    labels: np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset that has not been read yet.

    Attributes:
        title: What tables call it, such as ``CIFAR-10 (JPEG)``.
        classes: Names of the K classes.
        mean: Per channel, of pixels scaled to [0, 1].
        std: Per channel, of pixels scaled to [0, 1].
        num_train: Training images, or None where reading tells.
        num_test: Test images, or None where reading tells.
        load: Reads the training and the test split.
    """

    title: str
    classes: Sequence[str]
    mean: Sequence[float]
    std: Sequence[float]
    num_train: int | None = None
    num_test: int | None = None
    load: Callable[[], tuple[Split, Split]]


ArchitectureFactory: TypeAlias = "Callable[..., nn.Module]"
RegularizerFactory: TypeAlias = Callable[..., Regularizer]
AugmentationFactory: TypeAlias = Callable[..., Augmentation]
ScheduleFactory: TypeAlias = Callable[..., Schedule]
OptimizerFactory: TypeAlias = "Callable[..., torch.optim.Optimizer]"
DatasetFactory: TypeAlias = Callable[..., Dataset]
