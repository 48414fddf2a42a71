"""What of a checkpoint's state fits the run that goes on from it.

``load_state_dict`` of torch turns whole numbers into weights, takes the optimizer's settings from
the file, and lets momenta be of any shape. Such a state is refused before it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from cifarzoo.components.hooks import SupportsStateShapes
from cifarzoo.components.regularizers import Average
from cifarzoo.errors import CheckpointError, in_one_line
from cifarzoo.run_folders.schemas import shown

WEIGHTS = (torch.float32, torch.float64)
NUMBER = "a number"
OTHER_CODE = "its code or plugins have changed since; bring them back, or start a new run"
ADAM = {"step", "exp_avg", "exp_avg_sq"}
# Entries of an optimizer's groups that a device decides, or the schedule.
OF_DEVICE = frozenset(("fused", "foreach", "capturable", "lr"))


class MisfitError(CheckpointError):
    """A checkpoint that makes sense and isn't of this network, optimizer or average.

    Args:
        reason: What of it doesn't fit.
        advice: What helps where no checkpoint of the run fits.

    Attributes:
        reason: What of it doesn't fit.
    """

    def __init__(self, reason: str, advice: str = OTHER_CODE) -> None:
        super().__init__(f"the checkpoint does not fit this run ({reason}); {advice}")
        self.reason = reason
        self.advice = advice

    def __reduce__(self) -> tuple[type[MisfitError], tuple[str, str]]:
        return type(self), (self.reason, self.advice)  # from rank 0 to the others


def check_average(average: Average, state: Mapping[str, Any], step: int) -> None:
    """Refuse an average, and its running statistics, that aren't of this run's.

    Args:
        average: Average of the run.
        state: State of a checkpoint.
        step: Optimizer steps done.

    Raises:
        MisfitError: Something in it is of another kind than the average's, it counts more steps
            than were done, or statistics are of another network.
    """
    fresh, found = average.state_dict(), state["average"]
    if found is None:
        raise MisfitError("average is None; expected the state of one")
    check_tensors(fresh, found, "average")
    if is_ours(average):
        for name in fresh.keys() & found.keys():
            if isinstance(fresh[name], int):
                if not isinstance(found[name], int):
                    raise MisfitError(f"average.{name} is {shown(found[name])}; expected a count")
                check_count(found[name], step, f"average.{name}")
    there, here = state.get("statistics") or {}, average.module.state_dict()
    for name, tensor in there.items():
        if name not in here or tensor.shape != here[name].shape:
            raise MisfitError(f"statistics.{name} is not of this network")
    check_tensors(here, there, "statistics")


def check_losses(expected: Tensor, found: Any) -> None:
    """Refuse what aren't the last losses of the run's training images.

    Raises:
        MisfitError: They are none, or of another number of images.
    """
    if not isinstance(found, Tensor):
        raise MisfitError(f"losses are {shown(found)}; expected one an image")
    if (found.dtype, found.shape) != (expected.dtype, expected.shape):
        raise MisfitError(
            f"losses are {found.dtype} {tuple(found.shape)}; expected {len(expected)} images'"
        )


def check_tensors(expected: Any, found: Any, where: str) -> None:
    """Refuse what is of another kind than what a fresh network, optimizer or average has.

    What one of the two lacks, or has as None, is left to ``load_state_dict``.

    Args:
        expected: State of a fresh one.
        found: State that is to be loaded into it.
        where: Name of the part, for messages.

    Raises:
        MisfitError: What is of another kind, and of which.
    """
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for name in expected.keys() & found.keys():
            check_tensors(expected[name], found[name], f"{where}.{name}")
    elif isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        for index, (one, other) in enumerate(zip(expected, found, strict=False)):
            check_tensors(one, other, f"{where}[{index}]")
    elif expected is not None and found is not None:
        here, there = _kind(expected), _kind(found)
        is_count = NUMBER in (here, there) and "tensor" in here + there
        if here != there and not is_count:  # some optimizers make tensors of their counts
            raise MisfitError(f"{where} is {there} there and {here} here")


def check_count(count: Any, step: int, where: str) -> None:
    """Refuse a number of steps that a run can't have done.

    Raises:
        MisfitError: It is negative, or more than were done.
    """
    if isinstance(count, Tensor) and count.numel() != 1:
        raise MisfitError(f"{where} has {count.numel()} elements; expected a number")
    if not 0 <= float(count) <= step:
        raise MisfitError(f"{where} is {shown(float(count))}; expected 0 to {step}")


def fitting_optimizer(optimizer: Any, found: Mapping[str, Any], step: int) -> dict[str, Any]:
    """The state of an optimizer, its settings those of the config; for torch's and ours.

    Args:
        optimizer: Optimizer of the run.
        found: State of a checkpoint.
        step: Optimizer steps done.

    Raises:
        MisfitError: Something in it is of another kind than the optimizer's, a setting isn't the
            config's, or a tensor isn't of its parameter.
    """
    fresh = optimizer.state_dict()
    check_tensors(fresh, found, "optimizer")
    if not _is_known(optimizer):
        return dict(found)
    groups = [
        _fitting_group(group, there, f"optimizer.param_groups[{index}]")
        for index, (group, there) in enumerate(
            zip(fresh["param_groups"], found["param_groups"], strict=True)
        )
    ]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, entries in found["state"].items():
        where = f"optimizer.state.{shown(index)}"
        if type(index) is not int or not 0 <= index < len(parameters):
            raise MisfitError(f"{where}: expected a number below {len(parameters)}")
        _check_parameter_state(optimizer, entries, parameters[index], step=step, where=where)
    return {**found, "param_groups": groups}


def is_ours(part: object) -> bool:
    """Whether a component's code is cifarzoo's own."""
    return type(part).__module__.startswith("cifarzoo.")


@contextmanager
def fitting() -> Iterator[None]:
    """While parts of a checkpoint are loaded: what doesn't fit is refused in words.

    Raises:
        MisfitError: It is not of this network, optimizer or average.
    """
    try:
        yield
    except MisfitError:
        raise
    except Exception as error:  # plugins' ``load_state_dict`` may raise anything
        raise MisfitError(in_one_line(error)[:200]) from error


def _kind(value: object) -> str:
    """What a value has to have in common with the one in whose place it comes."""
    if isinstance(value, Tensor):
        is_weight = value.dtype in WEIGHTS  # a branch may go on in the other precision
        return "a tensor of floats" if is_weight else f"a tensor of {value.dtype}"
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, int | float):
        return NUMBER
    for kind in (Mapping, list, tuple, str):
        if isinstance(value, kind):
            return f"a {kind.__name__.lower()}"
    return f"a {type(value).__name__}"


def _is_known(optimizer: object) -> bool:
    """Whether its settings stay as the config has them, and its tensors are as its parameters."""
    torchs = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
    return isinstance(optimizer, torch.optim.Optimizer) and (
        is_ours(optimizer) or type(optimizer) in torchs
    )


def _fitting_group(fresh: Mapping[str, Any], found: Mapping[str, Any], where: str) -> Any:
    for name in fresh.keys() & found.keys() - OF_DEVICE:
        if found[name] != fresh[name]:
            raise MisfitError(
                f"{where}.{name} is {shown(found[name])} there and {shown(fresh[name])} here"
            )
    # An older torch has fewer settings, and another device other kernels.
    return {**fresh, "lr": found.get("lr", fresh["lr"])}


def _check_parameter_state(
    optimizer: object, entries: Any, parameter: Tensor, *, step: int, where: str
) -> None:
    if not isinstance(entries, dict):
        raise MisfitError(f"{where} is {_kind(entries)}; expected a dict")
    missing = ADAM - entries.keys() if isinstance(optimizer, torch.optim.Adam) else set()
    if entries and missing:
        raise MisfitError(f"{where} has no {min(missing)}")
    shapes: Mapping[str, tuple[int, ...]] = {}
    if isinstance(optimizer, SupportsStateShapes):
        shapes = optimizer.state_shapes(parameter)
    for name, value in entries.items():
        its, shape = f"{where}.{name}", tuple(shapes.get(name, parameter.shape))
        if name == "step":
            check_count(value, step, its)
        elif value is None:  # a momentum that hasn't begun
            continue
        elif not isinstance(value, Tensor):
            raise MisfitError(f"{its} is {_kind(value)}; expected a tensor")
        elif value.shape != shape or not value.is_floating_point():
            expected = str(shape) if name in shapes else f"the shape of its parameter, {shape}"
            raise MisfitError(
                f"{its} is {tuple(value.shape)} of {value.dtype}; expected {expected}"
            )
        elif value.requires_grad:
            raise MisfitError(f"{its} requires a gradient")
