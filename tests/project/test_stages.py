"""The page of the stages: its examples are a plugin, and act where it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cifarzoo.cli.app import app
from cifarzoo.components.loading import import_components
from cifarzoo.components.plugins import catalogue
from cifarzoo.protocols import STAGES, acting_stages
from tests.project.test_documents import BLOCK, ROOT, SMALL

PAGE = (ROOT / "docs" / "stages.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
NAMES = {
    stage: re.search(r"class (\w+)\(Regularizer\)", text)[1] for stage, text in SECTIONS.items()
}


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """All examples of the page as one file."""
    path = tmp_path / "stages.py"
    path.write_text("\n\n".join(text for language, _, text in BLOCK.findall(PAGE)))
    return path


def test_every_stage_has_a_section_whose_example_acts_in_it_alone(plugin):
    entries = catalogue([plugin]).entries
    factories = import_components(entries[name] for name in NAMES.values())

    assert tuple(SECTIONS) == STAGES
    for stage, name in NAMES.items():
        assert acting_stages(factories[name]()) == [stage]


def trained(regularizers: list[str], plugin: Path, folder: Path) -> dict[str, Any]:
    """The record of two steps."""
    listed = ", ".join(f"@{name}" for name in regularizers)
    command = ["run", "quickstart.gin", "-p", str(plugin), *SMALL, "--run-dir", str(folder)]

    done = CliRunner().invoke(app, [*command, "-s", f"run.regularizers=[{listed}]"])

    assert done.exit_code == 0, done.output
    return json.loads((folder / "run.json").read_text())


def test_the_examples_train_together(plugin, tmp_path):
    record = trained([*NAMES.values()], plugin, tmp_path / "all")

    assert (record["status"], record["steps"]) == ("done", 2)


def test_each_example_changes_what_is_learned(plugin, tmp_path):
    lists = [[], *([name] for name in NAMES.values())]

    digests = {
        trained(names, plugin, tmp_path / "-".join(["run", *names]))["weights_sha256"]
        for names in lists
    }

    assert len(digests) == len(lists) == len(STAGES) + 1
