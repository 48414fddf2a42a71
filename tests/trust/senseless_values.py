"""Values that make no sense wherever they stand, and how they come to stand there."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

Place = tuple[Any, ...]  # the keys and positions that lead to a value
OUT = object()  # in the place of a value that is taken out

PLAIN: dict[str, Any] = {
    "nothing": None,
    "a truth value": True,
    "minus one": -1,
    "-1e12": -(10**12),
    "10**400": 10**400,
    "a fraction": 0.5,
    "NaN": math.nan,
    "infinity": math.inf,
    "a text": "five",
    "a text with NUL": "a\0b",
    "a path that leads out": "../../../etc/passwd",
    "a list": [1],
    "a dict": {"x": 1},
    "taken out": OUT,
}
TENSORS: dict[str, Callable[[Tensor], Any]] = {
    "another shape": lambda t: torch.zeros(*t.shape, 2),
    "a terabyte of one number": lambda _: torch.zeros(1).expand(10**12),
    "whole numbers": lambda t: t.to(torch.int8),
    "complex numbers": lambda t: t.to(torch.complex64),
    "half the precision": lambda t: t.to(torch.float16),
    "a sparse tensor": lambda t: t.to_sparse() if t.ndim else torch.eye(2).to_sparse(),
    "a quantised tensor": lambda t: torch.quantize_per_tensor(t.float(), 0.1, 0, torch.qint8),
    "a tensor without data": lambda t: t.to("meta"),
    "a tensor of NaN": lambda t: torch.full(t.shape, math.nan),
    "nested tensors": lambda _: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
}
PLAUSIBLE = {  # what may be so, and who would know
    "numbers.loss_sum": ("minus one", "-1e12", "a fraction"),  # a plugin's loss may be anything
    "numbers.train_seconds": ("a fraction",),
    "numbers.best_error": ("a fraction",),
    "train_loss": ("nothing", "minus one", "-1e12", "a fraction"),
}


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Where each value within another is, however deep; dicts and lists too."""
    if at:
        yield at
    inside = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list | tuple):
        inside = enumerate(value)
    for key, part in inside:
        yield from places(part, (*at, key))


def value_at(value: Any, at: Place) -> Any:
    """What is at a place."""
    for key in at:
        value = value[key]
    return value


def changes(value: Any, at: Place) -> dict[str, Any]:
    """What is put at a place instead of what is there, by name."""
    there, name = value_at(value, at), ".".join(map(str, at))
    plausible = PLAUSIBLE.get(name, ())
    if at[:2] == ("optimizer", "state") and len(at) > 2:  # of a parameter without a gradient yet
        plausible = ("nothing", "taken out")
    new = {what: instead for what, instead in PLAIN.items() if what not in plausible}
    if isinstance(there, dict):
        new["a surplus key"] = {**there, "surplus": 1}
    if isinstance(there, Tensor):
        new |= {what: make(there) for what, make in TENSORS.items()}
    return new


def replaced(value: Any, at: Place, new: Any) -> Any:
    """``value`` with ``new`` at that place; nothing that others have is changed."""
    first, *rest = at
    if isinstance(value, tuple):
        return tuple(replaced(list(value), at, new))
    value = copy.copy(value)
    if rest:
        value[first] = replaced(value[first], tuple(rest), new)
    elif new is OUT:
        del value[first]
    else:
        value[first] = new
    return value
