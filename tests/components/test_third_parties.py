"""The plugins in ``plugins/``: installed or named as a stranger's are, and right."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms.v2.functional import rgb_to_grayscale

from cifarzoo.api.creation import create, create_model
from cifarzoo.components.code import code_digest
from cifarzoo.components.loading import import_components
from cifarzoo.components.plugins import catalogue, plugin_provenance
from cifarzoo.components.registry import register
from cifarzoo.config import load as load_config
from cifarzoo.errors import ConfigError, ConfigProblemsError
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.keys import generator
from cifarzoo.testing import contract
from tests.installed import install_project

PLUGINS = Path(__file__).parents[2] / "plugins"
PACKAGE = PLUGINS / "cifarzoo-convmixer"
FILE = PLUGINS / "signum_jitter.py"
test_signum_keeps_its_contract = contract("signum", plugin=FILE)
test_residual_jitter_keeps_its_contract = contract("residual_jitter", plugin=FILE)


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package as pip would have installed it, and the file; both loaded."""
    install_project(PACKAGE, tmp_path, monkeypatch)
    entries = catalogue([FILE]).entries
    import_components(
        entries[name] for name in ("convmixer", "random_grayscale", "signum", "residual_jitter")
    )


# The package -----------------------------------------------------------------------------------


def test_the_package_and_its_recipe_work_once_installed():
    config = load_config(PACKAGE / "convmixer_glyphs.gin")

    assert {"convmixer", "random_grayscale"} <= {entry.name for entry in config.components()}
    [plugin] = plugin_provenance(config.components())
    assert plugin["origin"] == "cifarzoo-convmixer 0.1.0"
    assert plugin["sha256"] == code_digest(PACKAGE / "src/cifarzoo_convmixer")
    assert config.catalogue.broken == []
    run = pickle.loads(pickle.dumps(config.build()))
    assert run.architecture.keywords["width"] == 64


class Residual(nn.Module):
    def __init__(self, path: nn.Module) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.path(x) + x


def reference(width: int, depth: int, kernel_size: int, patch_size: int) -> nn.Module:
    """The paper's equations 1 to 3, written apart from the plugin."""

    def block(conv: nn.Module) -> list[nn.Module]:
        return [conv, nn.GELU(), nn.BatchNorm2d(width)]

    layers = block(nn.Conv2d(3, width, patch_size, patch_size))
    for _ in range(depth):
        depthwise = nn.Conv2d(width, width, kernel_size, padding=kernel_size // 2, groups=width)
        layers += [Residual(nn.Sequential(*block(depthwise)))]
        layers += block(nn.Conv2d(width, width, 1))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


@pytest.mark.parametrize("training", [False, True])
def test_convmixer_is_the_papers(training: bool):
    sizes = {"width": 12, "depth": 3, "kernel_size": 5, "patch_size": 2}
    torch.manual_seed(0)
    model, theirs = create_model("convmixer", **sizes), reference(**sizes)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), model.state_dict().values(), strict=True)))
    images = torch.randn(4, 3, 32, 32)

    ours = model.train(training)(images)

    torch.testing.assert_close(ours, theirs.train(training)(images))


def test_convmixer_has_the_size_of_the_authors_network_for_cifar():
    h, k, p = 256, 5, 2
    stem, head, norm = (3 * p * p + 1) * h, (h + 1) * 10, 2 * h
    block = (k * k + 1) * h + (h + 1) * h + 2 * norm

    with torch.device("meta"):
        model = create_model("convmixer")

    assert sum(p.numel() for p in model.parameters()) == stem + norm + 8 * block + head


def test_the_packages_preset_has_the_parameters_that_it_claims_and_fixes_its_sizes():
    entry = catalogue().entries["convmixer_256_8"]
    with torch.device("meta"):
        model = create_model("convmixer_256_8")

    assert entry.preset.num_parameters == sum(p.numel() for p in model.parameters())
    assert (entry.parameters, entry.origin) == ((), "cifarzoo-convmixer 0.1.0")
    sets = ["run.architecture=@convmixer_256_8", "convmixer_256_8.depth=3"]
    with pytest.raises(ConfigProblemsError, match=r"use @convmixer and convmixer.depth$"):
        load_config("quickstart.gin", sets=sets)


@pytest.mark.parametrize("regularizer", ["shake_shake", "stochastic_depth", "residual_jitter"])
def test_branch_regularizers_work_in_convmixer(regularizer: str):
    model = create_model("convmixer", width=8, depth=2, regularizers=[regularizer])
    images = torch.randn(64, 3, 32, 32)  # gates of all are the same twice once in 2 ** 64 tests

    assert not torch.equal(model(images), model(images))
    assert torch.equal(model.eval()(images), model(images))


def test_convmixer_refuses_sizes_that_are_none():
    with pytest.raises(ConfigError, match=r"^convmixer.depth is 0; expected at least 1$"):
        create_model("convmixer", depth=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_random_grayscale_is_torchvisions_of_the_drawn_images(dtype: torch.dtype):
    images = torch.randint(0, 256, (200, 3, 8, 8), dtype=torch.uint8).to(dtype)
    is_gray = BatchDraws(generator(0), 200).bernoulli(0.3)

    ours = create("random_grayscale", p=0.3)(images, BatchDraws(generator(0), 200))

    assert 0 < is_gray.sum() < 200
    assert torch.equal(ours[~is_gray], images[~is_gray])
    expected = rgb_to_grayscale(images[is_gray], num_output_channels=3)
    torch.testing.assert_close(
        ours[is_gray], expected, rtol=0, atol=1 if dtype is torch.uint8 else 1e-4
    )


def test_random_grayscale_refuses_what_is_no_probability():
    with pytest.raises(ConfigError, match=r"^random_grayscale.p is 2; expected 0 to 1$"):
        create("random_grayscale", p=2)


# The file --------------------------------------------------------------------------------------


def test_each_component_of_the_file_takes_less_than_40_lines():
    module = inspect.getmodule(register.components["signum"].factory)
    source = {name: len(inspect.getsourcelines(value)[0]) for name, value in vars(module).items()
              if getattr(value, "__module__", None) == module.__name__}  # fmt: skip

    assert source["Signum"] + source["signum"] < 40
    assert source["Jitter"] + source["ResidualJitter"] + source["residual_jitter"] < 40


def test_signum_is_the_papers_loop():
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(2, 5)), rng.normal(size=(4, 2, 5))
    weights = [torch.nn.Parameter(torch.tensor(w)) for w in start]
    groups: list[dict[str, Any]] = [
        {"params": weights[:1]},
        {"params": weights[1:], "weight_decay": 0.0},
    ]
    optimizer = create("signum", params=groups, lr=0.1, momentum=0.8, weight_decay=0.3)

    theta, momentum, decay = start, 0.0, np.array([[0.3], [0.0]])
    for gradient in gradients:
        for weight, g in zip(weights, gradient, strict=True):
            weight.grad = torch.tensor(g)
        optimizer.step()
        momentum = 0.8 * momentum + 0.2 * gradient
        theta = theta - 0.1 * (np.sign(momentum) + decay * theta)

    np.testing.assert_allclose(torch.stack([*weights]).detach(), theta, rtol=0, atol=1e-12)


def test_signum_goes_on_from_its_state_and_calls_its_closure():
    def steps(number: int, state: dict[str, Any] | None = None) -> tuple[Any, torch.Tensor]:
        weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        optimizer = create("signum", params=[{"params": [weight]}], lr=0.1)
        if state is not None:
            optimizer.load_state_dict(state)
        for _ in range(number):
            weight.grad = torch.tensor([1.0, -1.0])
            assert optimizer.step(lambda: 3.0) == 3.0
        return optimizer.state_dict(), weight

    state, _ = steps(3)
    again, _ = steps(2, state)

    assert torch.equal(again["state"][0]["momentum"], steps(5)[0]["state"][0]["momentum"])


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"lr": 0.0}, r"^signum.lr is 0.0; expected a number above 0$"),
        ({"momentum": 1.0}, r"^signum.momentum is 1.0; expected 0 to below 1$"),
    ],
)
def test_signum_refuses_what_is_out_of_range(parameters: dict[str, Any], problem: str):
    with pytest.raises(ConfigError, match=problem):
        create("signum", params=[torch.nn.Parameter(torch.zeros(1))], **parameters)


def test_residual_jitter_scales_each_sample_by_a_uniform_number_of_mean_one():
    from cifarzoo.engine.assembly.residual import ResidualPort
    from cifarzoo.protocols import Site

    n, strength = 20_000, 0.4
    torch.manual_seed(0)
    branch = ResidualPort([create("residual_jitter", strength=strength)])(nn.Identity, Site(1, 3))
    ones = torch.ones(n, 2, 1, 1)

    factors = branch(ones)

    assert torch.equal(branch.eval()(ones), ones)
    assert torch.equal(factors[:, 0], factors[:, 1])
    assert factors.min() >= 1 - strength
    assert factors.max() < 1 + strength
    sd = 2 * strength / 12**0.5  # of a uniform number
    assert abs(factors[:, 0].mean() - 1) < 4 * sd / n**0.5
    # the variance of the sample variance of a uniform number is sd**4 * (9/5 - 1) / n
    assert abs(factors[:, 0].var() - sd**2) < 4 * sd**2 * (0.8 / n) ** 0.5


def test_residual_jitter_refuses_a_strength_out_of_range():
    with pytest.raises(ConfigError, match=r"^residual_jitter.strength is 1.5; expected 0 to 1$"):
        create("residual_jitter", strength=1.5)
