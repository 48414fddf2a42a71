"""What the state in a checkpoint may hold, whatever it is of.

``torch.load(weights_only=True)`` runs no code, and gives back whatever somebody saved: other kinds
of tensors, numbers that no training comes to. Such a state is refused before anything uses it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cifarzoo.errors import in_one_line
from cifarzoo.run_folders.schemas import LossScale, PlainState, misfit, shown

PARTS = ("model", "optimizer", "average", "scaler", "numbers", "metrics_size")
MAPPINGS = ("model", "optimizer", "average", "averaged", "scaler", "statistics")
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
MOST_PARTS = 1_000_000  # dicts, lists and what is in them; PyramidNet-272's has 20,000
MOST_DEPTH = 50


def check_state(state: Any) -> None:
    """Refuse a state that no run of cifarzoo's can have saved.

    Args:
        state: What ``torch.load`` gave.

    Raises:
        ValueError: What is wrong, in words that go on from the name of the file.
    """
    if not isinstance(state, dict):
        raise ValueError(f"holds {shown(state)}; expected a dict of {', '.join(PARTS)}")
    check_plain(state)
    for name in PARTS:
        if name not in state:
            raise ValueError(f"has no {name}")
    for name in MAPPINGS:
        part = state.get(name)
        if not isinstance(part, dict) and (part is not None or name in ("model", "optimizer")):
            raise ValueError(f"has {name} {shown(part)}; expected a dict")
    for name in ("model", "averaged", "statistics"):
        odd = [key for key in state.get(name) or () if not isinstance(key, str)]
        if odd:
            raise ValueError(f"has {name} with the key {shown(odd[0])}; expected names")
    plain = {name: state[name] for name in ("numbers", "metrics_size")}
    problem = _misfit(PlainState, plain)
    if problem is None and state["scaler"] != {}:
        problem = _misfit(LossScale, state["scaler"], "scaler")
    if problem is not None:
        raise ValueError(problem)


def check_plain(state: Any) -> None:
    """Refuse what can't be gone through, and tensors that aren't plain and finite.

    Raises:
        ValueError: What is wrong, and where.
    """
    for name, tensor in _tensors(state):
        if (problem := _tensor_problem(tensor)) is not None:
            raise ValueError(f"has {name}, which {problem}")
        if tensor.dtype in FLOATS and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"has {name}, which is not finite")


def _tensors(state: Any) -> Iterator[tuple[str, Tensor]]:
    """All tensors in a state, by where they are.

    Raises:
        ValueError: It is nested too deeply, or without an end.
    """
    waiting = [("", state, 0)]
    num_parts = 0
    while waiting:
        name, value, depth = waiting.pop()
        num_parts += 1
        if num_parts > MOST_PARTS:
            raise ValueError(f"has more than {MOST_PARTS:,} parts")
        if isinstance(value, Tensor):
            yield name, value
            continue
        inside: Iterable[tuple[Any, Any]] = ()
        if isinstance(value, Mapping):
            inside = value.items()
        elif isinstance(value, list | tuple | set):
            inside = enumerate(value)
        for key, part in inside:
            if depth == MOST_DEPTH:
                raise ValueError(f"is nested more than {MOST_DEPTH} deep")
            label = key if isinstance(key, str) else shown(key)
            waiting.append((f"{name}.{label}" if name else label, part, depth + 1))


def _tensor_problem(tensor: Tensor) -> str | None:
    if type(tensor) not in (Tensor, nn.Parameter):
        return f"is of the type {type(tensor).__name__}; expected a tensor"
    if tensor.is_nested or tensor.layout is not torch.strided:
        return f"has the layout {tensor.layout}; expected a dense tensor"
    if tensor.is_quantized:
        return "is quantised; expected plain numbers"
    return f"has no data ({tensor.device})" if tensor.device.type != "cpu" else None


def _misfit(schema: type, part: Any, *within: str) -> str | None:
    """What of plain values doesn't fit ``schema``, which are read as the JSON that they are."""
    try:
        return misfit(schema, json.dumps(part), *within)
    except (TypeError, ValueError) as error:
        return f"has numbers that are none: {in_one_line(error)[:200]}"
