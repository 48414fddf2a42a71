"""Whether a step may be captured once and replayed: only where nothing in it is of one step.

A graph holds every number that Python passed to a kernel as it was at the capture. What changes
between steps must therefore be in tensors that the engine fills: images, targets, gates, rates.
Whoever does otherwise would be frozen without a word. So a stranger's part has to say of itself,
by an attribute ``capturable = True``, that it does not; and so has every optimizer, and whatever
acts in the ``network`` stage. Other parts that cifarzoo and torch bring don't, unless they say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from cifarzoo.components.regularizers import acting_in
from cifarzoo.engine.state import TrainingState
from cifarzoo.engine.training import Setup

OWN = ("cifarzoo.", "torch.")


def obstacle(setup: Setup, state: TrainingState) -> str | None:
    """Why the steps of a run can't be captured, in a few words; None: they can."""
    return next(_obstacles(setup, state), None)


def _obstacles(setup: Setup, state: TrainingState) -> Iterator[str]:
    policy, regularizers = setup.policy, setup.components.regularizers
    if setup.world.size > 1:
        yield "there are several ranks"
    if policy.scales_losses:
        yield f"{policy.name} skips steps whose gradient overflows"
    if policy.compile:
        yield "run.compile has graphs of its own"
    for name in acting_in("selection", regularizers):
        yield f"{name} chooses on the host which images are trained on"
    for name, part, has_to_say in _parts(setup, state):
        if not _is_capturable(part, has_to_say=has_to_say):
            yield f"{name} ({_type_of(part).__name__}) does not say that it is capturable"


def _parts(setup: Setup, state: TrainingState) -> Iterator[tuple[str, Any, bool]]:
    """What computes in a step: name, part, and whether it has to say that it is capturable."""
    regularizers = setup.components.regularizers
    yield "the optimizer", state.optimizer, True
    for name, regularizer in acting_in("network", regularizers).items():
        yield name, regularizer, True
    for stage in ("branch", "loss"):
        for name, regularizer in acting_in(stage, regularizers).items():
            yield name, regularizer, False
    yield "the loss", setup.components.loss, False
    for name, module in state.model.named_modules():
        yield f"the module {name}" if name else "the network", module, False


def _is_capturable(part: Any, *, has_to_say: bool) -> bool:
    kind = _type_of(part)
    # By its class where it may wrap another, as SAM does an optimizer, and hands attributes on.
    said: Any = getattr(kind if has_to_say else part, "capturable", None)
    if isinstance(said, bool):
        return said
    return not has_to_say and str(kind.__module__).startswith(OWN)


def _type_of(part: Any) -> Any:
    """What tells whose a part is: its class, or a function itself."""
    while isinstance(part, partial):
        part = part.func
    return part if hasattr(part, "__qualname__") else type(part)
