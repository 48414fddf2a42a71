"""The config in a run's folder is one like others: it knows the plugins that lie beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import PLUGIN
from tests.cli.small_run import CONFIG, result_of
from tests.command import invoke, refuse, succeed


@pytest.fixture
def run(here: Path, plugin: Path) -> Path:
    """The folder of a run of a plugin, which itself is gone."""
    text = CONFIG.replace("@cosine", "@sawtooth") + "sawtooth.teeth = 3\nrun.max_steps = 1\n"
    (here / "small.gin").write_text(text)
    result_of("run", "small.gin", "-p", plugin.name, "--run-dir", "runs/mine")
    plugin.unlink()
    return Path("runs/mine")


@pytest.mark.parametrize("file", ["config.gin", "resolved.gin"])
def test_it_is_checked_shown_and_run(run, file):
    assert succeed("check", run / file).startswith(f"{run / file}: fine (")
    shown = invoke("show", run / file)
    assert (shown.exit_code, "sawtooth.teeth" in shown.stdout) == (0, True), shown.stderr
    again = invoke("run", run / file, "--json")

    old, new = (
        json.loads((each / "run.json").read_text())
        for each in (run, Path(json.loads(again.stdout.splitlines()[-1])["run"]))
    )
    assert old["weights_sha256"] == new["weights_sha256"]
    assert (old["config"], new["config"]) == ("small", "small")
    digest = old["plugins"][0]["sha256"]
    note = f"runs the run's own copy runs/mine/plugins/teeth.py (SHA-256 {digest[:12]}…)"
    assert shown.stderr.startswith(note)
    assert again.stderr.startswith(note)


def test_one_that_is_named_takes_the_place_of_the_copy(run, here):
    (here / "teeth.py").write_text(PLUGIN.replace("moment.progress", "2 * moment.progress"))

    shown = invoke("show", run / "config.gin", "-p", "teeth.py", "--json")

    assert shown.exit_code == 0
    assert "own copy" not in shown.stderr
    said = invoke("run", run / "config.gin", "-p", "teeth.py", "--run-dir", run)
    assert said.exit_code == 2
    assert "other plugin code: teeth.py has SHA-256" in said.stderr


def test_plugins_beside_a_config_of_no_run_are_not_taken(run):
    (run / "run.json").unlink()

    assert "no component 'schedule.sawtooth'" in refuse("check", run / "config.gin")
