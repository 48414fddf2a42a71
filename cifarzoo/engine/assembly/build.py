"""Puts together what a run describes: makes every component, in a fixed order, after seeding."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from cifarzoo.components.hooks import (
    SupportsComputeDtype,
    SupportsWeights,
    acts_at_evaluation,
    is_at_most_once,
    num_training_views,
    warnings_of,
)
from cifarzoo.components.kinds import KINDS
from cifarzoo.components.loading import import_components
from cifarzoo.components.plugins import catalogue
from cifarzoo.components.protocols import IMAGE_SHAPE, Augmentation, Dataset, Loss, Schedule
from cifarzoo.components.registry import register
from cifarzoo.components.regularizers import Average, Regularizer, acting_in
from cifarzoo.components.run import Run
from cifarzoo.engine.assembly.companions import add_companions
from cifarzoo.engine.assembly.failures import failed, own_lines
from cifarzoo.engine.assembly.layer_order import layer_scales
from cifarzoo.engine.assembly.residual import ResidualPort, numbered
from cifarzoo.engine.assembly.trained_parameters import trained_parameters
from cifarzoo.engine.assembly.validation import check_average, check_kind
from cifarzoo.engine.assembly.weight_decay import Coverage, apply_lr_scales, split
from cifarzoo.errors import CifarzooError, ConfigError
from cifarzoo.randomness.global_generators import seed_generators

T = TypeVar("T")
HIGHEST_RATE = 10.0  # above it a rate is warned of
NORMALIZATION = "normalize"  # appended where a run lists no augmentation of test images


@dataclass(frozen=True, kw_only=True)
class Components:
    """What a run's factories made, but for the parts that need a device.

    Attributes:
        dataset: Not read yet.
        regularizers: Regularizers in the run's order, by name.
        augmentations: Augmentations of training images, in order, by name.
        schedule: Factor on the base learning rate.
        model: The network, on the device it was asked for.
        coverage: Which parameters are decayed.
        loss: The loss, as the regularizers wrapped it.
        loss_weights: From targets (N, K) to the weight of each image in the loss; None: they
            count alike.
    """

    dataset: Dataset
    regularizers: dict[str, Regularizer]
    augmentations: dict[str, Augmentation]
    schedule: Schedule
    model: nn.Module
    coverage: Coverage
    loss: Loss
    loss_weights: Callable[[Tensor], Tensor] | None

    @property
    def num_views(self) -> int:
        """Views of each image that augmentations and ``batch`` stages give together."""
        return math.prod(
            [
                *map(num_training_views, self.augmentations.values()),
                *(regularizer.num_views for regularizer in self.regularizers.values()),
            ]
        )

    def loss_maker(self, run: Run) -> str:
        """Name of the last that made the loss: a regularizer that wraps it, or the loss."""
        first = name_of(run.loss) if run.loss else "loss"
        return [first, *acting_in("loss", self.regularizers)][-1]

    def warnings(self, total_epochs: float, base_rates: Sequence[float] = ()) -> list[str]:
        """What may not be meant in a run of ``total_epochs`` at ``base_rates``, a line each."""
        found = list(warnings_of(self.schedule, total_epochs))
        if base_rates and base_rates[0] > HIGHEST_RATE:  # other groups may be scaled on purpose
            found.append(
                f"the base learning rate is {base_rates[0]:g}; few networks learn anything "
                f"above {HIGHEST_RATE:g}"
            )
        return found


def build(run: Run, *, folder: Path | None, device: torch.device | str = "cpu") -> Components:
    """Make everything that ``run`` names, in the order in which it is listed here.

    Args:
        run: Run that is trained.
        folder: Where data lie, or None.
        device: ``meta`` for a network without weights; else weights are made on the CPU,
            so that they are the same for every device.

    Raises:
        ConfigError: A factory refused its parameters, or components don't fit together.
        DataError: The dataset isn't there.
    """
    _seed_for(name_of(run.dataset), run.seed)
    dataset = make(run.dataset, "dataset", folder=folder)
    regularizers = _make_each(run.regularizers, "regularizer", run.seed)
    augmentations = _make_each(run.augmentations, "augmentation", run.seed, dataset=dataset)
    if not any(map(acts_at_evaluation, augmentations.values())):
        augmentations[NORMALIZATION] = make(_factory(NORMALIZATION), dataset=dataset)
    _seed_for(name_of(run.schedule), run.seed)
    schedule = make(run.schedule, "schedule")
    model = build_model(
        run.architecture,
        num_classes=len(dataset.classes),
        image_shape=dataset.image_shape,
        regularizers=regularizers,
        seed=run.seed,
        device=device,
    )
    make_loss = run.loss or _default("loss")
    _seed_for(name_of(make_loss), run.seed)
    unwrapped = make(make_loss, "loss")
    loss = unwrapped
    for regularizer in regularizers.values():
        loss = regularizer.loss(loss)
    # A regularizer that wraps the loss may give weights of its own; most know of none.
    weighted = next((of for of in (loss, unwrapped) if isinstance(of, SupportsWeights)), None)
    return Components(
        dataset=dataset,
        regularizers=regularizers,
        augmentations=augmentations,
        schedule=schedule,
        model=model,
        coverage=split(
            model,
            run.weight_decay_policy,
            trained=trained_parameters(model, run, dataset.num_train),
        ),
        loss=loss,
        loss_weights=weighted.weights if weighted is not None else None,
    )


def build_model(
    architecture: Callable[..., nn.Module],
    *,
    num_classes: int,
    image_shape: tuple[int, int, int] = IMAGE_SHAPE,
    regularizers: Mapping[str, Regularizer] = MappingProxyType({}),
    seed: int | None = None,
    device: torch.device | str = "cpu",
) -> nn.Module:
    """Make a network; see ``build``.

    Args:
        architecture: Factory of the network.
        num_classes: K.
        image_shape: Shape of the images (C, H, W) that it is for.
        regularizers: Those with a ``branch`` stage act inside its residual blocks, and some train
            modules beside it; by name.
        seed: Seed of the first weights; None: as the global generators stand.
        device: See ``build``.

    Raises:
        ConfigError: The factory refused its parameters, or can't make a network for these
            images, or one with these regularizers.
    """
    channels, *image_size = image_shape
    offered = {
        "num_classes": num_classes,
        "in_channels": channels,
        "image_size": tuple(image_size),
    }
    _check_image_shape(architecture, image_shape)
    port = ResidualPort(regularizers)
    if seed is not None:
        seed_generators(seed, "weights")
    with torch.device("meta") if str(device) == "meta" else torch.device("cpu"):
        if _takes(architecture, "residual"):
            model = make(architecture, "architecture", **offered, residual=port)
        elif port.acting:
            raise ConfigError(
                f"has {next(iter(port.acting))}, which acts inside residual blocks, and "
                f"{name_of(architecture)} has none",
                parameter="regularizers",
            )
        else:
            model = make(architecture, "architecture", **offered)
        add_companions(model, regularizers, num_classes=num_classes, image_shape=image_shape)
    return model.to(device)


def _check_image_shape(architecture: Callable[..., nn.Module], shape: Sequence[int]) -> None:
    """Refuse a network that doesn't ask for what the images are, where they are unusual."""
    asks = _takes(architecture, "in_channels") or _takes(architecture, "image_size")
    if asks or tuple(shape) == IMAGE_SHAPE:
        return
    given, usual = (" x ".join(map(str, sizes)) for sizes in (shape, IMAGE_SHAPE))
    raise ConfigError(
        f"is {name_of(architecture)}, which is for images of {usual}, and the dataset's are "
        f"{given}; expected a network that takes in_channels and image_size",
        parameter="architecture",
    )


def build_optimizer(
    run: Run,
    components: Components,
    model: nn.Module,
    *,
    compute_dtype: torch.dtype | None = None,
) -> tuple[Any, list[float]]:
    """The optimizer over the parameters of ``model``, as the regularizers wrap it.

    Args:
        run: Run that is trained.
        components: What its factories made.
        model: The network.
        compute_dtype: Type of products of matrices, for optimizers that have a say in it; None:
            as the optimizer has it.

    Returns:
        The optimizer, and the base learning rate of each of its groups.

    Raises:
        ConfigError: It refuses its settings, or a regularizer gives something else.
    """
    coverage = split(model, run.weight_decay_policy, trained=components.coverage.names)
    _seed_for(name_of(run.optimizer), run.seed)
    scales = None if run.layer_decay == 1 else layer_scales(model, run.layer_decay)
    groups = coverage.groups(run.norm_bias_lr_scale, scales)
    optimizer: Any = make(run.optimizer, "optimizer", params=groups)
    apply_lr_scales(optimizer)
    if compute_dtype is not None and isinstance(optimizer, SupportsComputeDtype):
        optimizer.compute_dtype = compute_dtype
    for name, regularizer in components.regularizers.items():
        _seed_for(name, run.seed)
        optimizer = regularizer.optimizer(optimizer)
        with naming(name):
            check_kind("optimizer", optimizer)
    return optimizer, [float(group["lr"]) for group in optimizer.param_groups]


def build_average(components: Components, model: nn.Module) -> Average | None:
    """The average of the weights of ``model`` that a regularizer keeps; None: none does.

    Raises:
        ConfigError: More than one regularizer averages weights.
    """
    averages = []
    for name, regularizer in components.regularizers.items():
        average: Any = regularizer.average(model)
        if average is not None:
            with naming(name):
                check_average(average)
            averages.append(average)
    if len(averages) > 1:
        raise ConfigError(
            f"has {len(averages)} that average weights; expected at most one",
            parameter="regularizers",
        )
    return averages[0] if averages else None


@contextmanager
def naming(component: str) -> Iterator[None]:
    """While something is asked of ``component``: errors carry its name."""
    try:
        yield
    except ConfigError as error:
        error.component = error.component or component.partition("#")[0]
        raise


def make(factory: Callable[..., T], kind: str = "", **offered: Any) -> T:
    """Call ``factory`` with those of the engine's arguments that it takes.

    Args:
        factory: Factory of a component.
        kind: What it must give; nothing: that isn't looked at.
        **offered: The engine's arguments.

    Raises:
        ConfigError: The factory refused a parameter, or gives something else; carries the
            component's name.
    """
    given = {name: value for name, value in offered.items() if _takes(factory, name)}
    try:
        made = factory(**given)
    except ConfigError as error:
        error.component = error.component or name_of(factory)
        raise
    except ValueError as error:  # so torch's optimizers, and many others, refuse a setting
        refused = ConfigError(f"refuses its settings: {error}")
        refused.component = name_of(factory)
        for line in own_lines(error):
            refused.add_note(line)
        raise refused from error
    except Exception as error:
        # Of a bug of ours the traceback is wanted; and too little memory is said elsewhere.
        is_plugins = not isinstance(error, CifarzooError) and own_lines(error)
        if not is_plugins or isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise
        raise failed(name_of(factory), "when it is made", error) from error
    if kind:
        with naming(name_of(factory)):
            check_kind(kind, made)
    return made


def _seed_for(component: str, seed: int) -> None:
    """Seed the generators for a component that is made, which may take numbers from them."""
    seed_generators(seed, "components", component)


def _make_each(
    factories: Sequence[Callable[..., T]], kind: str, seed: int, **offered: Any
) -> dict[str, T]:
    """Make a list of components; a name that is repeated is numbered.

    The names key the components' random numbers, so that adding one changes no other's.
    """
    made: dict[str, T] = {}
    for factory in factories:
        name = numbered(name_of(factory), made)
        _seed_for(name, seed)
        made[name] = make(factory, kind, **offered)
    _check_once(made, kind)
    return made


def _check_once(made: Mapping[str, Any], kind: str) -> None:
    """Refuse a list with two of what may be there once; they need not have one name."""
    seen: dict[type, str] = {}
    for name, component in made.items():
        if is_at_most_once(component):
            first = seen.setdefault(type(component), name)
            if first != name:
                these = dict.fromkeys(f"@{each.partition('#')[0]}" for each in (first, name))
                raise ConfigError(
                    f"has {' and '.join(these)}{' 2 times' * (len(these) == 1)}; expected it at "
                    "most once",
                    parameter=KINDS[kind].run_field,
                )


def name_of(factory: Callable[..., Any]) -> str:
    """The gin name of a component's factory."""
    plain = factory.func if isinstance(factory, partial) else factory
    return str(getattr(plain, "__name__", plain))


def _takes(factory: Callable[..., Any], name: str) -> bool:
    return name in inspect.signature(factory).parameters


def is_default(factory: Callable[..., Any] | None, kind: str) -> bool:
    """Whether a run has the component of ``kind`` that one has which names none."""
    return factory is None or name_of(factory) == KINDS[kind].default


def _default(kind: str) -> Callable[..., Any]:
    """The factory of the component of ``kind`` that a run has which names none."""
    name = KINDS[kind].default
    if name is None:
        raise AssertionError(f"runs name their {kind}")
    return _factory(name)


def _factory(name: str) -> Callable[..., Any]:
    """What makes one of cifarzoo's own components, which no run needs to name."""
    if name not in register.components:
        import_components([catalogue().entries[name]])
    return register.components[name].factory
