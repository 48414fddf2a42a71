"""Makes components by name, for programs that don't describe a whole run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Never

import numpy as np

from cifarzoo.components.index import Parameter
from cifarzoo.components.kinds import KINDS
from cifarzoo.components.loading import import_components
from cifarzoo.components.plugins import catalogue
from cifarzoo.components.protocols import IMAGE_SHAPE, Augmentation, Dataset, Schedule
from cifarzoo.components.registry import Component, register
from cifarzoo.components.regularizers import Regularizer
from cifarzoo.components.session import entry_of
from cifarzoo.components.spelling import near
from cifarzoo.config.fitting import Fit
from cifarzoo.config.freeze import Configured
from cifarzoo.config.hints import known_fit, own_fit
from cifarzoo.config.types import a
from cifarzoo.engine.assembly.build import build_model, make
from cifarzoo.engine.assembly.residual import named
from cifarzoo.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import nn

ARCHITECTURE = "architecture"


class Creator:
    """Makes any registered component but an architecture: ``create("mixup", alpha=0.2)``.

    ``create.schedule("cosine")`` and its like make one of that kind, and have its type;
    ``create_model`` makes networks.
    """

    def __call__(self, name: str, /, *by_place: Never, **parameters: Any) -> Any:
        """Make the component called ``name``.

        Args:
            name: Registered name, such as ``cosine``.
            *by_place: Nothing: parameters are given by name.
            **parameters: Parameters of its factory; the others have their defaults. What the
                engine gives in a run, such as an optimizer's ``params``, has to be given too.

        Raises:
            ConfigError: No such component, or a value that it refuses.
            TypeError: A parameter that it doesn't have, a missing one, or a value of another
                type.
        """
        component = _find(name)
        _refuse_by_place(component, by_place, "create")
        if component.kind == ARCHITECTURE:
            raise ConfigError(f"{name!r} is an architecture; make it by create_model({name!r})")
        return _make(component, parameters)

    def regularizer(self, name: str, /, *by_place: Never, **parameters: Any) -> Regularizer:
        """Make a regularizer; see ``create`` itself."""
        made: Regularizer = _made(name, "regularizer", by_place, parameters)
        return made

    def augmentation(self, name: str, /, *by_place: Never, **parameters: Any) -> Augmentation:
        """Make an augmentation; see ``create`` itself."""
        made: Augmentation = _made(name, "augmentation", by_place, parameters)
        return made

    def schedule(self, name: str, /, *by_place: Never, **parameters: Any) -> Schedule:
        """Make a schedule; see ``create`` itself."""
        made: Schedule = _made(name, "schedule", by_place, parameters)
        return made

    def optimizer(self, name: str, /, *by_place: Never, **parameters: Any) -> torch.optim.Optimizer:
        """Make an optimizer over ``params``; see ``create`` itself."""
        made: torch.optim.Optimizer = _made(name, "optimizer", by_place, parameters)
        return made

    def dataset(self, name: str, /, *by_place: Never, **parameters: Any) -> Dataset:
        """Make a dataset that lies in ``folder``, or None; see ``create`` itself."""
        made: Dataset = _made(name, "dataset", by_place, parameters)
        return made

    def __getattr__(self, kind: str) -> Callable[..., Any]:
        if kind == ARCHITECTURE or kind not in KINDS:
            known = [name for name in KINDS if name != ARCHITECTURE]
            close = near(kind, known) or f"; the kinds are {', '.join(known)}"
            raise AttributeError(f"create makes no {kind!r}{close}")
        return lambda name, /, *by_place, **parameters: _made(name, kind, by_place, parameters)

    def __dir__(self) -> list[str]:
        return [name for name in KINDS if name != ARCHITECTURE]

    def __repr__(self) -> str:
        return "cifarzoo.create"


create = Creator()


def create_model(
    name: str,
    /,
    *by_place: Never,
    num_classes: int = 10,
    image_shape: tuple[int, int, int] = IMAGE_SHAPE,
    regularizers: Regularizer | str | Sequence[Regularizer | str] = (),
    **parameters: Any,
) -> nn.Module:
    """Make any registered network.

    Args:
        name: Registered name, such as ``wrn26_10``.
        *by_place: Nothing: all else is given by name.
        num_classes: Number of classes K.
        image_shape: Shape of the images (C, H, W) that it is for.
        regularizers: Objects or registered names, or one of them; those with a ``branch`` stage
            act inside the network's residual blocks, and the others do nothing here.
        **parameters: Parameters of its factory; the others have their defaults.

    Returns:
        The network, its weights drawn from torch's generator.

    Raises:
        ConfigError: No such component, or a value that it refuses.
        TypeError: A parameter that it doesn't have, a missing one, or a value of another type.
    """
    component = _find(name, ARCHITECTURE)
    _refuse_by_place(component, by_place, "create_model")
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise TypeError(f"num_classes is {num_classes!r}; expected a whole number of at least 1")
    listed = [regularizers] if isinstance(regularizers, Regularizer | str) else regularizers
    if not isinstance(listed, list | tuple):
        expected = "expected a list of regularizers, or of their names"
        raise TypeError(f"regularizers is {regularizers!r}; {expected}")
    made = [create.regularizer(r) if isinstance(r, str) else r for r in listed]
    for position, regularizer in enumerate(made):
        if not isinstance(regularizer, Regularizer):
            expected = "expected a Regularizer, or the name of one"
            raise TypeError(f"regularizers[{position}] is {regularizer!r}; {expected}")
    own = ("num_classes", "image_shape", "regularizers")
    _check_parameters(component, parameters, given=KINDS[ARCHITECTURE].injected, beside=own)
    with_parameters = _with_settings(component, parameters)
    return build_model(
        with_parameters,
        num_classes=num_classes,
        image_shape=image_shape,
        regularizers=named(made),
    )


def _find(name: str, kind: str | None = None) -> Component:
    """The component called ``name``, its module imported.

    Raises:
        ConfigError: There is none, or it is of another kind than ``kind``.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name is {name!r}; expected a text such as 'cosine'")
    if name not in register.components:
        entries = catalogue().entries
        if name not in entries:
            of_kind = [e.name for e in entries.values() if kind in (None, e.kind)]
            close = near(name, of_kind) or near(name, entries) or "; cifarzoo ls lists them"
            raise ConfigError(f"no {kind or 'component'} {name!r}{close}")
        import_components([entries[name]])
    component = register.components[name]
    if kind not in (None, component.kind):
        raise ConfigError(f"{name!r} is {a(component.kind)}; expected {a(str(kind))}")
    return component


def _made(name: str, kind: str, by_place: tuple[Any, ...], parameters: Mapping[str, Any]) -> Any:
    component = _find(name, kind)
    _refuse_by_place(component, by_place, f"create.{kind}")
    return _make(component, parameters)


def _refuse_by_place(component: Component, by_place: tuple[Any, ...], function: str) -> None:
    """Refuse values without names, in words that say how they are given.

    Raises:
        TypeError: There are any.
    """
    if by_place:
        takes = list(inspect.signature(component.factory).parameters)
        hidden = KINDS[ARCHITECTURE].injected if component.kind == ARCHITECTURE else ()
        names = [name for name in takes if name not in hidden]
        given = [f"{name}={value!r}" for name, value in zip(names, by_place, strict=False)]
        call = f"{function}({', '.join([repr(component.name), *given])})"
        has = (
            f"as {call}" if len(given) == len(by_place) else f"it has {', '.join(names) or 'none'}"
        )
        raise TypeError(f"{component.name} takes its parameters by name; {has}")


def _make(component: Component, parameters: Mapping[str, Any]) -> Any:
    _check_parameters(component, parameters)
    return make(_with_settings(component, parameters), component.kind)


def _check_parameters(
    component: Component,
    parameters: Mapping[str, Any],
    *,
    given: Sequence[str] = (),
    beside: Sequence[str] = (),
) -> None:
    """Refuse what the factory doesn't know, and what it lacks.

    Args:
        component: Component to be made.
        parameters: Parameters that the caller gives.
        given: Names of those that we give.
        beside: Names of what the caller can give that is no parameter of the factory.

    Raises:
        TypeError: Anything of that.
    """
    takes = inspect.signature(component.factory).parameters
    settable = [name for name in takes if name not in given]
    for name in parameters:
        if name not in settable:
            has = near(name, [*settable, *beside]) or f"; it has {', '.join(settable) or 'none'}"
            raise TypeError(f"{component.name} has no parameter {name!r}{has}")
    lacking = [
        name
        for name in settable
        if takes[name].default is inspect.Parameter.empty and name not in parameters
    ]
    if lacking:
        from_engine = [name for name in lacking if name in KINDS[component.kind].injected]
        why = f"; in a run the engine gives {' and '.join(from_engine)}" * bool(from_engine)
        raise TypeError(f"{component.name} needs {', '.join(lacking)}{why}")


def _with_settings(component: Component, parameters: Mapping[str, Any]) -> Configured[Any]:
    """The factory with ``parameters``, which are of its types.

    Raises:
        TypeError: A value is of another type.
        ConfigError: A value is out of its range.
    """
    made = Configured(component.factory, **parameters)
    conversions, problems = {}, []
    for parameter in entry_of(component).parameters:
        asked = _asked(component, parameter) if parameter.name in parameters else None
        if asked is None:
            continue
        value = parameters[parameter.name]
        why = asked.misfit(value.item() if isinstance(value, np.generic) else value)
        if why and why.is_range:
            out = ConfigError(str(why), parameter=parameter.name)
            out.component = component.name
            raise out
        if why:
            gap = "" if why.place else " "
            problems.append(f"{component.name}.{parameter.name}{gap}{why}")
        elif asked.converts:
            conversions[parameter.name] = asked.hint
    if problems:
        raise TypeError("; ".join(problems))
    made.conversions = conversions
    return made


def _asked(component: Component, parameter: Parameter) -> Fit | None:
    """What a parameter asks for; None: nothing that can be told."""
    if parameter.annotation is None:
        return None
    try:
        return known_fit(parameter.annotation) or own_fit(component.factory, parameter.name)
    except TypeError:  # such as a name that only type checkers import: what Python code is for
        return None
