"""What a checked config is: its text, its digest, where things were set, and the run it builds."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cifarzoo.config import from_text
from cifarzoo.config.effective import digest
from cifarzoo.errors import ConfigError, ConfigProblemsError
from tests.toy import BASE, PLUGIN, problems, read

TEXT = """\
architecture.toy_net.drop = 0.5
architecture.toy_net.width = 3
run.architecture = @architecture.toy_net
run.augmentations = [@small/augmentation.toy_cut, @augmentation.toy_cut]
run.dataset = @dataset.toy_data
run.epochs = 3
run.optimizer = @optimizer.toy_sgd
run.schedule = @schedule.toy_flat
small/augmentation.toy_cut.size = 9
"""
LINES = """\
toy_net:
  width = %WIDTH
  drop = .5
WIDTH = 0x3
include 'shared.gin'
run.augmentations = [@small/toy_cut, @augmentation.toy_cut]
small/toy_cut.size = 9
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shared.gin").write_text("toy_steps.milestones = [1]\ntoy_net.width = 7\n")
    return tmp_path


def test_the_text_is_flat_sorted_whole_and_only_what_is_used(folder: Path):
    lines = LINES.replace("include 'shared.gin'\n", "")

    assert read("include 'shared.gin'\n" + lines, folder).text() == TEXT


def test_a_text_is_its_own_text(folder: Path):
    again = from_text(TEXT, plugins=[PLUGIN])

    assert again.text() == TEXT
    assert again.name == "config"
    assert again.plugins == (PLUGIN,)


def test_configs_that_mean_the_same_have_one_digest(folder: Path):
    expected = digest(from_text(TEXT, plugins=[PLUGIN]))
    shuffled = "".join(sorted(TEXT.splitlines(keepends=True), reverse=True))

    assert digest(from_text(shuffled, plugins=[PLUGIN])) == expected
    assert digest(from_text(TEXT.replace("3", "4"), plugins=[PLUGIN])) != expected


def test_places_survive_includes_macros_and_sets(folder: Path):
    config = read("include 'shared.gin'", folder, "run.seed=5")

    assert config.location("toy_net", "width") == f"{folder}/shared.gin:2"
    assert config.location("run", "epochs") == f"{folder}/c.gin:5"
    assert config.location("run", "seed") == "--set 'run.seed=5'"
    assert config.location("toy_net", "drop") is None
    assert config.name == "c"


def test_a_file_inside_the_current_folder_is_shown_from_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(folder)

    assert read("", folder).location("run", "epochs") == "c.gin:5"


def test_the_components_are_those_that_are_reached(folder: Path):
    config = read("include 'shared.gin'", folder)

    assert [entry.name for entry in config.components()] == [
        "toy_data", "toy_flat", "toy_net", "toy_sgd",
    ]  # fmt: skip


def test_a_run_is_made_of_partials_of_plain_factories(folder: Path):
    run = from_text(TEXT, plugins=[PLUGIN]).build()

    assert run.epochs == 3
    assert run.architecture(num_classes=10) == ("toy_net", 10, 3, 0.5, "left")
    assert [make() for make in run.augmentations] == [
        ("toy_cut", 9, "zero", 0),
        ("toy_cut", 4, "zero", 0),
    ]
    assert run.architecture.func.__name__ == "toy_net"
    assert run.architecture.func.__module__ == "cifarzoo_plugin_toy_components"


def test_two_configs_coexist_and_neither_leaves_a_trace_in_gin(folder: Path):
    gin = pytest.importorskip("gin")
    first = read("toy_sgd.lr = 1.0", folder).build()
    second = read("toy_sgd.lr = 2.0", folder).build()
    third = read("", folder).build()

    assert [run.optimizer(params=()) for run in (first, second, third)] == [
        ("toy_sgd", 1.0, (), None),
        ("toy_sgd", 2.0, (), None),
        ("toy_sgd", 0.1, (), None),
    ]
    assert gin.config_str() == ""


def test_a_run_pickles(folder: Path):
    run = from_text(TEXT, plugins=[PLUGIN]).build()

    again = pickle.loads(pickle.dumps(run))

    assert again.architecture(num_classes=10) == run.architecture(num_classes=10)
    assert len(pickle.dumps(run)) < 2000


COUNTING = """
import collections, sys
opened, parsed = collections.Counter(), collections.Counter()

def count(event, args):
    if event == "open" and isinstance(args[0], str):
        opened[args[0].rpartition("/")[2]] += 1

sys.addaudithook(count)
from cifarzoo.config import grammar, load
parser = grammar.config_parser.ConfigParser
made = parser.__init__
parser.__init__ = lambda self, text, delegate: parsed.update([text]) or made(self, text, delegate)

config = load("c.gin", sets=["run.seed=3"], plugins=["mine.py"])
config = config.with_values({"run.seed": 4})
factory = config.build().schedule
texts = {count for text, count in parsed.items() if "=" in text}  # gin also parses defaults
print([factory(), opened["c.gin"], opened["shared.gin"], opened["mine.py"], texts])
"""


def test_from_files_to_a_component_each_file_is_opened_and_each_config_parsed_once(tmp_path: Path):
    source = PLUGIN.read_text()
    (tmp_path / "mine.py").write_text(source.replace("toy_flat", "mine_flat"))
    (tmp_path / "c.gin").write_text(
        "include 'shared.gin'\n" + BASE.replace("toy_flat", "mine_flat")
    )
    (tmp_path / "shared.gin").write_text("toy_net.width = 5\n")

    done = subprocess.run(
        [sys.executable, "-c", COUNTING], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert done.stdout == "['mine_flat', 1, 1, 1, {1}]\n"


def test_components_hold_components(folder: Path):
    text = (
        "run.augmentations = [@big/toy_both]\ntoy_both.first = @toy_cut\n"
        "toy_both.second = @small/toy_cut\nbig/toy_cut.size = 9\nsmall/toy_cut.fill = 'mean'\n"
    )

    [make] = read(text, folder).build().augmentations

    assert make() == (("toy_cut", 9, "zero", 0), ("toy_cut", 4, "mean", 0))


def test_a_value_that_run_refuses_names_its_line(folder: Path):
    with pytest.raises(ConfigProblemsError) as caught:
        read("run.batch_size = 0", folder)

    assert str(caught.value) == f"{folder}/c.gin:6: run.batch_size is 0; expected at least 1"


def as_the_engine_makes(factory: Callable[..., Any], name: str, **given: Any) -> Any:
    try:
        return factory(**given)
    except ConfigError as error:
        error.component = name
        raise


def test_a_value_that_a_factory_refuses_names_its_line_when_it_is_made(folder: Path):
    config = read("toy_net.drop = 1.5", folder)
    make = partial(as_the_engine_makes, config.build().architecture, "toy_net", num_classes=10)

    with pytest.raises(ConfigError) as caught, config.locating():
        make()

    expected = f"{folder}/c.gin:6: toy_net.drop is 1.5; expected 0 to below 1"
    assert str(caught.value) == expected


def test_a_value_of_a_macro_that_is_refused_names_both_lines(folder: Path):
    error = ConfigError("is 1.5; expected 0 to below 1", parameter="drop")
    error.component = "toy_net"

    read("DROP = 1.5\ntoy_net.drop = %DROP", folder).locate(error)

    assert str(error).replace(f"{folder}/", "") == (
        "c.gin:7: toy_net.drop is 1.5; expected 0 to below 1 (%DROP: c.gin:6)"
    )


def test_a_value_set_in_several_scopes_names_every_line(folder: Path):
    text = "run.augmentations = [@a/toy_cut, @b/toy_cut]\na/toy_cut.size = 1\nb/toy_cut.size = 2\n"
    error = ConfigError("is 1; expected more", parameter="size")
    error.component = "toy_cut"

    read(text, folder).locate(error)

    assert str(error).replace(f"{folder}/", "") == (
        "c.gin:7 or c.gin:8: toy_cut.size is 1; expected more"
    )


@pytest.mark.parametrize("making", [None, "toy_net"])
def test_an_error_about_the_whole_run_finds_its_line(making: str | None, folder: Path):
    config = read("run.augmentations = [@toy_cut]", folder)
    error = ConfigError("has one too many", parameter="augmentations")
    error.component = making

    config.locate(error)

    assert str(error) == f"{folder}/c.gin:6: run.augmentations has one too many"


def test_a_component_keeps_an_error_about_a_parameter_that_run_has_too(folder: Path):
    error = ConfigError("is -1; expected at least 0", parameter="seed")
    error.component = "glyphs"

    read("run.seed = 3", folder).locate(error)

    assert str(error) == "glyphs.seed is -1; expected at least 0"


def test_names_that_gin_keeps_for_itself_work_as_components(folder: Path):
    base = BASE.replace("@toy_flat", "@constant")

    config = read("constant.warmup_epochs = 2.0", folder, base=base)

    assert "schedule.constant.warmup_epochs = 2.0\n" in config.text()
    assert config.build().schedule.keywords == {"warmup_epochs": 2.0}
    [line] = problems("macro.value = 3", folder)
    assert line.startswith("c.gin:6: no component 'macro'")


def test_infinity_and_long_numbers_are_written_as_gin_reads_them(folder: Path):
    text = "toy_sgd.steps = [1e999, -1e999]\ntoy_cut.size = 0x" + "f" * 5000
    text += "\nrun.augmentations = [@toy_cut]\n"

    config = read(text, folder)

    assert from_text(config.text(), plugins=[PLUGIN]).text() == config.text()
    assert config.build().optimizer(params=())[2] == [float("inf"), float("-inf")]
