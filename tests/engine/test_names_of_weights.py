"""Weights have the plain network's names, whichever regularizers act in its blocks."""

from __future__ import annotations

import copy
import hashlib
import shutil
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import cifarzoo
from cifarzoo.engine.runner import execute
from cifarzoo.protocols import Average, Regularizer, Site
from cifarzoo.zoo.regularizers.average.ema import ema
from cifarzoo.zoo.regularizers.branch.stochastic_depth import stochastic_depth
from tests.engine.test_checkpoint import rewrite_manifest

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Scale(nn.Module):
    """A branch module with a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, residual: Tensor) -> Tensor:
        return residual * self.gain


class Scaled(Regularizer):
    """Scales each residual by a weight."""

    def branch(self, _site: Site) -> nn.Module:
        return Scale()


class Swa(Regularizer):
    """Averages as torch does."""

    def average(self, model: nn.Module) -> Average:
        return AveragedModel(model)


def resnet(*regularizers: Any) -> nn.Module:
    torch.manual_seed(0)
    return cifarzoo.create_model("resnet8", regularizers=regularizers).eval()


def long_names(model: nn.Module) -> dict[str, Tensor]:
    """As an older cifarzoo saved them."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


@pytest.mark.parametrize("droppers", [["stochastic_depth"], ["stochastic_depth", "shake_drop"]])
def test_what_was_trained_with_droppers_is_loaded_without_and_the_other_way_round(droppers):
    plain, dropping = resnet(), resnet(*droppers)
    nn.init.normal_(dropping.head.weight)
    copied = copy.deepcopy(dropping)

    assert [*dropping.state_dict()] == [*plain.state_dict()] == [*copied.state_dict()]
    plain.load_state_dict(dropping.state_dict())
    again = resnet(*droppers)
    again.load_state_dict(plain.state_dict())

    assert torch.equal(again(IMAGES), dropping(IMAGES))
    for ours, theirs in zip(plain.parameters(), dropping.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_names_of_an_older_cifarzoo_are_loaded():
    dropping, again = resnet("stochastic_depth"), resnet("stochastic_depth")
    nn.init.normal_(dropping.head.weight)
    assert any(".paths.0." in name for name in long_names(dropping))

    again.load_state_dict(long_names(dropping))

    assert torch.equal(again(IMAGES), dropping(IMAGES))


def test_weights_of_a_branch_and_of_merged_paths_have_names_of_their_own():
    plain, scaled = resnet(), resnet(Scaled())
    merged = cifarzoo.create_model("resnet8", regularizers=["shake_shake"])

    own = scaled.state_dict().keys() - plain.state_dict().keys()

    assert own == {f"blocks.{group}.0.residual.stages.0.gain" for group in range(3)}
    assert any(".residual.paths.1." in name for name in merged.state_dict())
    with pytest.raises(RuntimeError, match=r"Unexpected key.*residual\.stages\.0\.gain"):
        plain.load_state_dict(scaled.state_dict())


@pytest.mark.parametrize("average", [partial(ema, decay=0.5), Swa], ids=["ema", "torch's"])
def test_checkpoints_have_plain_names_whoever_averages(task, average):
    def saved(name: str, *regularizers: Any) -> dict[str, Any]:
        done = task(name, regularizers=[*regularizers], max_steps=2)
        execute(done)
        path = done.open_folder().checkpoints / "step-00000002" / "state.pt"
        state: dict[str, Any] = torch.load(path, weights_only=True)
        return state

    plain, both = saved("plain"), saved("both", stochastic_depth, average)

    assert both["model"].keys() == plain["model"].keys()
    assert both["averaged"].keys() == plain["model"].keys()
    assert plain["averaged"] is None


def test_a_checkpoint_of_the_first_format_is_resumed_from(task):
    settings: dict[str, Any] = {"regularizers": [stochastic_depth, partial(ema, decay=0.5)]}
    whole = execute(task("whole", **settings, max_steps=4))
    done = task("older", **settings, max_steps=4, checkpoint_steps=2)
    execute(done)
    folder = done.open_folder()
    step = folder.checkpoints / "step-00000002"
    state = torch.load(step / "state.pt", weights_only=True)
    model = older_names(state["model"])
    average = {**state["average"], "module": older_names(state["average"]["module"])}
    older = {name: value for name, value in state.items() if name != "averaged"}
    torch.save({**older, "model": model, "average": average}, step / "state.pt")
    data = (step / "state.pt").read_bytes()
    files = {"state.pt": {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}}
    rewrite_manifest(step, format=1, files=files)
    shutil.rmtree(folder.checkpoints / "step-00000004")
    folder.update(status="stopped")

    assert execute(done).weights_sha256 == whole.weights_sha256


def older_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dict of a ``tiny_net`` with a dropper by the names of format 1."""
    return {
        f"blocks.{name[7]}.paths.0.{name[9:]}" if name.startswith("blocks.") else name: tensor
        for name, tensor in state.items()
    }
