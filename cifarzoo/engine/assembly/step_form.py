"""How an optimizer wants to be called: the ways in which training loops call ``step``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from torch import Tensor

from cifarzoo.errors import ConfigError

StepForm: TypeAlias = Literal["closure", "gradient", "both"]
Closure: TypeAlias = Callable[[], Tensor]


def take_step(optimizer: Any, closure: Closure, form: StepForm) -> None:
    """One update.

    Args:
        optimizer: The optimizer.
        closure: Computes the loss and the gradient.
        form: ``closure``: ``step`` calls it. ``gradient``: ``step`` takes the gradient that is
            there. ``both``: it takes that, and a closure that it may call for another.
    """
    if form != "closure":
        closure()
    if form == "gradient":
        optimizer.step()
    else:
        optimizer.step(closure)


def declared_form(optimizer: Any) -> StepForm:
    """How the optimizer wants to be called as far as the signature of its ``step`` tells.

    Raises:
        ConfigError: It wants more than a closure.
    """
    parameters = inspect.signature(optimizer.step).parameters
    needed = [p.name for p in parameters.values() if _is_named(p) and _is_needed(p)]
    if len(needed) > 1:
        raise ConfigError(
            f"gives {type(optimizer).__name__}, whose step needs {', '.join(needed)}; expected "
            "step(), step(closure) or step(closure=None)"
        )
    takes = any(_is_named(p) or p.kind is p.VAR_POSITIONAL for p in parameters.values())
    return "closure" if takes else "gradient"


def form_of(make_loop: Callable[[], tuple[Any, Closure]]) -> StepForm:
    """How optimizers want to be called, found out by a step of some.

    Args:
        make_loop: Makes an optimizer over parameters that may be spoiled, and its closure.

    Raises:
        Exception: What ``step`` raises, if it can't be called in any of the ways.
    """
    optimizer, closure = make_loop()
    if declared_form(optimizer) == "gradient":
        take_step(optimizer, closure, "gradient")
        return "gradient"
    try:
        calls = _calls(optimizer, closure, "closure")
    except Exception:
        # Some, as a common SAM does, climb along a gradient that the loop has computed.
        optimizer, closure = make_loop()
        if _calls(optimizer, closure, "both") < 2:
            raise
        return "both"
    if calls:
        return "closure"
    needs_one = any(map(_is_needed, inspect.signature(optimizer.step).parameters.values()))
    form: StepForm = "both" if needs_one else "gradient"
    take_step(*make_loop(), form)
    return form


def _calls(optimizer: Any, closure: Closure, form: StepForm) -> int:
    """How often a step in this form calls the closure."""
    calls = 0

    def counted() -> Tensor:
        nonlocal calls
        calls += 1
        return closure()

    take_step(optimizer, counted, form)
    return calls


def _is_named(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)


def _is_needed(parameter: inspect.Parameter) -> bool:
    is_variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not is_variadic
