"""R4: what a checkpoint holds is needed: a part that is forgotten is noticed in the finals.

The other checks of resuming compare finals; this one shows that such a comparison can fail.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from cifarzoo.engine import runner
from cifarzoo.engine.checkpoint import Checkpoints
from cifarzoo.engine.device.precision import Policy
from cifarzoo.protocols import Timestamp
from cifarzoo.run_folders.folder import RunFolder
from tests.trust.attempts import attempt
from tests.trust.cases import Budget, Check, Outcome
from tests.trust.kill_points import arm
from tests.trust.workload import EVERYTHING, differences, finals, train

State = dict[str, Any]
SAVES_BEFORE_DEATH = 2  # of the steps 10 and 20; the second is in mid-epoch


def worsening() -> Callable[[Timestamp], float]:
    """A rate that spoils the network once the best score was noted, and before the kill."""
    return lambda moment: 1.0 if moment.step < 12 else 40.0


STEADY = {**EVERYTHING, "keep_checkpoints": 5}
WORSENING = {**STEADY, "schedule": worsening}


def in_float16() -> None:
    """Train in float16 with a scaled loss, which the command line leaves to GPUs."""
    runner.choose = lambda _run, _device: Policy(
        name="float16", channels_last=True, compile=False, deterministic=True, threads=1
    )


def _number(name: str, value: Any) -> Callable[[State, State], None]:
    def forget(state: State, _first: State) -> None:
        state["numbers"][name] = value

    return forget


def _part(name: str) -> Callable[[State, State], None]:
    def forget(state: State, first: State) -> None:
        state[name] = first[name]

    return forget


def _buffers(state: State, first: State) -> None:
    for name in state["model"]:
        if "running" in name:
            state["model"][name] = first["model"][name]


def _parameters(state: State, first: State) -> None:
    for name in state["model"]:
        if "running" not in name:
            state["model"][name] = first["model"][name]


def _one_buffer(state: State, first: State) -> None:
    name = next(name for name in state["model"] if name.endswith("running_var"))
    state["model"][name] = first["model"][name]


def _momentum(state: State, _first: State) -> None:
    state["optimizer"]["state"] = {}


def _metrics_size(state: State, _first: State) -> None:
    state["metrics_size"] = 0


def _growth(state: State, first: State) -> None:
    state["scaler"]["_growth_tracker"] = first["scaler"]["_growth_tracker"]


def _scale(state: State, _first: State) -> None:
    state["scaler"]["scale"] *= 0.5


FORGOTTEN: dict[str, Callable[[State, State], None]] = {
    "parameters": _parameters,
    "buffers": _buffers,
    "a single buffer": _one_buffer,
    "momentum": _momentum,
    "the whole optimizer": _part("optimizer"),
    "the average": _part("average"),
    "the step": _number("step", 10),
    "the epoch's sum of losses": _number("loss_sum", 0.0),
    "the epoch's count of losses": _number("loss_steps", 1),
    "the best score": _number("best_error", None),
    "the step of the best": _number("best_step", None),
    "the length of the metrics": _metrics_size,
}
OF_SCALER = {"the loss scale": _scale, "the steps since it grew": _growth}


def mutations(budget: Budget) -> Iterator[Outcome]:
    """Forget each part of the newest checkpoint of a run that died, and go on from it."""
    root = budget.scratch
    yield from _forget_each(root, "float32", FORGOTTEN, WORSENING, ())
    # A rate that spoils the network may overflow, which sets the count of steps back to 0.
    yield from _forget_each(root, "float16", OF_SCALER, STEADY, (in_float16,))


def _forget_each(
    root: Path,
    precision: str,
    parts: dict[str, Callable[[State, State], None]],
    changes: dict[str, Any],
    patches: tuple[Callable[[], None], ...],
) -> Iterator[Outcome]:
    whole, died = f"{precision}-whole", f"{precision}-died"
    ended = attempt(train, root, whole, changes, patches, log=root / f"{whole}.log")
    assert ended.code == 0, ended.said
    expected = finals(RunFolder(root / whole))
    kill = partial(arm, "after a step", rank=0, at=22)
    attempt(train, root, died, changes, (*patches, kill), log=root / f"{died}.log")
    for name, forget in {"nothing": None, **parts}.items():
        robbed = f"{precision}-{name.replace(' ', '-')}"
        shutil.copytree(root / died, root / robbed)
        _rewrite(RunFolder(root / robbed), forget)
        ended = attempt(train, root, robbed, changes, patches, log=root / f"{robbed}.log")
        seen = [f"exit code {ended.code}"] * bool(ended.code)
        # What contradicts the rest is noticed when it is read, and the one before it taken.
        seen += ["the reading"] * ("going back to the checkpoint before it" in ended.said)
        seen = seen or differences(expected, finals(RunFolder(root / robbed)))
        yield Outcome(
            name=f"{name}, {precision}",
            passed=bool(seen) == (forget is not None),
            figure=f"noticed in {', '.join(seen)}" if seen else "not noticed",
            counts={"parts forgotten": int(forget is not None), "noticed": int(bool(seen))},
        )


def _rewrite(folder: RunFolder, forget: Callable[[State, State], None] | None) -> None:
    checkpoints = Checkpoints(folder.checkpoints, keep=9, warn=print)
    first, newest = (checkpoints.read(step) for step in (10, 20))
    state = dict(newest.state)
    if forget is not None:
        forget(state, first.state)
    names = ("config", "world_size", "threads", "precision", "kernels", "torch")
    facts = {name: newest.manifest[name] for name in names}
    if not checkpoints.save(20, state, facts=facts, best=state["numbers"]["best_step"]):
        raise AssertionError("the checkpoint could not be written back")


CHECKS = (Check(id="R4", title="each part of a checkpoint, forgotten on purpose", run=mutations),)
