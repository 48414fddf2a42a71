"""What a config has for a parameter: what it sets, else the default that the source has."""

from __future__ import annotations

from pathlib import Path

import pytest

from cifarzoo.config import load
from cifarzoo.config.effective import effective
from cifarzoo.config.values import Reference
from tests.toy import BASE, PLUGIN, read


@pytest.mark.parametrize(
    ("name", "value", "is_default"),
    [
        ("run.epochs", 3, False),
        ("run.architecture", Reference("", "architecture.toy_net"), False),
        ("run.batch_size", 128, True),
        ("run.clip_norm", None, True),
        ("run.augmentations", (), True),
        ("architecture.toy_net.width", 5, False),
        ("architecture.toy_net.mode", "left", True),
        ("small/architecture.toy_net.drop", 0.0, True),
    ],
)
def test_a_value_is_what_is_set_or_the_default(
    name: str, value: object, is_default: bool, tmp_path: Path
):
    found = effective(read("toy_net.width = 5", tmp_path), name)

    assert found is not None
    assert (found.value, found.is_default) == (value, is_default)


@pytest.mark.parametrize(
    "name", ["run.nothing", "augmentation.toy_cut.size", "architecture.toy_net.num_classes"]
)
def test_what_the_run_has_no_value_for_is_none(name: str, tmp_path: Path):
    assert effective(read("", tmp_path), name) is None


def test_a_default_that_no_config_can_write_is_its_source(tmp_path: Path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "import math\nfrom cifarzoo import register\n@register.schedule\n"
        "def turning(*, angle: float = math.pi / 2): ...\n"
    )
    (tmp_path / "c.gin").write_text(BASE.replace("toy_flat", "turning"))

    found = effective(load(tmp_path / "c.gin", plugins=[PLUGIN, plugin]), "schedule.turning.angle")

    assert found is not None
    assert (found.source, found.is_default) == ("math.pi / 2", True)
