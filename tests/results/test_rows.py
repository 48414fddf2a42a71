"""Every row of the published tables that has a recipe can be run, as its source describes it."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest

from cifarzoo import config
from cifarzoo.engine.assembly.build import build
from cifarzoo.results import tables

ROWS = {
    row.path: row for table in tables.tables().values() for row in table.rows.values() if row.recipe
}
# Parameters of rows whose settings make another network than their recipe: in millions, as the
# source prints them, or counted in the networks of its code.
PARAMETERS: dict[str, str | int] = {
    "akamaster/resnet32": "0.46",
    "akamaster/resnet44": "0.66",
    "akamaster/resnet56": "0.85",
    "akamaster/resnet110": "1.7",
    "cutmix/resnet110_cutmix": 1_170_868,
    "densenet/densenet100_k12": "7.0",
    "densenet/densenet100_k24_plain": "27.2",
    "hysts/resnext29_8x64d": 34_426_698,
    "hysts_units/relu": 855_578,
    "hysts_units/plain": 855_578,
    "hysts_units/relu_norm": 857_594,
    "hysts_units/norm": 857_594,
    "hysts_units/norm_shared": 857_594,
    "kuangliu/resnet50": 23_520_842,
    "kuangliu/resnet101": 42_512_970,
    "kuangliu/resnext29_32x4d": 4_774_218,
    "kuangliu/dla": 16_291_386,
    "mmpretrain/resnet34": "21.28",
    "mmpretrain/resnet50": "23.52",
    "mmpretrain/resnet101": "42.51",
    "mmpretrain/resnet152": "58.16",
    "mmpretrain/resnet50_cifar100": "23.71",
    "preact_resnet/preact1001": 10_327_706,
    "resnext/resnext29_16x64d": "68.16",  # by bearpaw/pytorch-classification
    "swa/preact110": 1_146_842,
}


@cache
def loaded(path: str) -> config.Config:
    return config.load(ROWS[path].recipe, sets=ROWS[path].sets)


def value(path: str, name: str) -> Any:
    """What a row's config sets a parameter to; None: nothing."""
    bound = loaded(path).bindings.get(name)
    return bound and bound.value


@pytest.mark.parametrize("path", ROWS)
def test_a_row_is_run_on_its_dataset_for_as_many_epochs_as_were_published(path):
    of_kind = {entry.kind: entry.name for entry in loaded(path).components()}
    assert of_kind["dataset"] == ROWS[path].dataset
    epochs, batch_size, max_steps = (
        value(path, f"run.{name}") for name in ("epochs", "batch_size", "max_steps")
    )
    if max_steps:
        epochs = max_steps / (50_000 // batch_size)
    assert ROWS[path].epochs == pytest.approx(epochs, abs=0.05)


@pytest.mark.parametrize("path", PARAMETERS)
def test_the_network_of_a_row_has_the_parameters_of_its_sources(path):
    network = build(loaded(path).build(), folder=None, device="meta").model
    found = sum(parameter.numel() for parameter in network.parameters())
    published = PARAMETERS[path]
    if isinstance(published, str):
        digits = len(published.partition(".")[2])
        assert f"{found / 1e6:.{digits}f}" == published
    else:
        assert found == published


BATCHES = re.compile(r"hysts_batches/batch(\d+)_(?:ghost(\d+)_)?lr(\d+_\d+)_cosine")


@pytest.mark.parametrize("path", [path for path in ROWS if path.startswith("hysts_batches/")])
def test_a_row_of_the_study_of_batch_sizes_has_the_sizes_and_the_rate_of_its_name(path):
    size, group, rate = BATCHES.match(path).groups()
    assert value(path, "run.batch_size") == int(size)
    assert value(path, "run.bn_group_size") == (group and int(group))
    assert value(path, "optimizer.sgd.lr") == float(rate.replace("_", "."))
