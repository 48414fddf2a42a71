"""Networks of other libraries through the bridges: theirs in size, and ours where both have one."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from pytorchcv.model_provider import get_model
from torch import nn

from cifarzoo import create_model
from cifarzoo.components.loading import import_components
from cifarzoo.components.plugins import catalogue
from cifarzoo.config import load as load_config
from cifarzoo.errors import ConfigError
from tests.installed import install_project

PACKAGE = Path(__file__).parents[2] / "plugins" / "cifarzoo-bridges"
K = 10
# Networks that pytorchcv and cifarzoo have: its name, ours, our settings, our regularizers.
BOTH = [
    ("resnet20_cifar10", "resnet20", {"shortcut": "conv1x1"}, []),
    ("preresnet164bn_cifar10", "preact_resnet164", {"shortcut_input": "preactivated"}, []),
    ("wrn28_10_cifar10", "wrn28_10", {}, []),
    ("densenet100_k12_bc_cifar10", "densenet100_k12", {}, []),
    ("resnext29_32x4d_cifar10", "resnext29_32x4d", {}, []),
    ("resnext29_16x64d_cifar10", "resnext29_16x64d", {}, []),
    ("pyramidnet110_a84_cifar10", "pyramid110_a84", {}, []),
    ("shakeshakeresnet26_2x32d_cifar10", "shake26_2x32d", {}, ["shake_shake"]),
]


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package as pip would have installed it."""
    install_project(PACKAGE, tmp_path, monkeypatch)
    entries = catalogue().entries
    import_components(
        entries[name] for name in ("torchvision_model", "timm_model", "pytorchcv_model")
    )


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def logits(model: nn.Module, side: int = 32) -> torch.Tensor:
    torch.manual_seed(0)
    return model.eval()(torch.randn(2, 3, side, side))


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mobilenet_v3_small", "googlenet"])
def test_networks_of_torchvision_are_its_own_but_for_their_stem(name):
    settings = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    theirs = torchvision.models.get_model(name, num_classes=K, **settings)
    whole = create_model("torchvision_model", name=name, small_stem=False, settings=settings)
    assert count(whole) == count(theirs)
    whole.load_state_dict(theirs.state_dict())
    assert torch.equal(logits(whole, 64), logits(theirs, 64))

    small = create_model("torchvision_model", name=name, settings=settings)
    convs = [m for m in small.modules() if isinstance(m, nn.Conv2d)]
    assert convs[0].stride == (1, 1)
    assert logits(small).shape == (2, K)


def test_a_resnet_of_torchvision_with_a_small_stem_is_ours():
    theirs, ours = create_model("torchvision_model", name="resnet18"), create_model("resnet18")
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        mine.data.copy_(its)
    torch.testing.assert_close(logits(ours), logits(theirs))


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "vit_tiny_patch16_224", "nfnet_f0"])
def test_networks_of_timm_are_its_own_but_for_their_stem(name):
    with torch.device("meta"):
        theirs = timm.create_model(name, num_classes=K)
        whole = create_model("timm_model", name=name, small_stem=False, image_shape=(3, 224, 224))
    assert count(whole) == count(theirs)


def test_a_resnet_of_timm_with_a_small_stem_is_ours():
    theirs, ours = create_model("timm_model", name="resnet18"), create_model("resnet18")
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        mine.data.copy_(its)
    torch.testing.assert_close(logits(ours), logits(theirs))


def test_timm_has_other_sizes_drop_path_and_settings():
    model = create_model(
        "timm_model",
        name="vit_tiny_patch16_224",
        drop_path_rate=0.1,
        settings={"patch_size": 4, "depth": 2},
    )
    assert logits(model).shape == (2, K)
    assert model.patch_embed.num_patches == 64
    rates = [m.drop_prob for m in model.modules() if type(m).__name__ == "DropPath"]
    assert max(rates) == pytest.approx(0.1)


@pytest.mark.parametrize(("theirs", "ours", "settings", "regularizers"), BOTH)
def test_networks_that_pytorchcv_has_too_are_of_one_size(theirs, ours, settings, regularizers):
    with torch.device("meta"):
        bridged = create_model("pytorchcv_model", name=theirs)
        mine = create_model(ours, regularizers=regularizers, **settings)
        assert count(bridged) == count(get_model(theirs, pretrained=False)) == count(mine)


@pytest.mark.parametrize(
    ("theirs", "ours", "settings", "regularizers"),
    # Its shake-shake network has a ReLU behind each block, where the author's code has one before.
    [row for row in BOTH if "16x64" not in row[0] and "shake" not in row[0]],
)
def test_they_give_the_same_with_the_same_weights(theirs, ours, settings, regularizers):
    if theirs == "wrn28_10_cifar10":
        theirs, ours, settings = (
            "wrn16_10_cifar10",
            "wide_resnet",
            {
                "blocks_per_group": 2,
                "variant": "paper",
            },
        )
    bridged = create_model("pytorchcv_model", name=theirs)
    mine = create_model(ours, regularizers=regularizers, **settings)
    paired(mine, bridged)
    torch.testing.assert_close(logits(mine), logits(bridged), rtol=1e-4, atol=1e-4)


def paired(mine: nn.Module, theirs: nn.Module) -> None:
    """Give both the same weights: what is of one shape, in the order in which it is used."""
    order = used(theirs)
    for ours, its in zip(used(mine), order, strict=True):
        assert ours.weight.shape == its.weight.shape
        nn.init.normal_(its.weight, 1.0 if its.weight.ndim == 1 else 0.0, 0.05)
        ours.weight.data.copy_(its.weight)
        if its.bias is not None:
            nn.init.normal_(its.bias, 0.0, 0.05)
            ours.bias.data.copy_(its.bias)


def used(model: nn.Module) -> list[nn.Module]:
    """Modules with a weight: by kind and size, shortcuts apart, then as a pass comes to them."""
    found: list[tuple[bool, nn.Module]] = []
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    handles = []
    for name, module in model.named_modules():
        is_shortcut = "shortcut" in name or "identity" in name
        if isinstance(module, kinds):
            note = partial(lambda pair, *_: found.append(pair), (is_shortcut, module))
            handles.append(module.register_forward_hook(note))
    logits(model)
    for handle in handles:
        handle.remove()
    found.sort(key=lambda pair: (pair[1].weight.ndim, pair[1].weight.shape, pair[0]))
    return [module for _, module in found]


def test_weights_of_a_file_are_loaded_and_others_refused(tmp_path):
    theirs = get_model("resnet20_cifar10", pretrained=False)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    loaded = create_model(
        "pytorchcv_model", name="resnet20_cifar10", weights=tmp_path / "theirs.pth"
    )
    assert torch.equal(logits(loaded), logits(theirs))
    with pytest.raises(ConfigError, match=r"pytorchcv_model.weights can't be loaded: Error"):
        create_model("pytorchcv_model", name="resnet56_cifar10", weights=tmp_path / "theirs.pth")
    with pytest.raises(ConfigError, match=r"can't be loaded: .*No such file"):
        create_model("pytorchcv_model", name="resnet56_cifar10", weights=tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("bridge", "settings", "message"),
    [
        (
            "torchvision_model",
            {"name": "resnet19"},
            r"'resnet19', which torchvision does.*d",
        ),
        ("timm_model", {"name": "resnet19"}, "name is 'resnet19', which timm doesn't have; did yo"),
        ("pytorchcv_model", {"name": "none"}, "name is 'none', which pytorchcv doesn't have"),
        ("torchvision_model", {"name": "resnet18", "settings": {"num_classes": 3}}, "given by cif"),
        (
            "timm_model",
            {"name": "resnet18", "settings": {"depth": 3}},
            "is refused by timm",
        ),
        ("timm_model", {"name": "resnet18", "drop_path_rate": 1.0}, "drop_path_rate is 1.0; expec"),
    ],
)
def test_what_a_library_does_not_have_is_refused_in_words(bridge, settings, message):
    with pytest.raises(ConfigError, match=message):
        create_model(bridge, **settings)


@pytest.mark.parametrize("library", ["timm", "pytorchcv"])
def test_a_library_that_is_not_installed_is_named(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"{library}.model_provider", raising=False)
    with pytest.raises(ConfigError, match=f"needs {library}; pip install {library}"):
        create_model(f"{library}_model", name="resnet18")


def test_the_recipe_is_whole():
    config = load_config(PACKAGE / "torchvision_glyphs.gin")
    assert "torchvision_model" in {entry.name for entry in config.components()}
