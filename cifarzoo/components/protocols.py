"""What schedules, augmentations, losses and datasets are, and the factories of every kind.

The contracts between the engine and components, ours and third parties'. Regularizers are in
``regularizers``, what a component may offer beside its contract in ``hooks``. torch is
imported for type checking only, so that a plugin's metadata can be used without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

Per: TypeAlias = Literal["sample", "batch"]
IMAGE_SHAPE = (3, 32, 32)  # (C, H, W) of CIFAR, and of whatever says nothing else


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

    @property
    def on_cpu(self) -> Draws:
        """These draws, given on the CPU: what decides on shapes would have to wait for a GPU."""


class Augmentation(Protocol):
    """Changes a batch of images (N, C, H, W): uint8 before ``normalize``, float after it.

    A plain function will do. What it may offer besides, ``at_evaluation``, ``views``, ``num_views``
    and windows, is in ``SupportsEvaluation``, ``SupportsViews``, ``SupportsTrainingViews`` and
    ``Windowed``.
    """

    def __call__(self, images: Tensor, draws: Draws, /) -> Tensor:
        """The changed batch, on the same device."""


class Loss(Protocol):
    """What training minimises; a plain function will do.

    Images that count differently have their weights in ``SupportsWeights``.
    """

    def __call__(self, logits: Tensor, targets: Tensor, /) -> Tensor:
        """The loss of logits (N, K) and class probabilities (N, K): one number an image (N,).

        Or one number for them all (), their mean. The engine calls it once a forward pass, and
        takes the mean over the images of the global batch.
        """


@dataclass(frozen=True, kw_only=True)
class Split:
    """Half of a dataset.

    Attributes:
        images: uint8 (N, C, H, W).
        labels: Integers (N,), from 0 to K - 1; the engine makes them int64.
    """

    images: np.ndarray[Any, np.dtype[np.uint8]]
    labels: np.ndarray[Any, np.dtype[np.integer[Any]]]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset that has not been read yet.

    Attributes:
        title: Name in tables, such as ``CIFAR-10 (JPEG)``.
        classes: Names of the K classes.
        mean: Mean of each channel, of pixels scaled to [0, 1].
        std: Standard deviation of each channel, likewise.
        image_shape: Channels, height and width of an image (C, H, W).
        num_train: Number of training images; None: reading them tells.
        num_test: Number of test images; None: reading them tells.
        load: Function that reads the training and the test split.
        title_of: Function from what ``load`` gave to the title, where only reading tells all of
            it; None: ``title`` says it.
    """

    title: str
    classes: Sequence[str]
    mean: Sequence[float]
    std: Sequence[float]
    image_shape: tuple[int, int, int] = IMAGE_SHAPE
    num_train: int | None = None
    num_test: int | None = None
    load: Callable[[], tuple[Split, Split]]
    title_of: Callable[[Split, Split], str] | None = None


@runtime_checkable
class Layers(Protocol):
    """What a network makes its convolutions, norms and classifier with: a code's conventions."""

    def conv(
        self,
        in_channels: int,
        channels: int,
        kernel_size: int,
        stride: int = 1,
        *,
        groups: int = 1,
    ) -> nn.Module:
        """A convolution of an odd size that keeps the images' size, up to its stride.

        Networks without grouped convolutions give no ``groups``.
        """

    def norm(self, channels: int) -> nn.Module:
        """A normalisation of features (N, channels, H, W)."""

    def dense(self, features: int, num_classes: int) -> nn.Module:
        """A classifier: features (N, features) to logits (N, num_classes)."""


ArchitectureFactory: TypeAlias = "Callable[..., nn.Module]"
AugmentationFactory: TypeAlias = Callable[..., Augmentation]
LossFactory: TypeAlias = Callable[..., Loss]
ScheduleFactory: TypeAlias = Callable[..., Schedule]
OptimizerFactory: TypeAlias = "Callable[..., torch.optim.Optimizer]"
DatasetFactory: TypeAlias = Callable[..., Dataset]
LayersFactory: TypeAlias = Callable[..., Layers] | Layers  # in Python also what one makes
