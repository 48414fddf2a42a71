"""Adding, removing or reordering a component changes no random number of those that stay.

Two runs of one seed that differ in a component then have the same draws, dropout masks and first
weights in all that both have: what a comparison paired by seed is paired for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cifarzoo import config, create, create_model
from cifarzoo.components.run import Run
from cifarzoo.engine.assembly.residual import ResidualPort
from cifarzoo.engine.runner import execute
from cifarzoo.layers.dropout import dropouts
from cifarzoo.protocols import Augmentation, Regularizer, Residual, Site
from cifarzoo.randomness.gates import site_draws
from tests.components.test_every_component import config_text, own_components
from tests.tiny import TinyNet, tiny_task
from tests.tried import TRIED

NUM_IMAGES = 4  # of a batch, in one view or in several; components are tried on two before a run
KINDS = ("regularizer", "augmentation", "schedule", "optimizer")


@dataclass
class Record:
    """What a run drew.

    Attributes:
        images: Bytes of what the network got, a step each.
        numbers: Everything else, by what it belongs to.
    """

    images: list[bytes] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)

    def note(self, name: str, tensor: Tensor) -> None:
        """Keep the first value of each name."""
        self.numbers.setdefault(name, content(tensor))


def content(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().numpy().tobytes()


class RecordingNet(TinyNet):
    """Has dropouts of its own, before and inside residual paths; notes all that it is given."""

    def __init__(self, num_classes: int, residual: Residual, record: Record) -> None:
        def with_dropout(path: Callable[[], nn.Module], site: Site) -> nn.Module:
            return residual(lambda: nn.Sequential(path(), nn.Dropout(0.1)), site)

        super().__init__(num_classes, with_dropout, 4)
        self.before = nn.Dropout(0.1)
        self.record = record

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled():
            self.note(x)
        return super().forward(self.before(x))

    def note(self, x: Tensor) -> None:
        if self.record.images and self.record.images[-1] == content(x):
            return  # a second pass of the step, as SAM makes
        step = len(self.record.images)
        self.record.images.append(content(x))
        for draw in site_draws(self):
            self.record.note(f"gate {draw.owner} in step {step}", draw.value)
        own = 0
        for layer in dropouts(self):
            name = layer.owner or f"own {own}"
            own += layer.owner is None
            self.record.note(f"masks of {name} in step {step}", torch.tensor(list(bits(layer))))
        for name, parameter in self.named_parameters():
            self.record.note(f"weight {self.lasting(name)}", parameter)

    def lasting(self, name: str) -> str:
        """A parameter's name, whatever else is in its block."""
        found = re.match(r"(.*\.stages)\.(\d+)(.*)", name)
        if found:
            stage = self.get_submodule(f"{found[1]}.{found[2]}")
            return f"{found[1]}.{type(stage).__name__}{found[3]}"
        return name.replace(".paths.0.", ".")


def bits(layer: Any) -> bytes:
    return hashlib.sha256(f"{layer.rows.key} {layer.rows.first}".encode()).digest()


class Probe(nn.Module):
    """A branch module with all that could shift others: weights, a dropout, gates."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.scale = nn.Linear(4, 4)
        self.dropout = nn.Dropout(0.1)
        self.gates = nn.ModuleList([site.draws.uniform(0, 1), site.draws.bernoulli(0.5)])

    def forward(self, residual: Tensor) -> Tensor:
        if not self.training:
            return residual
        scaled = self.scale(residual.mean((2, 3)))[:, :, None, None]
        gate = self.gates[0](residual) * self.gates[1](residual)
        return self.dropout(residual + gate * scaled)


@dataclass(frozen=True)
class ProbeEverywhere(Regularizer):
    """Draws in the branch and in the batch stage, and when it is made."""

    record: Record

    def branch(self, site: Site) -> nn.Module:
        return Probe(site)

    def batch(self, images: Tensor, targets: Tensor, draws: Any) -> tuple[Tensor, Tensor]:
        if len(images) % NUM_IMAGES == 0:
            self.record.note("batch stage", draws.uniform(0, 1))
            self.record.note("batch stage, torch's", torch.rand(3))
        return images, targets


def probe_everywhere(*, record: Record) -> Regularizer:
    record.note("made", torch.rand(3))
    return ProbeEverywhere(record)


def probe_images(*, record: Record) -> Augmentation:
    record.note("augmentation made", torch.rand(3))

    def look(images: Tensor, draws: Any) -> Tensor:
        if len(images) % NUM_IMAGES == 0:
            record.note("augmentation", draws.uniform(0, 1))
            record.note("augmentation, torch's", torch.rand(3))
        return images

    return look


class OtherProbe(Probe):
    """Has names of its own in a network."""


@dataclass(frozen=True)
class OtherEverywhere(ProbeEverywhere):
    def branch(self, site: Site) -> nn.Module:
        return OtherProbe(site)


def other_everywhere(*, record: Record) -> Regularizer:
    record.note("made", torch.rand(3))
    return OtherEverywhere(record)


def other_images(*, record: Record) -> Augmentation:
    return probe_images(record=record)


def recording_net(num_classes: int, residual: Residual, *, record: Record) -> nn.Module:
    return RecordingNet(num_classes, residual, record)


def trained(root: Path, run: Run, *, probes: str = "") -> Record:
    """What a run draws, with the probes ``first``, ``last`` or not at all in its lists."""
    record = Record()
    regularizers, augmentations = list(run.regularizers), list(run.augmentations)
    if probes:
        at = 0 if probes == "first" else None
        merges = bool(regularizers) and regularizers[0]().num_paths > 1
        where = 1 if merges and at == 0 else at
        regularizers.insert(
            len(regularizers) if where is None else where, partial(probe_everywhere, record=record)
        )
        augmentations.insert(
            len(augmentations) if at is None else 0, partial(probe_images, record=record)
        )
    run = replace(
        run,
        architecture=partial(recording_net, record=record),
        regularizers=regularizers,
        augmentations=augmentations,
        precision="float32",
    )
    task = tiny_task(root, f"{probes or 'alone'}-{len(list(root.iterdir()))}")
    execute(replace(task, run=run, tried=TRIED))  # the trial draws too
    return record


def check_same(one: Record, other: Record, *, at_least: str) -> None:
    """What both have is equal, up to the last image of the one that has fewer, or fewer views."""
    both = {
        name: (one.numbers[name], other.numbers[name])
        for name in one.numbers
        if name in other.numbers
    }
    assert any(at_least in name for name in both)
    assert [name for name, (a, b) in both.items() if a[: len(b)] != b[: len(a)]] == []


def run_of(name: str, kind: str) -> Run:
    return config.from_text(config_text(name, kind)).build()


@pytest.mark.parametrize(
    ("name", "kind"), [item for item in own_components().items() if item[1] in KINDS]
)
def test_a_component_has_the_same_numbers_whatever_else_there_is(name, kind, tmp_path):
    run = run_of(name, kind)
    alone = trained(tmp_path, run)
    before = trained(tmp_path, run, probes="first")
    behind = trained(tmp_path, run, probes="last")

    assert alone.images == before.images == behind.images
    assert len(alone.images) == 2
    check_same(alone, before, at_least="masks of own")
    check_same(before, behind, at_least="gate")


@pytest.mark.parametrize(
    ("name", "kind"), [item for item in own_components().items() if item[1] in KINDS]
)
def test_the_others_have_the_same_numbers_with_and_without_it(name, kind, tmp_path):
    without = trained(tmp_path, run_of("constant", "schedule"), probes="last")
    with_it = trained(tmp_path, run_of(name, kind), probes="last")

    for what in ("gate Owner(component='probe_everywhere'", "masks of Owner", "batch stage"):
        check_same(without, with_it, at_least=what)
    assert without.numbers.keys() <= with_it.numbers.keys()


@pytest.mark.parametrize("at", [0, 1])
def test_plugins_that_draw_from_torchs_generator_are_apart(at, tmp_path):
    run, others = run_of("constant", "schedule"), Record()
    both = [list(run.regularizers), list(run.augmentations)]
    both[0].insert(0, partial(other_everywhere, record=others))
    both[1].insert(0, partial(other_images, record=others))
    crowded = replace(run, regularizers=both[0], augmentations=both[1])

    alone = trained(tmp_path, run, probes="last")
    together = trained(tmp_path, crowded, probes=("first", "last")[at])

    for what in ("made", "augmentation made", "batch stage", "augmentation", "weight"):
        check_same(alone, together, at_least=what)
    assert others.numbers["made"] != together.numbers["made"]
    assert others.numbers["augmentation"] != together.numbers["augmentation"]


def test_gates_differ_between_components_sites_numbers_and_steps(tmp_path):
    run = run_of("shake_shake", "regularizer")
    record = trained(tmp_path, run, probes="last")

    gates = [value for name, value in record.numbers.items() if name.startswith("gate")]
    real = [
        value
        for value in gates
        if len(set(torch.frombuffer(bytearray(value), dtype=torch.float32).tolist())) > 2
    ]
    assert len(gates) == 2 * 2 * (2 + 2)  # steps, blocks, of shake_shake and of the probe
    assert len(set(real)) == len(real) == 2 * 2 * 3


def test_sites_of_one_number_still_have_gates_of_their_own():
    port = ResidualPort([create("stochastic_depth", per="sample")])
    careless = nn.ModuleList(port(nn.Identity, Site(1, 2)) for _ in range(2))

    one, two = (draw.owner for draw in site_draws(careless))

    assert one != two


def test_first_weights_in_python_are_the_same_with_and_without_a_branch_module():
    def weights(*regularizers: Any) -> dict[str, Tensor]:
        torch.manual_seed(3)
        model = create_model("resnet8", regularizers=list(regularizers))
        names = (name.replace(".paths.0.", ".") for name in model.state_dict())
        return dict(zip(names, model.state_dict().values(), strict=True))

    plain, merged = weights(), weights("shake_shake", ProbeEverywhere(Record()))

    assert all(torch.equal(value, merged[name]) for name, value in plain.items())
    second = {name: value for name, value in merged.items() if ".paths.1." in name}
    kernels = [name for name in second if name.endswith("conv1.weight")]
    assert kernels
    assert not any(torch.equal(second[n], merged[n.replace(".paths.1.", ".")]) for n in kernels)


def test_two_networks_in_a_row_have_branch_modules_with_other_weights():
    torch.manual_seed(0)
    first, second = (create_model("resnet8", regularizers=["shake_shake"]) for _ in range(2))

    name = "blocks.0.0.residual.paths.1.conv1.weight"
    assert not torch.equal(first.state_dict()[name], second.state_dict()[name])
