"""Run: everything that decides the numbers of one training, frozen.

It is what a config becomes (gin root ``run``): factories instead of names, plain values
for the rest. Where data lie and where results go is no part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Annotated, Literal, get_args, get_type_hints

from annotated_types import Gt, Le

from cifarzoo.components.protocols import (
    ArchitectureFactory,
    AugmentationFactory,
    DatasetFactory,
    LossFactory,
    OptimizerFactory,
    ScheduleFactory,
)
from cifarzoo.components.ranges import (
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Range,
    range_of,
)
from cifarzoo.components.registry import register
from cifarzoo.components.regularizers import RegularizerFactory
from cifarzoo.errors import ConfigError

WeightDecayPolicy = Literal["all", "kernels", "flax2020", "no_norm_bias"]
Precision = Literal["auto", "float64", "float32", "tf32", "bfloat16", "float16"]

KernelChoice = Literal["auto", "torch", "fused"]


@register.root
@dataclass(frozen=True, kw_only=True)
class Run:
    """One training: what is trained, how, and for how long.

    Attributes:
        architecture: Factory of the network.
        dataset: Factory of the dataset that it learns.
        optimizer: Factory of the optimizer, of the engine's two groups of parameters.
        schedule: Factor on the base learning rate.
        augmentations: Augmentations of each training batch, in this order.
        regularizers: Regularizers in one flat list; each acts in the stages that it defines.
        loss: Loss that is minimised; None: the cross-entropy. Test losses are cross-entropies
            anyway.
        initial_weights: Path of a file of weights, or of a run's folder, that training starts
            from; they are recorded by digest, and not needed once there is a checkpoint. None:
            as the network is built.
        weight_decay_policy: Name of the rule that says which parameters are decayed.
        norm_bias_lr_scale: Factor on the learning rate of the shifts of normalisations; what a
            step decays of them does not change.
        layer_decay: Factor on the learning rate from each layer of the network to the one before
            it; the classifier has the whole rate. 1: all layers learn alike.
        epochs: Passes over the training images.
        batch_size: Images an optimizer step, over all ranks.
        micro_batch_size: Images a forward pass on one rank; None: its whole share.
        bn_group_size: Images that share BatchNorm statistics; None: the whole batch.
        clip_norm: Largest norm of the whole gradient, without the optimizer's weight decay; None:
            not clipped.
        seed: Seed of every random number.
        precision: Precision of the arithmetic; ``auto``: what the device is best at. ``float64`` is
            slow, and shows whether two ways of computing the same differ by more than rounding.
        channels_last: Whether networks and images lie in memory as (N, H, W, C), which is faster;
            a network that needs (N, C, H, W), as ``view`` may, asks for False.
        compile: Whether ``torch.compile`` is used.
        kernels: Whose kernels layers use: ``fused``: ours, which do a norm, its activation and its
            dropout in one; ``torch``: torch's; ``auto``: ours on a CPU, where they can be had and a
            layer is large enough to gain by them.
        cuda_graph: Whether a GPU is given a step as one CUDA graph, captured once, instead of
            kernel by kernel: for networks whose kernels are quicker than the host. A step that
            can't be captured is not, and a line says why.
        deterministic: Whether only deterministic kernels are used; None: on a CPU.
        train_images: Number of images of the training set to use; None: all. Which ones is
            random, and the same for every seed.
        validation_images: Number of these that are kept for validation, the same for every seed.
        eval_images: Number of images of the test set to use, likewise; None: all. 9984 are as
            many as Flax's examples/cifar10 tested; which 16 it left out can't be known.
        max_steps: Number of optimizer steps to stop after; None: when the epochs are done. The
            schedule is that of a run of so many steps, whole.
        checkpoint_steps: Number of steps between checkpoints; None: by time only.
        checkpoint_seconds: Time between checkpoints in seconds.
        keep_checkpoints: Number of the newest checkpoints that are kept.
    """

    architecture: ArchitectureFactory
    dataset: DatasetFactory
    optimizer: OptimizerFactory
    schedule: ScheduleFactory
    augmentations: Sequence[AugmentationFactory] = ()
    regularizers: Sequence[RegularizerFactory] = ()
    loss: LossFactory | None = None
    initial_weights: str | None = None
    weight_decay_policy: WeightDecayPolicy = "all"
    norm_bias_lr_scale: PositiveFloat = 1.0
    layer_decay: Annotated[float, Gt(0), Le(1)] = 1.0
    epochs: PositiveInt = 200
    batch_size: PositiveInt = 128
    micro_batch_size: PositiveInt | None = None
    bn_group_size: PositiveInt | None = None
    clip_norm: PositiveFloat | None = None
    seed: NonNegativeInt = 0
    precision: Precision = "auto"
    channels_last: bool = True
    compile: bool = False
    kernels: KernelChoice = "auto"
    cuda_graph: bool = False
    deterministic: bool | None = None
    train_images: PositiveInt | None = None
    validation_images: NonNegativeInt = 0
    eval_images: PositiveInt | None = None
    max_steps: PositiveInt | None = None
    checkpoint_steps: PositiveInt | None = None
    checkpoint_seconds: PositiveFloat = 600.0
    keep_checkpoints: PositiveInt = 2

    def __post_init__(self) -> None:
        for name, limits in _ranges().items():
            value = getattr(self, name)
            if value is not None and value not in limits:
                raise ConfigError(f"is {value!r}; expected {limits.expected}", parameter=name)


@cache
def _ranges() -> dict[str, Range]:
    """The ranges that fields of ``Run`` declare."""
    found: dict[str, Range] = {}
    # Types of factories name classes of torch, which only type checkers import.
    plain = {name: text for name, text in Run.__annotations__.items() if "Factory" not in text}
    hints = get_type_hints(SimpleNamespace(__annotations__=plain), globals(), include_extras=True)
    for name, hint in hints.items():
        for each in (hint, *get_args(hint)):
            limits = range_of(getattr(each, "__metadata__", ()))
            if limits is not None:
                found[name] = limits
    return found
