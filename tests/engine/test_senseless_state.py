"""A checkpoint that is whole by its digests and makes no sense is passed over, as damage is."""

from __future__ import annotations

import io
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from cifarzoo.engine.checkpoint import Checkpoints
from cifarzoo.engine.fitting import MisfitError, fitting, fitting_optimizer
from cifarzoo.engine.runner import execute
from cifarzoo.engine.saved_tensors import UnusableError, read_saved
from cifarzoo.engine.state import Progress
from cifarzoo.engine.state_schema import MOST_DEPTH, check_plain, check_state
from cifarzoo.errors import CheckpointError, UsageError
from cifarzoo.run_folders.folder import RunFolder
from cifarzoo.run_folders.schemas import Numbers
from tests.tiny import messages, tiny_task
from tests.trust.damage import replace_state

State = dict[str, Any]
BACK = "; going back to the checkpoint before it"


@pytest.fixture(scope="module")
def state() -> State:
    """What a run of a layer of two by two may have saved at step 3."""
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    numbers = {"step": 3, "loss_sum": 1.0, "loss_steps": 3, "train_seconds": 0.5}
    return {
        "model": dict(layer.state_dict()),
        "optimizer": optimizer.state_dict(),
        "average": None,
        "averaged": None,
        "scaler": {},
        "numbers": {**numbers, "best_error": 0.5, "best_step": 2},
        "metrics_size": 0,
        "statistics": None,
    }


def with_numbers(**changes: Any) -> Callable[[State], State]:
    return lambda state: {**state, "numbers": {**state["numbers"], **changes}}


def with_weight(make: Callable[[torch.Tensor], Any]) -> Callable[[State], State]:
    def change(state: State) -> State:
        return {**state, "model": {**state["model"], "weight": make(state["model"]["weight"])}}

    return change


def without(name: str) -> Callable[[State], State]:
    return lambda state: {key: part for key, part in state.items() if key != name}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def doubling(times: int) -> Any:
    """A list in which a list stands twice, in which a list stands twice …"""
    value: Any = [1]
    for _ in range(times):
        value = [value, value]
    return value


SENSELESS: dict[str, tuple[Callable[[State], Any], str]] = {
    "a list": (lambda _: [1], r"^holds \[1\]; expected a dict of model, optimizer, "),
    "no numbers": (without("numbers"), "^has no numbers$"),
    "no model": (lambda s: {**s, "model": None}, "^has model None; expected a dict"),
    "a list for the optimizer": (lambda s: {**s, "optimizer": []}, r"^has optimizer \[\]; expect"),
    "weights without names": (lambda s: {**s, "model": {3: 1}}, "^has model with the key 3; "),
    "a negative step": (with_numbers(step=-3), "^has numbers.step -3; expected at least 0"),
    "a step of 1e15": (with_numbers(step=10**15), r"step 10{15}; expected at most 1,000,000,0"),
    "a text for a number": (with_numbers(step="3"), "^has numbers.step '3'; expected a whole num"),
    "True for 1": (with_numbers(loss_steps=True), "^has numbers.loss_steps True; expected a whole"),
    "a fraction for steps": (with_numbers(step=3.0), "^has numbers.step 3.0; expected a whole"),
    "NaN": (with_numbers(loss_sum=math.nan), "^has numbers.loss_sum nan; expected a finite num"),
    "10**400": (with_numbers(loss_sum=10**400), "^has numbers.loss_sum 10*; expected a"),
    "10**5000": (with_numbers(step=10**5000), "^has numbers that are none: ValueError: Exceeds"),
    "a tensor for a number": (with_numbers(step=torch.ones(1)), "^has numbers that are none: Type"),
    "negative seconds": (with_numbers(train_seconds=-1.0), "train_seconds -1.0; expected at least"),
    "an error of 150 %": (with_numbers(best_error=1.5), "best_error 1.5; expected at most 1"),
    "a best step to come": (
        with_numbers(best_step=4),
        "whose best_step is 4 at step 3",
    ),
    "a best step without its error": (
        with_numbers(best_error=None),
        "best_error and best_step are",
    ),
    "more losses than steps": (
        with_numbers(loss_steps=4),
        "whose loss_steps is 4 at s",
    ),
    "a negative size": (lambda s: {**s, "metrics_size": -5}, "^has metrics_size -5; expected at l"),
    "a loss scale of 0": (
        lambda s: {**s, "scaler": {"scale": 0.0}},
        "^has scaler.scale 0.0; expected more than 0",
    ),
    "sparse": (with_weight(torch.Tensor.to_sparse), r"model.weight, which has the layout torch.sp"),
    "without data": (with_weight(lambda w: w.to("meta")), r"which has no data \(meta\)"),
    "not finite": (with_weight(lambda w: w * math.nan), "^has model.weight, which is not finite"),
    "nested without an end": (
        lambda s: {**s, "extra": nested(MOST_DEPTH + 1)},
        f"^is nested more than {MOST_DEPTH} deep",
    ),
    "more parts than bytes": (lambda s: {**s, "extra": doubling(40)}, "^has more than 1,000,000 p"),
}


@pytest.mark.parametrize(("change", "words"), SENSELESS.values(), ids=SENSELESS)
def test_a_state_that_no_run_saved_is_refused_in_words(state, change, words):
    check_state(state)

    with pytest.raises(ValueError, match=words):
        check_state(change(state))


@pytest.mark.filterwarnings("ignore")
def test_a_quantised_tensor_is_refused_before_it_is_used():
    quantised = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)

    with pytest.raises(ValueError, match=r"^has w, which is quantised; expected plain numbers"):
        check_plain(read_saved(saved({"w": quantised})))


def test_a_mask_that_a_plugin_expanded_is_no_fault(state):
    mask = torch.zeros(1).expand(1000, 1000)

    check_state(read_saved(saved({**state, "model": {**state["model"], "mask": mask}})))


def test_a_terabyte_of_one_number_is_refused(state):
    data = saved({**state, "model": {"weight": torch.zeros(1).expand(10**12)}})

    with pytest.raises(UnusableError, match=r"^its tensors have 4,000,000,0"):
        read_saved(data)


def test_numbers_are_those_of_the_progress():
    assert [each.name for each in fields(Numbers)] == [each.name for each in fields(Progress)]


def saved(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


class Code:
    """Makes a folder when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.mkdir, ("/nowhere/at/all",)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (saved({"x": Code()}), r"^it would run posix.mkdir; expected tensors, numb"),
        (saved({"x": Code()}, _use_new_zipfile_serialization=False), r"^it would run posix.mkdir"),
        (b"PK\x03\x04 and no archive", "^its list of members is not at its end"),
    ],
    ids=["code", "code in the older format", "half an archive"],
)
def test_torchs_advice_to_run_what_it_refuses_is_never_passed_on(data, words):
    with pytest.raises(UnusableError, match=words) as refused:
        read_saved(data)

    assert "weights_only" not in str(refused.value)
    assert refused.value.__cause__ is refused.value.__context__ is None


# What fits


def layer_and_optimizer(name: str) -> tuple[torch.nn.Linear, torch.optim.Optimizer]:
    """A layer and its optimizer, which has done a step."""
    layer = torch.nn.Linear(2, 3)
    make = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.1),
    }
    optimizer = make[name](layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return layer, optimizer


def with_setting(**changes: Any) -> Callable[[State], State]:
    def change(state: State) -> State:
        return {**state, "param_groups": [{**state["param_groups"][0], **changes}]}

    return change


def with_entry(name: str, value: Any) -> Callable[[State], State]:
    def change(state: State) -> State:
        return {**state, "state": {**state["state"], 0: {**state["state"][0], name: value}}}

    return change


def without_entry(name: str) -> Callable[[State], State]:
    def change(state: State) -> State:
        kept = {key: each for key, each in state["state"][0].items() if key != name}
        return {**state, "state": {**state["state"], 0: kept}}

    return change


MISFITS: dict[str, tuple[str, Callable[[State], State], str]] = {
    "another momentum": (
        "sgd",
        with_setting(momentum=1e9),
        "momentum is 1000000000.0 there and",
    ),
    "a text for a setting": (
        "sgd",
        with_setting(momentum="much"),
        "momentum is a str there and a",
    ),
    "a number for a truth": (
        "sgd",
        with_setting(nesterov=0),
        "nesterov is a number there and",
    ),
    "other parameters": (
        "sgd",
        with_setting(params=[0, -1]),
        r"params is \[0, -1\] there and",
    ),
    "a momentum of one number": (
        "sgd",
        with_entry("momentum_buffer", torch.ones(1)),
        r"\(1,\) of",
    ),
    "a text for a momentum": (
        "sgd",
        with_entry("momentum_buffer", "x"),
        "is a str there and",
    ),
    "whole numbers": (
        "sgd",
        with_entry("momentum_buffer", torch.ones(3, 2).int()),
        "of torch.int32",
    ),
    "a gradient of a momentum": (
        "sgd",
        with_entry("momentum_buffer", torch.ones(3, 2, requires_grad=True)),
        "requires a gradient",
    ),
    "a parameter too many": (
        "sgd",
        lambda state: {**state, "state": {**state["state"], 7: {}}},
        r"state\.7: expected a number below 2",
    ),
    "a step of -1e12": (
        "adamw",
        with_entry("step", torch.tensor(-1e12)),
        "step is -9999.*; expected",
    ),
    "a step to come": ("adamw", with_entry("step", torch.tensor(9.0)), "is 9.0; expected 0 to 3"),
    "half of it": ("adamw", without_entry("exp_avg"), r"state\.0 has no exp_avg"),
}


@pytest.mark.parametrize(("name", "change", "words"), MISFITS.values(), ids=MISFITS)
def test_an_optimizers_state_that_no_step_left_does_not_fit(name, change, words):
    _, optimizer = layer_and_optimizer(name)
    state = optimizer.state_dict()
    assert fitting_optimizer(optimizer, state, 3)["state"] == state["state"]

    with pytest.raises(MisfitError, match=words), fitting():
        fitting_optimizer(optimizer, change(state), 3)


def test_settings_that_an_older_torch_had_not_are_those_of_the_config():
    _, optimizer = layer_and_optimizer("sgd")
    state = optimizer.state_dict()
    del state["param_groups"][0]["maximize"]

    [group] = fitting_optimizer(optimizer, state, 3)["param_groups"]

    assert group == optimizer.state_dict()["param_groups"][0]


def test_a_plugins_optimizer_may_change_its_settings_and_keep_what_it_wants():
    class Own(torch.optim.SGD):
        """Counts, and has a tensor of another shape."""

    layer = torch.nn.Linear(2, 3)
    state = Own(layer.parameters(), lr=0.1, momentum=0.9).state_dict()
    state["param_groups"][0] |= {"momentum": 0.5, "count": torch.tensor(3)}
    state["state"] = {0: {"factors": torch.ones(5)}}

    found = fitting_optimizer(Own(layer.parameters(), lr=0.1, momentum=0.9), state, 3)

    assert found == state


# Runs


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The folder of a run of six steps, with checkpoints of each second."""
    root = tmp_path_factory.mktemp("senseless")
    execute(tiny_task(root, max_steps=6, checkpoint_steps=2, keep_checkpoints=9))
    return root


def resumed(root: Path, run: Path, change: Callable[[State], Any], *steps: int) -> list[str]:
    """What a run says that goes on from its checkpoints of 2 and 4, those of ``steps`` changed."""
    shutil.copytree(run / "run", root / "run")
    folder = RunFolder(root / "run")
    folder.update(status="running")
    folder.cut_metrics(0)
    checkpoints = Checkpoints(folder.checkpoints, keep=9, warn=print)
    shutil.rmtree(checkpoints.path(6))
    for step in steps:
        state = checkpoints.read(step).state
        replace_state(checkpoints.path(step), saved(change(state)))
    events: list[Any] = []
    execute(tiny_task(root, max_steps=6, checkpoint_steps=2, keep_checkpoints=9), [events.append])
    return messages(events)


FORGED: dict[str, tuple[Callable[[State], Any], str]] = {
    "of no sense": (
        with_numbers(step=-5),
        r"step-00000004/state\.pt has numbers\.step -5; exp",
    ),
    "of another step": (with_numbers(step=3, loss_steps=3), r"state\.pt says that it is of step 3"),
    "weights that are whole numbers": (
        lambda s: {**s, "model": {n: w.to(torch.int8) for n, w in s["model"].items()}},
        r"step-00000004 does not fit this run: model\..* is a tensor of torch.int8 there and a t",
    ),
    "more metrics than there were": (
        lambda s: {**s, "metrics_size": 10**6},
        "lacks 1000000 of the 1000000 bytes",
    ),
}


@pytest.mark.parametrize(("change", "words"), FORGED.values(), ids=FORGED)
def test_a_run_goes_back_to_the_checkpoint_before_and_ends_with_the_same_weights(
    tmp_path, run, change, words
):
    said = resumed(tmp_path, run, change, 4)

    assert len([message for message in said if re.search(words, message)]) == 1, said
    ended = [RunFolder(root / "run").record["weights_sha256"] for root in (run, tmp_path)]
    assert ended[0] == ended[1]


def test_where_none_fits_the_run_is_refused_and_nothing_is_lost(tmp_path, run):
    def smaller(state: State) -> State:
        return {**state, "model": {name: w[:1] for name, w in state["model"].items() if w.ndim}}

    with pytest.raises(CheckpointError, match=r"does not fit this run \(.*start a new run$"):
        resumed(tmp_path, run, smaller, 2, 4)

    steps = Checkpoints(tmp_path / "run" / "checkpoints", keep=9, warn=print).steps()
    assert steps == [2, 4]


def test_metrics_that_do_not_end_with_the_result_are_refused_at_the_end(tmp_path, run):
    shutil.copytree(run / "run", tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    folder.update(status="running")
    checkpoints = Checkpoints(folder.checkpoints, keep=9, warn=print)
    replace_state(checkpoints.path(6), saved({**checkpoints.read(6).state, "metrics_size": 0}))
    folder.cut_metrics(0)

    with pytest.raises(UsageError, match=r"doesn't end with the scores of step 6, which are"):
        execute(tiny_task(tmp_path, max_steps=6, checkpoint_steps=2, keep_checkpoints=9))
