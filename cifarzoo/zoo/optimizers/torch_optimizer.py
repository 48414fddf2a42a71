"""Any other optimizer that is written for PyTorch, by the name of its class."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import NonNegativeFloat, PositiveFloat, check_settings

OF_THE_RUN = ("params", "lr", "weight_decay")


def find_class(name: str) -> type[torch.optim.Optimizer]:
    """The optimizer class of that name.

    Args:
        name: Name of a class of ``torch.optim``, or a dotted name, ``package.module.Class``.

    Raises:
        ConfigError: There is no such class, or it is no optimizer.
    """
    module_name, _, class_name = name.rpartition(".")
    try:
        module = importlib.import_module(module_name or "torch.optim")
    except ImportError as error:
        problem = f"is {name!r}, but {module_name} can't be imported ({error})"
        raise ConfigError(
            f"{problem}; install it, or name another class", parameter="name"
        ) from None
    known = [each for each, value in vars(module).items() if _is_optimizer(value)]
    if class_name not in known:
        expected = f"an optimizer of {module.__name__}, which has {', '.join(known) or 'none'}"
        raise ConfigError(f"is {name!r}; expected {expected}", parameter="name")
    found: type[torch.optim.Optimizer] = vars(module)[class_name]
    return found


def _is_optimizer(value: Any) -> bool:
    is_class = isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
    return is_class and value is not torch.optim.Optimizer


@register.optimizer
def torch_optimizer(
    params: Iterable[dict[str, Any]],
    *,
    name: str,
    lr: PositiveFloat,
    weight_decay: NonNegativeFloat = 0.0,
    settings: Mapping[str, Any] | None = None,
) -> torch.optim.Optimizer:
    """Any optimizer of PyTorch's, or of an installed package, by the name of its class.

    ``torch_optimizer.name = 'NAdam'`` is ``torch.optim.NAdam``; ``'package.module.Class'`` is any
    subclass of ``torch.optim.Optimizer`` that can be imported.

    Args:
        params: Groups of parameters; a group's own ``weight_decay`` stands.
        name: Name of a class of ``torch.optim``, or a dotted name.
        lr: Base learning rate, above 0.
        weight_decay: Decay as the class means it, at least 0.
        settings: Its other arguments by name, which are checked against its signature.

    Raises:
        ConfigError: There is no such class, it has no such argument, or it refuses a value.
    """
    check_settings(torch_optimizer, locals())
    found = find_class(name)
    chosen = dict(settings or {})
    taken = inspect.signature(found).parameters
    _check_arguments(found, chosen, taken)
    if "weight_decay" in taken:
        chosen["weight_decay"] = weight_decay
    elif weight_decay:
        problem = f"is {weight_decay!r}, but {name} has no weight decay; expected 0"
        raise ConfigError(problem, parameter="weight_decay")
    groups = [dict(group) for group in params]
    try:
        return found(groups, lr=lr, **chosen)  # type: ignore[call-arg]  # every optimizer has one
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ConfigError(f"is refused by {name}: {error}", parameter="settings") from error


def _check_arguments(
    found: type, chosen: Mapping[str, Any], taken: Mapping[str, inspect.Parameter]
) -> None:
    """Refuse settings that the class doesn't have, or that the run has already.

    Raises:
        ConfigError: There is one.
    """
    if "lr" not in taken:
        raise ConfigError(f"is {found.__name__!r}, which takes no lr", parameter="name")
    settable = [name for name in taken if name not in OF_THE_RUN]
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in taken.values())
    for name in chosen:
        if name in OF_THE_RUN:
            raise ConfigError(
                f"[{name!r}] is given twice; expected torch_optimizer.{name}", parameter="settings"
            )
        if name not in settable and not takes_any:
            problem = f"[{name!r}]: {found.__name__} has no such argument"
            raise ConfigError(f"{problem}; it has {', '.join(settable)}", parameter="settings")
