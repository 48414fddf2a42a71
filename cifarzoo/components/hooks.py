"""What a component may offer beside the contract of its kind, and the engine then uses.

Each hook is a protocol that ``isinstance`` can check: a component has it by defining the
method or the attribute, and derives from nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

from cifarzoo.components.protocols import Draws, Timestamp

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

PadMode: TypeAlias = Literal["reflect", "zero"]


@runtime_checkable
class DataInitialised(Protocol):
    """A module of a network that takes its first weights from training images."""

    def initialise_from(self, images: Tensor) -> None:
        """Called once, on every rank with the same images: normalised (n, C, H, W), n <= 5000.

        A run that is resumed calls it too, before it loads its weights; a test of the weights
        alone does not.
        """


@runtime_checkable
class ExemptsFromDecay(Protocol):
    """A module that names parameters which ``run.weight_decay_policy = 'no_norm_bias'`` spares.

    timm's networks have it, for position embeddings and class tokens.
    """

    def no_weight_decay(self) -> Collection[str]:
        """Names of parameters, as the module's own ``named_parameters`` has them.

        Names that it doesn't have are passed over.
        """


@runtime_checkable
class Timed(Protocol):
    """What changes with the progress of training: a module, an optimizer or an average.

    A module may train some of its parameters for a part of the run only, by their
    ``requires_grad``, which follows from the timestamp alone: the optimizer has what is trained in
    some step, whether the constructor freezes it or ``begin_step`` does.
    """

    def begin_step(self, moment: Timestamp) -> None:
        """Called before each optimizer step, in training only."""


@runtime_checkable
class SupportsCompanions(Protocol):
    """A regularizer that trains modules of its own beside the network, such as more classifiers.

    They are trained, decayed, averaged and saved as the network's other modules are. Its forward
    pass doesn't call them: the regularizer's ``network`` stage does, which has them as
    ``forward.companions``. So tests know nothing of them.
    """

    def companions(
        self, network: nn.Module, num_classes: int, image_shape: tuple[int, int, int]
    ) -> nn.Module:
        """The modules, as one. Called once, when the network is built, under a seed of its own.

        Args:
            network: Network that they stand beside, on any device, also without weights.
            num_classes: K.
            image_shape: Shape of an image (C, H, W).
        """


@runtime_checkable
class SupportsComputeDtype(Protocol):
    """An optimizer that may multiply matrices in the type that the run's passes do.

    Attributes:
        compute_dtype: Type of the products, which the engine sets before the first step: bfloat16
            where passes are in it, else the type of the weights.
    """

    compute_dtype: torch.dtype | None


@runtime_checkable
class SupportsStateShapes(Protocol):
    """An optimizer that keeps tensors of other shapes than its parameters'."""

    def state_shapes(self, parameter: Tensor) -> Mapping[str, tuple[int, ...]]:
        """Shape by name of what it may keep of ``parameter``; the rest has the parameter's.

        A checkpoint with other shapes is refused before it is loaded.
        """


@runtime_checkable
class SupportsStatistics(Protocol):
    """An average that says whether its network needs running statistics of its own.

    Attributes:
        recompute_statistics: Whether BatchNorm's running statistics are computed anew, from
            training images, before the averaged weights are tested. Without it they are, unless
            the average has a true ``use_buffers``, as torch's ``AveragedModel`` may have.
    """

    recompute_statistics: bool


def recomputes_statistics(average: Any) -> bool:
    """Whether the running statistics of an average are computed anew for tests."""
    if isinstance(average, SupportsStatistics):
        return bool(average.recompute_statistics)
    return not getattr(average, "use_buffers", False)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What lies around stored images, so that every window of an augmentation is in them.

    Attributes:
        padding: Pixels added to each side.
        mode: Values of those pixels: ``reflect`` (the edge isn't repeated) or ``zero``.
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
        left: First column of each cutting, likewise.
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


@runtime_checkable
class SupportsWarnings(Protocol):
    """A schedule that says what a run is too short for."""

    def warnings(self, total_epochs: float) -> list[str]:
        """What may not be meant in a run of ``total_epochs``, a line each."""


def warnings_of(schedule: Any, total_epochs: float) -> list[str]:
    """The warnings of ``schedule`` for a run of ``total_epochs``; none where it has no say."""
    return schedule.warnings(total_epochs) if isinstance(schedule, SupportsWarnings) else []


@runtime_checkable
class SupportsEvaluation(Protocol):
    """An augmentation that may be applied to test images too.

    Attributes:
        at_evaluation: Whether it is used at evaluation, as ``normalize`` is. It then draws nothing.
    """

    at_evaluation: bool


def acts_at_evaluation(augmentation: Any) -> bool:
    """Whether ``augmentation`` is applied to test images too; one that doesn't say is not."""
    return isinstance(augmentation, SupportsEvaluation) and bool(augmentation.at_evaluation)


@runtime_checkable
class SupportsOnce(Protocol):
    """A component that may stand in a list of a run once only, since twice is not what once is.

    Where its class says so in its body, ``check`` knows it without running it.

    Attributes:
        at_most_once: Whether a list that has it twice is refused.
    """

    at_most_once: bool


def is_at_most_once(component: Any) -> bool:
    """Whether a list that has ``component`` twice is refused; one that doesn't say may be there."""
    return isinstance(component, SupportsOnce) and bool(component.at_most_once)


@runtime_checkable
class SupportsTrainingViews(Protocol):
    """An augmentation that gives several views of each training image.

    What comes behind it is given all of these rows, whose targets are the image's. It is neither
    applied to test images nor a window.

    Attributes:
        num_views: Views V of each image; a call gives V * N images for N, the first view of each
            in the batch's order, then the second of each, as ``torch.cat`` of the views.
    """

    num_views: int


def num_training_views(augmentation: Any) -> int:
    """Views of each image that ``augmentation`` gives; one that doesn't say gives one."""
    return augmentation.num_views if isinstance(augmentation, SupportsTrainingViews) else 1


@runtime_checkable
class SupportsViews(Protocol):
    """An augmentation that offers several views of test images.

    At the end of a run the logits of all views are averaged for a second test. An augmentation
    may have an attribute ``views_below`` besides: then images whose most probable class leads the
    next by that probability or more are seen as they are, once, and the others in all views.
    """

    def views(self, images: Tensor) -> Sequence[tuple[float, Tensor]]:
        """Weights, which sum to 1, and views of prepared images (N, C, H, W), of their shape."""


@runtime_checkable
class SupportsLayerOrder(Protocol):
    """A network that says in which order its layers are, for ``run.layer_decay``.

    Without it they are the elements of its list ``blocks``, ``groups``, ``stages`` or the like.
    """

    def layers_in_order(self) -> Sequence[nn.Module]:
        """The layers between the stem and the classifier, from the first to the last."""


@runtime_checkable
class SupportsTeacher(Protocol):
    """A regularizer that learns from the network of a finished run.

    Attributes:
        teacher: Path of that run's folder, which is the value of the factory's parameter
            ``teacher``.
    """

    teacher: str

    def take_teacher(self, network: nn.Module) -> None:
        """Called before the first pass, on every rank: the network that was tested last.

        It is frozen and in evaluation mode, on the device and in the type of training, and takes
        the images that training prepares; it is in no checkpoint. A run that goes on is refused
        another one. What is only tested has none.
        """


@runtime_checkable
class SupportsWeights(Protocol):
    """A loss whose images count differently.

    The engine minimises ``sum(w * l) / sum(w)`` over the global batch, whatever the numbers of
    ranks and of micro-batches, where l is what the loss gives an image (N,).
    """

    def weights(self, targets: Tensor) -> Tensor:
        """The weight of each image (N,), at least 0, for class probabilities (N, K).

        Asked once a step, for the targets that the ``batch`` stages gave. Some weight of a
        batch must be above 0.
        """
