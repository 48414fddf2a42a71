"""Patterns of names mean the names that they stand for, and no others."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from cifarzoo.cli.app import app
from cifarzoo.cli.selection import by_number
from cifarzoo.cli.terminal.patterns import listed, starred


def test_names_that_differ_in_numbers_alone_are_one():
    names = ["stem.bias", "blocks.0.conv1.bias", "blocks.0.conv2.bias", "blocks.10.conv1.bias"]
    assert starred(names, []) == {"stem.bias": 1, "blocks.*.conv*.bias": 3}


def test_a_star_never_means_a_name_of_the_others():
    names, others = ["0.weight", "3.weight", "3.bias", "4.bias"], ["1.weight"]
    assert starred(names, others) == {"0.weight": 1, "3.weight": 1, "*.bias": 2}


def test_a_name_that_stands_alone_keeps_its_number():
    assert listed(["blocks.7.token", "head.bias"], []) == "blocks.7.token, head.bias"


def test_a_long_list_says_how_many_are_left_out():
    names = [f"{chr(ord('a') + i)}.bias" for i in range(15)]
    assert listed(names, []).endswith("k.bias, l.bias, and 3 more, see --json")


def show(*command: str, columns: int | None = None) -> str:
    env = {} if columns is None else {"COLUMNS": str(columns)}
    result = CliRunner().invoke(app, ["show", *command], env=env)
    assert result.exit_code == 0, result.output
    return result.stdout


def stands_for(pattern: str, name: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", r"\d+"), name) is not None


@pytest.mark.parametrize(
    "command",
    [
        ("wrn26_10.gin",),
        ("pyramid.gin", "-s", "run.weight_decay_policy='kernels'"),
        ("airbench94.gin", "-s", "run.weight_decay_policy='no_norm_bias'"),
    ],
    ids=lambda command: command[0],
)
def test_show_says_which_tensors_are_decayed_and_which_are_not(command):
    lines = show(*command).splitlines()
    decay = json.loads(show(*command, "--json"))["weight_decay"]
    every = decay["covered"]["names"] + decay["not_covered"]["names"]
    for label, part in (("# decayed", "covered"), ("# not decayed", "not_covered")):
        (place,) = [i for i, line in enumerate(lines) if line.startswith(label)]
        patterns = re.sub(r" \(\d+\)", "", lines[place + 1].removeprefix("#")).strip().split(", ")
        meant = [name for name in every if any(stands_for(p, name) for p in patterns)]
        assert meant == [name for name in every if name in decay[part]["names"]]
        assert f" {decay[part]['tensors']} tensor" in lines[place]


def test_where_all_is_decayed_no_names_are_needed():
    assert "stem.conv.weight" not in show("resnet20.gin")


def test_what_show_says_of_a_config_stays_a_comment_on_a_narrow_terminal():
    lines = show("wrn26_10.gin", columns=50).splitlines()
    facts = lines[len(lines) - lines[::-1].index("") :]
    assert all(line.startswith("#") and len(line) <= 50 for line in facts)


def test_numbers_in_names_are_in_their_order():
    names = ["resnet110", "resnet20", "resnet", "wrn26_10", "wrn26_2", "densenet40_k12", "dla"]
    ordered = ["densenet40_k12", "dla", "resnet", "resnet20", "resnet110", "wrn26_2", "wrn26_10"]
    assert sorted(names, key=by_number) == ordered
