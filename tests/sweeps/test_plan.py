from pathlib import Path

import pytest

from cifarzoo.errors import ConfigProblemsError, UsageError
from cifarzoo.run_folders.sweep_record import read_sweep
from cifarzoo.sweeps.folders import check_cells, placed, write_cells, write_sweep
from cifarzoo.sweeps.plan import Asked, plan_cells, plan_points
from cifarzoo.sweeps.states import standing
from cifarzoo.sweeps.variations import parse_variation
from tests.full_disk import no_file_larger_than

BASE = "include 'quickstart.gin'\n"
PLUGIN = """
from cifarzoo import register
from cifarzoo.protocols import Schedule


@register.schedule
def half():
    '''Half of the rate, always.'''
    return lambda moment: 0.5
"""


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base.gin"
    path.write_text(BASE)
    return path


def asked(*configs, vary=(), seeds=(0,), sets=(), plugins=()):
    return Asked(
        configs=tuple(map(str, configs)),
        sets=tuple(sets),
        variations=tuple(map(parse_variation, vary)),
        seeds=tuple(seeds),
        plugins=tuple(plugins),
    )


def planned(wanted, folder):
    return plan_cells(plan_points(wanted), wanted.seeds, folder)


def test_every_combination_is_a_cell_named_after_what_differs(base, tmp_path):
    wanted = asked(base, vary=["sgd.lr=.1,.3", "run.regularizers=[],[@mixup]"], seeds=(0, 4))

    cells = planned(wanted, tmp_path / "study")

    assert [cell.name for cell in cells[:4]] == [
        "lr=0.1,no-regularizers/seed0",
        "lr=0.1,mixup/seed0",
        "lr=0.3,no-regularizers/seed0",
        "lr=0.3,mixup/seed0",
    ]
    assert [cell.seed for cell in cells] == [0] * 4 + [4] * 4
    assert cells[-1].folder == tmp_path / "study/lr=0.3,mixup/seed4"
    text = cells[-1].config.text()
    assert "sgd.lr = 0.3\n" in text
    assert "run.regularizers = [@regularizer.mixup]\n" in text
    assert "run.seed = 4\n" in text


def test_several_configs_stand_first_in_the_names(base, tmp_path):
    other = tmp_path / "other.gin"
    other.write_text(BASE)

    alone = planned(asked(base, other), tmp_path)
    varied = planned(asked(base, other, vary=["sgd.lr=.1"]), tmp_path)

    assert [cell.name for cell in alone] == ["base/seed0", "other/seed0"]
    assert [cell.name for cell in varied] == ["base,lr=0.1/seed0", "other,lr=0.1/seed0"]


def test_what_a_file_sets_for_a_component_that_some_cells_lack_counts_in_the_others(tmp_path):
    path = tmp_path / "base.gin"
    path.write_text(BASE + "run.regularizers = [@mixup]\nmixup.alpha = 0.7\n")

    cells = planned(asked(path, vary=["run.regularizers=[],[@mixup]"]), tmp_path)

    assert ["mixup.alpha = 0.7" in cell.config.text() for cell in cells] == [False, True]


def test_all_values_that_do_not_fit_are_named_at_once(base):
    with pytest.raises(ConfigProblemsError) as refused:
        plan_points(asked(base, vary=["sgd.lr=.1,'fast','slow'"]))

    first, second = refused.value.problems
    assert first.startswith("--vary \"sgd.lr='fast'\"")
    assert second.startswith("--vary \"sgd.lr='slow'\"")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"vary": ["sgd.speed=1,2"]}, "sgd has no parameter 'speed'"),
        ({"vary": ["adamw.lr=1,2"]}, "adamw"),
        ({"vary": ["sgd.lr=1", "sgd.lr=2"]}, "sgd.lr is varied twice"),
        ({"vary": ["sgd.lr=.1,0.10"]}, "would both be called 'lr=0.1'"),
        ({"vary": ["sgd.lr=.1,.2"], "seeds": range(9999)}, "19,998 cells"),
    ],
)
def test_what_cannot_be_varied_is_refused_in_a_line(base, wanted, message):
    with pytest.raises(UsageError, match=message):
        plan_points(asked(base, **wanted))


def test_configs_of_one_name_and_standard_input_are_refused(base):
    with pytest.raises(UsageError, match="two configs are called 'base'"):
        plan_points(asked(base, base))
    with pytest.raises(UsageError, match="give a file in the place of -"):
        plan_points(asked("-"))


def test_cells_are_planned_as_folders_that_resume_takes(base, tmp_path):
    plugin = tmp_path / "half.py"
    plugin.write_text(PLUGIN)
    wanted = asked(base, vary=["run.schedule=@half,@cosine"], plugins=[plugin])
    folder = tmp_path / "study"

    cells = planned(wanted, folder)
    write_cells(cells, folder=folder, replaces=False)

    assert (folder / "half/seed0/plugins/half.py").read_text() == PLUGIN
    assert not (folder / "cosine/seed0/plugins").exists()
    assert "# Config: base" in (folder / "half/seed0/resolved.gin").read_text()
    assert [standing(cell).state for cell in cells] == ["waiting", "waiting"]


def test_a_cell_that_was_not_begun_takes_another_config_or_plugin(base, tmp_path):
    plugin = tmp_path / "half.py"
    plugin.write_text(PLUGIN)
    wanted = asked(base, vary=["run.schedule=@half,@cosine"], plugins=[plugin])
    folder = tmp_path / "study"
    write_cells(planned(wanted, folder), folder=folder, replaces=False)

    base.write_text(BASE + "run.epochs = 2\n")
    plugin.write_text(PLUGIN.replace("0.5", "0.25"))
    write_cells(planned(wanted, folder), folder=folder, replaces=False)

    assert "run.epochs = 2" in (folder / "cosine/seed0/config.gin").read_text()
    assert "0.25" in (folder / "half/seed0/plugins/half.py").read_text()


def begun(cell, **record):
    (cell.folder / "run.json").write_text(
        '{"schema": 1, "status": "done", "cifarzoo": {"version": "0", "sha256": "%s"}}' % ("0" * 64)
    )


def test_a_run_of_another_config_is_refused_or_kept_aside(base, tmp_path):
    folder = tmp_path / "study"
    wanted = asked(base, vary=["sgd.lr=.1,.3"])
    cells = planned(wanted, folder)
    write_cells(cells, folder=folder, replaces=False)
    begun(cells[0])

    base.write_text(BASE + "run.epochs = 2\n")
    changed = planned(wanted, folder)
    with pytest.raises(UsageError, match=r"run\.epochs is 6 there and 2 here") as refused:
        check_cells(changed, replaces=False)
    assert "--retrain-changed" in str(refused.value)
    assert check_cells(changed, replaces=True) == []
    write_cells(changed, folder=folder, replaces=True)

    [kept] = (folder / ".replaced/lr=0.1").glob("seed0-*/run.json")
    assert '"done"' in kept.read_text()
    assert standing(changed[0]).state == "waiting"
    assert "run.epochs = 2" in changed[0].folder.joinpath("config.gin").read_text()


def test_what_was_begun_is_found_under_the_names_of_a_larger_sweep(base, tmp_path):
    folder = tmp_path / "study"
    few = planned(asked(base, vary=["sgd.lr=.1,.3"]), folder)
    write_cells(few, folder=folder, replaces=False)
    begun(few[0])
    other = tmp_path / "other.gin"
    other.write_text(BASE + "run.epochs = 2\n")

    more = placed(planned(asked(base, other, vary=["sgd.lr=.1,.3"]), folder), folder)

    assert more[0].name == "base,lr=0.1/seed0"
    assert more[0].folder == few[0].folder
    assert more[1].folder == folder / "base,lr=0.3/seed0"  # it wasn't begun
    assert more[2].folder == folder / "other,lr=0.1/seed0"


def test_other_code_of_cifarzoo_is_a_warning(base, tmp_path):
    folder = tmp_path / "study"
    cells = planned(asked(base), folder)
    write_cells(cells, folder=folder, replaces=False)
    begun(cells[0])

    [note] = check_cells(cells, replaces=False)

    assert note.startswith("base/seed0 was trained by other code of cifarzoo")


def test_other_files_in_the_place_of_a_cell_are_left_alone(base, tmp_path):
    folder = tmp_path / "study"
    place = folder / "base/seed0"
    place.mkdir(parents=True)
    (place / "thesis.tex").write_text("mine")

    with pytest.raises(UsageError, match="holds other files"):
        write_cells(planned(asked(base), folder), folder=folder, replaces=True)

    assert (place / "thesis.tex").read_text() == "mine"


def test_what_was_asked_is_written_and_read(base, tmp_path):
    wanted = asked(base, vary=["sgd.lr=.3,.1"], seeds=(0, 1), sets=["run.epochs=2"])

    write_sweep(tmp_path, wanted, planned(wanted, tmp_path), threads=2)

    found = read_sweep(tmp_path)
    assert found["vary"] == {"sgd.lr": [".3", ".1"]}
    assert found["points"] == ["lr=0.3", "lr=0.1"]
    assert (found["seeds"], found["set"], found["threads"]) == ([0, 1], ["run.epochs=2"], 2)


def test_on_a_full_disk_a_sweep_says_so_and_its_record_stays_whole(base, tmp_path):
    wanted = asked(base)
    write_sweep(tmp_path, wanted, threads=2)

    with no_file_larger_than(100):
        with pytest.raises(UsageError, match="cannot be written to"):
            write_sweep(tmp_path, wanted, threads=3)
        with pytest.raises(UsageError, match="cannot be written to"):
            write_cells(planned(wanted, tmp_path), folder=tmp_path, replaces=False)

    assert read_sweep(tmp_path)["threads"] == 2
    write_cells(planned(wanted, tmp_path), folder=tmp_path, replaces=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        pytest.param("[" * 200_000, "is not JSON", id="deep"),
        ("[]", "is no record of a sweep"),
        ('{"schema": "x"}', "is no record of a sweep"),
        ('{"schema": 99}', "was written by a newer cifarzoo"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(tmp_path, text, message):
    Path(tmp_path, "sweep.json").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_sweep(tmp_path)
