"""The table of kinds: all that the framework knows about what can be registered.

A new kind is a row here, its protocol, a field of ``Run``, the place that calls it, and what it
promises (``testing``), with a plugin to begin with (``scaffolding``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cifarzoo.components.protocols import Dataset, Layers
from cifarzoo.components.regularizers import Regularizer


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of component.

    Attributes:
        name: Name of the decorator, ``@register.<name>``, and of the namespace in configs.
        plural: Name of a list of them, as in ``cifarzoo ls <plural>``.
        injected: Arguments that the engine passes, hidden from and denied to configs.
        needed: Arguments of ``injected`` that no factory of the kind can do without.
        run_field: Field of ``Run`` that holds its factories; None: other components hold them.
        is_list: Whether that field is a list.
        default: Name of the component that a run has whose config names none; None: its config
            must name one.
        is_one: Whether something that a factory gave is one.
        expected: Description of what it must be.
    """

    name: str
    plural: str
    injected: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    run_field: str | None
    is_list: bool = False
    default: str | None = None
    is_one: Callable[[Any], bool]
    expected: str

    @property
    def alias(self) -> str:
        """Name of the type of its factories in annotations, such as ``ScheduleFactory``."""
        return f"{self.name.capitalize()}Factory"


def _is_module(value: Any) -> bool:
    from torch import nn  # listing components needs no torch

    return isinstance(value, nn.Module)


def _is_optimizer(value: Any) -> bool:
    names = ("param_groups", "step", "zero_grad", "state_dict", "load_state_dict")
    return all(hasattr(value, name) for name in names)


_TABLE = (
    Kind(
        name="architecture",
        plural="architectures",
        injected=("num_classes", "in_channels", "image_size", "residual"),
        needed=("num_classes",),
        run_field="architecture",
        is_one=_is_module,
        expected="a torch.nn.Module",
    ),
    Kind(
        name="layers",
        plural="layers",
        run_field=None,
        is_one=lambda value: isinstance(value, Layers),
        expected="an object with conv, norm and dense",
    ),
    Kind(
        name="regularizer",
        plural="regularizers",
        run_field="regularizers",
        is_list=True,
        is_one=lambda value: isinstance(value, Regularizer),
        expected="a cifarzoo.protocols.Regularizer",
    ),
    Kind(
        name="augmentation",
        plural="augmentations",
        injected=("dataset",),
        run_field="augmentations",
        is_list=True,
        is_one=callable,
        expected="a function of (images, draws)",
    ),
    Kind(
        name="loss",
        plural="losses",
        run_field="loss",
        default="cross_entropy",
        is_one=callable,
        expected="a function of (logits, targets)",
    ),
    Kind(
        name="schedule",
        plural="schedules",
        run_field="schedule",
        is_one=callable,
        expected="a function of a Timestamp",
    ),
    Kind(
        name="optimizer",
        plural="optimizers",
        injected=("params",),
        needed=("params",),
        run_field="optimizer",
        is_one=_is_optimizer,
        expected="a torch.optim.Optimizer",
    ),
    Kind(
        name="dataset",
        plural="datasets",
        injected=("folder",),
        needed=("folder",),
        run_field="dataset",
        is_one=lambda value: isinstance(value, Dataset),
        expected="a cifarzoo.protocols.Dataset",
    ),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _TABLE}
# Names of types in annotations that stand for a kind of component.
FACTORIES = {kind.alias: kind.name for kind in _TABLE}
