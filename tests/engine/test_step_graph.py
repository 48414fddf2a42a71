"""Steps that are captured once and replayed give what steps give, on a CPU that replays as a GPU.

On a GPU the graph is torch's; here operations are recorded and called again, with every number
that Python gave them as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from cifarzoo import config
from cifarzoo.engine import step_graph as step_graphs
from cifarzoo.engine.distributed.world import World
from cifarzoo.engine.events import WarningEvent
from cifarzoo.engine.step_graph import step_graph
from cifarzoo.errors import ConfigError, NotFiniteError
from cifarzoo.testing.capture import STEPS, Steps, same, torchs_dropout
from cifarzoo.testing.recorded_graph import RecorderOnCpu
from tests.components.test_combinations import NONE, PLAIN, bindings, factors
from tests.tried import TRIED

CAPTURED = STEPS - step_graphs.WARM_UP_STEPS
NEVER = {  # and why
    **dict.fromkeys(("adan", "lamb", "rmsprop", "soap", "torch_optimizer"), "the optimizer"),
    "schedule_free": "the optimizer",
    "deep_supervision": "deep_supervision",
    "manifold_mixup": "manifold_mixup",
    "progressive_resizing": "progressive_resizing",
}
BEGIN_LATE = {"airbench"}  # trains a bias for a part of the run, within these steps


def row(**values: str) -> dict[str, str]:
    plain = PLAIN | {"schedule": "cosine"}
    settings = bindings(dict.fromkeys(factors(), NONE) | plain | values)
    return settings | {
        "cosine.warmup_epochs": "0.5",
        "run.epochs": "2",
        "run.max_steps": str(STEPS + 1),
        "glyphs.train_images": "24",
        "run.batch_size": "8",
    }


def begun(settings: dict[str, str], **options: Any) -> Steps:
    """A training before its first step, whose steps aren't captured unless a recorder is given."""
    plugins = options.pop("plugins", ())
    text = "".join(f"{name} = {value}\n" for name, value in settings.items())
    run = config.from_text(text, name="row", plugins=plugins).build()
    return Steps(run, tried=TRIED, **options)


def captured(
    settings: dict[str, str], steps: int = STEPS, **options: Any
) -> tuple[dict[str, Tensor], RecorderOnCpu, list[str]]:
    """Numbers after captured steps, what recorded them, and what was said."""
    recorder = RecorderOnCpu()
    training = begun(settings, recorder=recorder, **options)
    return training.after(steps), recorder, [event.message for event in training.events]


@pytest.fixture
def as_on_a_gpu():
    with torchs_dropout():
        yield


@cache
def one_at_a_time() -> dict[str, dict[str, str]]:
    """Runs in which one component of what a step computes is another than usual."""
    found = {}
    for factor in ("architecture", "loss", "optimizer", "branch stage", "network stage"):
        for name in factors()[factor]:
            if name in (NONE, "distillation"):  # which wants a run to learn from
                continue
            also = {}
            if name == "shake_resnet":
                also = {"branch stage": "shake_shake"}
            if name == "jsd":
                also = {"augmentation": "augmix"}
            found[name] = row(**{factor: name}, **also)
    return found


@pytest.mark.parametrize("name", one_at_a_time())
def test_replays_of_every_component_give_what_steps_give(name, as_on_a_gpu):
    settings = one_at_a_time()[name]

    weights, recorder, said = captured(settings)

    if name in NEVER:
        assert len(said) == 1
        assert said[0].startswith(f"run.cuda_graph: steps are not captured, since {NEVER[name]}")
        assert recorder.num_replays == 0
        return
    assert said == []
    assert recorder.num_replays == CAPTURED - (name in BEGIN_LATE)
    equal(weights, begun(settings).after(STEPS))


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name, tensor in one.items() if not same(tensor, other[name])] == []


WIDE = row(architecture="wide_resnet")
FURTHER = {
    "dropout": WIDE | {"wide_resnet.dropout_rate": "0.3"},
    "clipping of both kinds": row() | {"run.clip_norm": "0.5", "sgd.clip_norm": "0.3"},
    "micro-batches": row() | {"run.micro_batch_size": "4", "run.bn_group_size": "4"},
    "rates by layer": row() | {"run.layer_decay": "0.9", "run.norm_bias_lr_scale": "4.0"},
    "mixup and an average": row() | {"run.regularizers": "[@mixup, @ema]"},
    "float64": row() | {"run.precision": "'float64'"},
    "bfloat16": row() | {"run.precision": "'bfloat16'"},
    "two branches": WIDE
    | {"run.regularizers": "[@stochastic_depth, @drop_block]"}
    | {"drop_block.scheduled": "False"},
}


@pytest.mark.parametrize("name", FURTHER)
def test_replays_of_settings_give_what_steps_give(name, as_on_a_gpu):
    weights, recorder, said = captured(FURTHER[name])

    assert (said, recorder.num_replays) == ([], CAPTURED)
    equal(weights, begun(FURTHER[name]).after(STEPS))


def test_a_graph_is_made_anew_where_a_parameter_ceases_to_be_trained():
    settings = row(architecture="airbench") | {"airbench.whitening_bias_epochs": "2.0"}
    settings |= {"run.epochs": "10", "run.max_steps": "14"}

    weights, recorder, _ = captured(settings, 13)

    # Steps 0 to 5 train the bias; of each kind the first three run as they are.
    assert recorder.num_replays == 13 - 2 * step_graphs.WARM_UP_STEPS
    assert recorder.num_recordings == 2
    equal(weights, begun(settings).after(13))


def test_the_same_rates_are_saved_as_of_other_steps():
    trainings = begun(row()), begun(row(), recorder=RecorderOnCpu())
    for training in trainings:
        training.after(STEPS)

    plain, other = (training.training.state for training in trainings)

    groups = [each.state_dict()["optimizer"]["param_groups"] for each in (plain, other)]
    assert groups[0] == groups[1]
    assert plain.rate == other.rate
    assert type(other.rate) is float


# What can't be captured --------------------------------------------------------------------------

COUNTING = '''
import torch
from torch import nn
from cifarzoo import register


class Counting(nn.Module):
    """Scales by a number of Python's that changes with each step."""

    {attribute}

    def __init__(self, num_classes):
        super().__init__()
        self.inner = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, num_classes))
        self.factor = 1.0

    def begin_step(self, moment):
        self.factor = 1.0 + moment.step

    def forward(self, images):
        return self.inner(images) * {factor}


@register.architecture
def counting(num_classes, residual):
    """A network of one layer."""
    return Counting(num_classes)
'''


def counting(folder: Path, attribute: str = "", factor: str = "self.factor") -> dict[str, Any]:
    plugin = folder / "counting.py"
    plugin.write_text(COUNTING.format(attribute=attribute, factor=factor))
    return {"plugins": (plugin,)}


STRANGE = {name: value for name, value in row().items() if not name.startswith("resnet.")}
STRANGE |= {"run.architecture": "@counting"}


def test_a_stranger_that_says_nothing_is_not_captured(tmp_path):
    plugin = counting(tmp_path)

    weights, recorder, said = captured(STRANGE, **plugin)

    assert said == [
        "run.cuda_graph: steps are not captured, since the network (Counting) does not say that it "
        "is capturable"
    ]
    assert recorder.num_replays == 0
    equal(weights, begun(STRANGE, **plugin).after(STEPS))


def test_a_number_of_python_is_frozen_as_on_a_gpu(tmp_path):
    """Or the tests above would show nothing."""
    plugin = counting(tmp_path, attribute="capturable = True")

    weights, recorder, _ = captured(STRANGE, **plugin)

    assert recorder.num_replays == CAPTURED
    other = begun(STRANGE, **plugin).after(STEPS)
    assert any(not torch.equal(tensor, other[name]) for name, tensor in weights.items())


def test_reading_a_tensor_in_a_captured_step_ends_the_run_in_a_line(tmp_path):
    plugin = counting(tmp_path, "capturable = True", factor="float(images.mean())")

    with pytest.raises(ConfigError, match="is True, and a step can't be captured: ") as caught:
        captured(STRANGE, **plugin)

    assert caught.value.parameter == "cuda_graph"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda setup: {"world": World(0, 2, setup.world.device)}, "there are several ranks"),
        (lambda setup: {"policy": replace(setup.policy, name="float16")}, "float16 skips steps"),
        (lambda setup: {"policy": replace(setup.policy, compile=True)}, "run.compile has graphs"),
    ],
)
def test_what_steps_of_a_kind_are_not_captured(change: Callable[[Any], dict[str, Any]], says):
    training = begun(row()).training
    setup = replace(training.setup, **change(training.setup))

    assert step_graphs.obstacle(training.setup, training.state) is None
    assert step_graphs.obstacle(setup, training.state).startswith(says)


def test_a_share_that_grows_is_not_captured():
    settings = WIDE | {"run.regularizers": "[@drop_block]", "drop_block.scheduled": "True"}
    _, recorder, said = captured(settings)
    assert "(BlockDropper) does not say that it is capturable" in said[0]
    assert recorder.num_replays == 0


def test_images_chosen_by_their_loss_are_not_captured():
    settings = row() | {"run.regularizers": "[@online_batch_selection]"}
    _, recorder, said = captured(settings)
    assert "online_batch_selection chooses on the host which images" in said[0]
    assert recorder.num_replays == 0


def test_without_a_gpu_a_line_says_that_nothing_is_captured():
    said = []
    step_graph(begun(row() | {"run.cuda_graph": "True"}).training.setup, said.append)
    line = "run.cuda_graph: steps are not captured, since there is no GPU"
    assert said == [WarningEvent(message=line)]


# Numbers that aren't finite ----------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("is_captured", [False, True])
def test_where_losses_are_read_late_the_update_of_one_that_is_not_finite_is_skipped(
    optimizer, is_captured
):
    recorder = RecorderOnCpu() if is_captured else None
    training = begun(row(optimizer=optimizer), delay=1, recorder=recorder)
    before = training.after(4)
    make = training.training.data.batches
    broken = mock.Mock(side_effect=lambda *which: (torch.inf * make(*which)[0], make(*which)[1]))
    broken.of_step, broken.indices = make.of_step, make.indices
    data = replace(training.training.data, batches=broken)
    training.training = replace(training.training, data=data)

    weights = training.after(1)  # whose loss isn't known yet

    parameters = [name for name, _ in training.training.state.model.named_parameters()]
    equal({n: weights[n] for n in parameters}, {n: before[n] for n in parameters})
    with pytest.raises(NotFiniteError, match="the loss is not finite in step 5"):
        training.after(1)
