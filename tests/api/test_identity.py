"""A run is its values, its plugins' code and its data: what is another run is refused."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cifarzoo.api.execution import RankJob, opener, train_rank
from cifarzoo.api.identity import check_same_run, holds, keep_identity
from cifarzoo.components.plugins import plugin_provenance
from cifarzoo.config import Config, load
from cifarzoo.config.effective import digest
from cifarzoo.engine.events import Listener
from cifarzoo.errors import UsageError
from cifarzoo.run_folders.folder import RunFolder
from cifarzoo.run_folders.provenance import own_code

PLUGIN = '''
from cifarzoo import register

@register.schedule
def falling(*, final: float = 0.5, power: int = 2):
    """Falls."""
    return lambda moment: final
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "falling.py"
    path.write_text(PLUGIN)
    return path


def begun(config: Config, path: Path) -> RunFolder:
    """The folder of a run of ``config`` that has trained."""
    folder = opener(config, out=path.parent, run_dir=path)()
    keep_identity(folder, config)
    folder.update(
        status="stopped", plugins=plugin_provenance(config.components()), cifarzoo=own_code()
    )
    return folder


def forget_plugins(folder: RunFolder) -> None:
    """As if the plugin's components were cifarzoo's own, whose code only warns."""
    entries = {name: value for name, value in folder.record.items() if name != "plugins"}
    (folder.path / "run.json").write_text(json.dumps(entries))


def refusal(folder: RunFolder, config: Config) -> str:
    with pytest.raises(UsageError) as refused:
        check_same_run(folder, config)
    [line] = str(refused.value).splitlines()
    return line


SAME: dict[str, list[str]] = {
    "defaults written out": ["run.seed=0", "cosine.final=0.0", "run.clip_norm=None"],
    "a whole number for a float": ["cosine.final=0", "run.norm_bias_lr_scale=1"],
    "a tuple for a list": ["run.augmentations=(@pad_crop, @flip, @augmentation.normalize)"],
    "what decides no number": ["run.checkpoint_seconds=5.0", "run.keep_checkpoints=5",
                               "run.checkpoint_steps=3"],
}  # fmt: skip


@pytest.mark.parametrize("sets", SAME.values(), ids=SAME)
def test_what_means_the_same_is_the_same_run(sets: list[str], tmp_path: Path):
    folder = begun(load("quickstart"), tmp_path / "r")

    assert check_same_run(folder, load("quickstart", sets=sets)) == []


def test_written_out_defaults_are_one_config_to_several_hosts():
    twin = load("quickstart", sets=["run.seed=0", "cosine.final=0"])

    assert digest(twin) == digest(load("quickstart"))
    assert digest(twin) != digest(load("quickstart", sets=["run.seed=1"]))


@pytest.mark.parametrize(
    ("setting", "difference"),
    [
        ("sgd.lr=0.2", r"optimizer\.sgd\.lr is 0\.3 there and 0\.2 here;"),
        ("run.seed=3", r"run\.seed is 0 there and 3 here;"),
        ("run.regularizers=[@mixup]", r"run\.regularizers is \(\) there and \[@\S+mixup\] here;"),
    ],
)
def test_another_value_is_another_run(setting: str, difference: str, tmp_path: Path):
    folder = begun(load("quickstart"), tmp_path / "r")

    line = refusal(folder, load("quickstart", sets=[setting]))

    assert re.search(rf"^\S+/r holds a run of another config: {difference}", line), line
    with pytest.raises(UsageError, match="another config"):
        holds(folder.path, load("quickstart", sets=[setting]))


def test_both_values_are_named_where_a_set_one_was_left_out(tmp_path: Path):
    folder = begun(load("quickstart", sets=["run.seed=3"]), tmp_path / "r")

    assert "run.seed is 3 there and 0 here (default of run);" in refusal(folder, load("quickstart"))


def changed(plugin: Path, old: str, new: str) -> None:
    plugin.write_text(plugin.read_text().replace(old, new))


@contextmanager
def quiet() -> Iterator[Listener]:
    yield lambda _event: None


def with_falling(plugin: Path) -> Config:
    return load("quickstart", sets=["run.schedule=@falling"], plugins=[plugin])


def test_a_default_that_changed_is_refused_and_what_is_said_goes_on(plugin: Path, tmp_path: Path):
    folder = begun(with_falling(plugin), tmp_path / "r")
    forget_plugins(folder)
    changed(plugin, "0.5", "0.9")

    line = refusal(folder, with_falling(plugin))

    assert "schedule.falling.final is 0.5 there and 0.9 here (default of falling);" in line
    said = re.search(r"cifarzoo run (\S+) --run-dir (\S+) -p (\S+) goes on", line)
    assert said, line
    assert Path(said[2]) == folder.path
    assert check_same_run(folder, load(said[1], plugins=[plugin])) == []


def test_parameters_that_came_or_went_are_warnings(plugin: Path, tmp_path: Path):
    folder = begun(with_falling(plugin), tmp_path / "r")
    forget_plugins(folder)
    changed(plugin, "power: int = 2", "speed: int = 1")

    notes = check_same_run(folder, with_falling(plugin))

    assert notes == [
        "schedule.falling.power was 2 when this run began and is gone here",
        "schedule.falling.speed was not known when this run began and is 1 here (default of "
        "falling)",
    ]


def test_a_new_parameter_that_is_set_is_another_run(plugin: Path, tmp_path: Path):
    folder = begun(with_falling(plugin), tmp_path / "r")
    forget_plugins(folder)
    changed(plugin, "power: int = 2", "power: int = 2, speed: int = 1")

    line = refusal(folder, with_falling(plugin).with_values({"falling.speed": 4}))

    assert "schedule.falling.speed is not known there and 4 here;" in line


def test_an_edited_plugin_is_refused_with_both_digests_and_the_way_on(plugin: Path, tmp_path: Path):
    folder = begun(with_falling(plugin), tmp_path / "r")
    [before] = with_falling(plugin).plugin_files()
    changed(plugin, "return lambda moment: final", "return lambda moment: 2 * final")
    [after] = with_falling(plugin).plugin_files()

    line = refusal(folder, with_falling(plugin))

    assert re.fullmatch(
        rf"\S+/r holds a run of other plugin code: falling\.py has SHA-256 {before.sha256[:12]}… "
        rf"there and falling\.py has SHA-256 {after.sha256[:12]}… here; cifarzoo resume \S+/r goes "
        r"on with its own copy; or choose another --run-dir for a run of its own", line,
    ), line  # fmt: skip
    assert check_same_run(folder, load(folder.path / "config.gin", plugins=folder.plugins)) == []


def test_ranks_that_start_again_run_the_bytes_that_the_run_began_with(plugin: Path, tmp_path: Path):
    tiny = {"glyphs.train_images": 64, "glyphs.test_images": 10, "run.max_steps": 2}
    results = []
    for name, edits in (("whole", False), ("restarted", True)):
        config = with_falling(plugin).with_values({**tiny, "run.batch_size": 32})
        folder = begun(config, tmp_path / name)
        if edits:
            changed(plugin, "lambda moment: final", "lambda moment: 2 * final")
        job = pickle.loads(pickle.dumps(RankJob(  # as the launcher hands it to a rank
            config=config, folder=folder.path, data=None, argv=("run",), progress=quiet,
        )))  # fmt: skip
        train_rank(job)
        results.append(folder.record["weights_sha256"])

    assert results[0] == results[1]


def test_a_copy_that_was_edited_in_the_folder_is_to_be_put_back(plugin: Path, tmp_path: Path):
    folder = begun(with_falling(plugin), tmp_path / "r")
    changed(folder.plugins[0], "0.5", "0.7")

    line = refusal(folder, load(folder.path / "config.gin", plugins=folder.plugins))

    assert re.search(r"put back what the run wrote to \S+/r/plugins, or", line), line


def test_a_plugin_that_moved_or_has_another_name_is_the_same(plugin: Path, tmp_path: Path):
    folder = begun(with_falling(plugin), tmp_path / "r")
    moved = plugin.rename(tmp_path / "descending.py")

    assert check_same_run(folder, with_falling(moved)) == []


def test_a_plugin_in_place_of_a_component_of_the_zoo_is_another_run(tmp_path: Path):
    folder = begun(load("quickstart"), tmp_path / "r")
    path = tmp_path / "mine.py"
    path.write_text(
        "from cifarzoo import register\n@register.schedule(override=True)\n"
        "def cosine(*, warmup_epochs: float = 0.0, final: float = 0.0): ...\n"
    )

    line = refusal(folder, load("quickstart", plugins=[path]))

    assert "holds a run of other plugin code: mine.py is part of it here and not there;" in line


def test_other_code_of_cifarzoo_is_one_warning_that_names_both(tmp_path: Path):
    folder = begun(load("quickstart"), tmp_path / "r")
    folder.update(cifarzoo={"version": "0.1", "sha256": "ab" * 32, "git": None})

    [note] = check_same_run(folder, load("quickstart"))

    here = own_code()
    assert note == (
        "this run was trained by cifarzoo 0.1 (code abababababab…) and goes on with "
        f"{here['version']} (code {here['sha256'][:12]}…): bits may differ from here on"
    )


def test_a_folder_that_kept_no_defaults_is_taken_with_todays_and_a_warning(tmp_path: Path):
    folder = begun(load("quickstart"), tmp_path / "r")
    (folder.path / "resolved.gin").unlink()

    [note] = check_same_run(folder, load("quickstart", sets=["run.seed=0"]))
    refused = refusal(folder, load("quickstart", sets=["run.seed=1"]))
    keep_identity(folder, load("quickstart"))

    assert "begun by a cifarzoo that kept no defaults" in note
    assert "run.seed is 0 there and 1 here;" in refused
    assert check_same_run(folder, load("quickstart")) == []


def test_a_start_that_was_killed_is_begun_anew(plugin: Path, tmp_path: Path):
    opener(with_falling(plugin), out=tmp_path, run_dir=tmp_path / "r")()  # and then the power went
    changed(plugin, "2", "3")

    folder = opener(with_falling(plugin), out=tmp_path, run_dir=tmp_path / "r")()
    notes = check_same_run(folder, with_falling(plugin))
    keep_identity(folder, with_falling(plugin))

    assert notes == []
    assert "schedule.falling.power = 3" in (folder.path / "resolved.gin").read_text()
    assert folder.plugins[0].read_bytes() == plugin.read_bytes()


RECIPES: list[Callable[[], Config]] = [lambda: load("quickstart"), lambda: load("wrn26_10")]


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_resolved_config_is_a_config_of_the_same_run(recipe: Callable[[], Config], tmp_path):
    folder = begun(recipe(), tmp_path / "r")

    resolved = load(folder.path / "resolved.gin")

    assert digest(resolved) == digest(recipe())
    assert "architecture" in resolved.text()
