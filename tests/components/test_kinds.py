"""The table of kinds and what it promises: nothing else has to name a kind."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields

import pytest
from typer.testing import CliRunner

import cifarzoo.protocols
from cifarzoo.cli.app import app
from cifarzoo.cli.completion import kinds_and_components
from cifarzoo.components.kinds import KINDS, Kind
from cifarzoo.components.plugins import catalogue
from cifarzoo.components.run import Run
from cifarzoo.config import from_text, load

HELD_BY_RUN = [kind for kind in KINDS.values() if kind.run_field is not None]


@pytest.mark.parametrize("kind", HELD_BY_RUN, ids=lambda kind: kind.name)
def test_run_has_a_field_for_each_kind(kind: Kind):
    [field] = [field for field in fields(Run) if field.name == kind.run_field]

    assert kind.alias in str(field.type)
    assert str(field.type).startswith("Sequence[") == kind.is_list
    may_be_left_out = kind.is_list or kind.default is not None
    assert (field.default is not MISSING) == may_be_left_out


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_is_listed_completed_and_exported(kind: Kind):
    listed = CliRunner().invoke(app, ["ls", kind.plural, "--json"])

    assert {item["kind"] for item in json.loads(listed.stdout)} == {kind.name}
    assert (kind.plural, f"every {kind.name}") in kinds_and_components(kind.plural)
    assert kind.alias in cifarzoo.protocols.__all__
    assert kind.default is None or catalogue().entries[kind.default].kind == kind.name


def test_a_default_leaves_a_config_as_it_was_and_can_be_named():
    unset = load("quickstart.gin")
    named = load("quickstart.gin", sets=["run.loss=@cross_entropy"])

    assert "loss" not in unset.text()
    assert unset.build().loss is None
    assert named.text() == unset.text().replace(
        "run.optimizer", "run.loss = @loss.cross_entropy\nrun.optimizer"
    )
    assert from_text(named.text()).build().loss.func.__name__ == "cross_entropy"
