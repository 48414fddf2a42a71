"""``create`` and ``create_model``: components by name, and refusals that a reader understands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cifarzoo import create, create_model
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Timestamp
from cifarzoo.zoo.regularizers.batch.mixup import mixup
from cifarzoo.zoo.schedules.cosine import cosine


def test_a_component_is_what_its_factory_makes():
    at = Timestamp(30, 10, 100)

    assert create("cosine", warmup_epochs=5)(at) == cosine(warmup_epochs=5)(at)
    assert create.schedule("cosine", final=0.5)(at) == cosine(final=0.5)(at)
    assert create.regularizer("mixup", alpha=np.float64(0.3)) == mixup(alpha=0.3)


def test_an_optimizer_takes_its_parameters_too():
    weight = torch.nn.Parameter(torch.ones(2))

    optimizer = create.optimizer("sgd", params=[weight], lr=0.5)

    assert optimizer.param_groups[0]["params"] == [weight]


REFUSED: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "name": ("cosin", {}, ConfigError, r"^no component 'cosin'; did you mean cosine\?$"),
    "no text": (3, {}, TypeError, r"^the name is 3; expected a text such as 'cosine'$"),
    "far name": ("qqq", {}, ConfigError, r"^no component 'qqq'; cifarzoo ls lists them$"),
    "parameter": (
        "cosine",
        {"warmup": 5},
        TypeError,
        r"^cosine has no parameter 'warmup'; did you mean warmup_epochs\?$",
    ),
    "far parameter": ("ema", {"q": 5}, TypeError, r"^ema has no parameter 'q'; it has "),
    "type": (
        "cosine",
        {"warmup_epochs": "5"},
        TypeError,
        r"^cosine.warmup_epochs is '5'; expected a number$",
    ),
    "types": (
        "pad_crop",
        {"padding": 1.5, "mode": "wrap"},
        TypeError,
        r"^pad_crop.padding is 1.5; expected a whole number; pad_crop.mode is 'wrap'; expected 're",
    ),
    "range": ("cosine", {"warmup_epochs": -1}, ConfigError, r"^cosine.warmup_epochs is -1; exp"),
    "engine's": (
        "sgd",
        {"lr": 0.1},
        TypeError,
        r"^sgd needs params; in a run the engine gives params$",
    ),
    "architecture": (
        "wrn26_10",
        {},
        ConfigError,
        r"^'wrn26_10' is an architecture; make it by create_model\('wrn26_10'\)$",
    ),
}


@pytest.mark.parametrize(("name", "parameters", "kind", "message"), REFUSED.values(), ids=REFUSED)
def test_what_create_refuses_is_said_in_words(name, parameters, kind, message):
    with pytest.raises(kind, match=message):
        create(name, **parameters)


BY_PLACE: dict[str, tuple[Callable[[], Any], str]] = {
    "create": (lambda: create("mixup", 0.2), r"as create\('mixup', alpha=0\.2\)$"),
    "a kind": (
        lambda: create.schedule("cosine", 5),
        r"^cosine takes its parameters by name; as create\.schedule\('cosine', warmup_epochs=5\)$",
    ),
    "a kind without a type": (
        lambda: create.loss("cross_entropy", 1),
        r"^cross_entropy takes its parameters by name; it has none$",
    ),
    "too many": (lambda: create("mixup", 0.2, "batch", 3), r"by name; it has alpha, per$"),
    "the engine's": (
        lambda: create.optimizer("sgd", [], 0.1),
        r"as create\.optimizer\('sgd', params=\[\], lr=0\.1\)$",
    ),
    "a network": (
        lambda: create_model("resnet8", 3),
        r"^resnet8 takes its parameters by name; as create_model\('resnet8', width=3\)$",
    ),
}


@pytest.mark.parametrize(("make", "message"), BY_PLACE.values(), ids=BY_PLACE)
def test_values_without_names_are_refused_with_their_names(make: Callable[[], Any], message: str):
    with pytest.raises(TypeError, match=message):
        make()


def test_one_regularizer_is_taken_as_a_list_of_one():
    in_list = create_model("resnet20", regularizers=["shake_shake"])

    for one in ("shake_shake", create.regularizer("shake_shake")):
        assert str(create_model("resnet20", regularizers=one)) == str(in_list)
    assert str(create_model("resnet20")) != str(in_list)


def test_a_component_of_another_kind_is_refused():
    with pytest.raises(ConfigError, match=r"^'flip' is an augmentation; expected a schedule$"):
        create.schedule("flip")
    with pytest.raises(AttributeError, match=r"^create makes no 'shedule'; did you mean schedule"):
        create.shedule  # noqa: B018
    with pytest.raises(AttributeError, match=r"^create makes no 'architecture'; the kinds are "):
        create.architecture  # noqa: B018


REFUSED_MODELS: dict[str, tuple[str, dict[str, Any], type[Exception], str]] = {
    "name": (
        "resnt20",
        {},
        ConfigError,
        r"^no architecture 'resnt20'; did you mean resnet20\?$",
    ),
    "kind": ("cosine", {}, ConfigError, r"^'cosine' is a schedule; expected an architecture$"),
    "parameter": (
        "resnet",
        {"depht": 8},
        TypeError,
        r"^resnet has no parameter 'depht'; did you mean depth\?$",
    ),
    "engine's": ("resnet8", {"residual": 3}, TypeError, r"has no parameter 'residual'"),
    "type": ("resnet", {"depth": "8"}, TypeError, r"^resnet.depth is '8'; expected a whole num"),
    "classes": (
        "resnet8",
        {"num_classes": "3"},
        TypeError,
        r"^num_classes is '3'; expected a whole number of at least 1$",
    ),
    "no list": (
        "resnet8",
        {"regularizers": {"mixup": 1}},
        TypeError,
        r"^regularizers is \{'mixup': 1\}; expected a list of regularizers, or of their names$",
    ),
    "None": ("resnet8", {"regularizers": None}, TypeError, r"^regularizers is None; expected a"),
    "near its own": ("resnet8", {"widht": 3}, TypeError, r"no parameter 'widht'; did you mean wid"),
    "near create_model's": (
        "resnet8",
        {"num_clases": 3},
        TypeError,
        r"^resnet8 has no parameter 'num_clases'; did you mean num_classes\?$",
    ),
    "no regularizer": (
        "resnet8",
        {"regularizers": ["stochastic_depth", 3]},
        TypeError,
        r"^regularizers\[1\] is 3; expected a Regularizer, or the name of one$",
    ),
    "regularizer's name": (
        "resnet8",
        {"regularizers": ["shake_shak"]},
        ConfigError,
        r"^no regularizer 'shake_shak'; did you mean shake_shake\?$",
    ),
}


@pytest.mark.parametrize(
    ("name", "parameters", "kind", "message"), REFUSED_MODELS.values(), ids=REFUSED_MODELS
)
def test_what_create_model_refuses_is_said_in_words(name, parameters, kind, message):
    with pytest.raises(kind, match=message):
        create_model(name, **parameters)


def test_a_network_is_made_with_its_classes_and_regularizers():
    model = create_model("resnet", depth=8, num_classes=7, regularizers=["stochastic_depth"])
    images = torch.rand(64, 3, 32, 32)

    assert model(images).shape == (64, 7)
    # The likeliest gates have probability 0.28, and 20 passes the same ones 0.28 ** 19 = 3e-11.
    assert len({model(images).sum().item() for _ in range(20)}) > 1
