"""``cifarzoo.compare``: groups, baselines, tables and figures, from Python."""

import csv
import io
import itertools
import json
import subprocess
import sys

import pytest

import cifarzoo
from cifarzoo.api.result import Result
from cifarzoo.engine.events import Score
from cifarzoo.errors import UsageError
from cifarzoo.files.real_folder import RealFolder
from cifarzoo.results.comparing.comparison import compare_runs
from cifarzoo.results.formats import written
from tests.finished_runs import finish

CELLS = {
    "none": [],
    "lr=0.2,mixup": ["sgd.lr=0.2", "run.regularizers=[@mixup]"],
    "lr=0.3": ["sgd.lr=0.3"],
}


@pytest.fixture
def study(tmp_path):
    """Three cells of three seeds, in a nested layout."""
    for number, (cell, sets) in enumerate(CELLS.items()):
        for seed in range(3):
            error = 5 - 0.5 * number + 0.1 * seed
            finish(tmp_path / "study" / cell, seed, error, *sets, curve=[9.0, error])
    return tmp_path / "study"


def names(compared):
    return [group.name for group in compared.groups]


def test_a_folder_of_cells_is_compared_under_their_names(study):
    compared = cifarzoo.compare(study, baseline="none")
    assert names(compared)[0] == compared.baseline.name == "none"
    assert set(names(compared)) == set(CELLS)
    assert str(compared).split("\n")[0] == "none: 5.10 % (n = 3), baseline"
    assert compared.differing["optimizer.sgd.lr"] == ["0.1", "0.2", "0.3"]
    assert [group.difference and group.difference.verdict for group in compared.groups] == [
        None,
        "better",
        "better",
    ]


def test_cells_of_a_sweep_come_as_it_was_asked_for(study):
    by_name = sorted(CELLS)
    assert names(cifarzoo.compare(study)) == by_name

    record = study / "sweep.json"
    record.write_text(json.dumps({"schema": 1, "points": ["none", "lr=0.3"]}))  # one came later
    assert names(cifarzoo.compare(study)) == ["none", "lr=0.3", "lr=0.2,mixup"]

    odd = ('{"schema": 1, "points": 3}', '{"schema": 1, "points": [[0], "none"]}')
    for damaged in ("{", "[" * 200_000, *odd):
        record.write_text(damaged)
        assert set(names(cifarzoo.compare(study))) == set(by_name)


@pytest.mark.parametrize("which", ["lr=0.3", "{study}/lr=0.3", "{study}/lr=0.3/seed1"])
def test_a_baseline_is_a_group_a_folder_or_a_run(study, which):
    compared = cifarzoo.compare(study, baseline=which.format(study=study))
    assert names(compared)[0] == "lr=0.3"


def test_a_group_that_is_called_as_its_config_goes_by_its_folder_too(study):
    finish(study / "other", 0, 5.0, "sgd.lr=0.9", config="another")
    compared = cifarzoo.compare(study / "none", study / "other", baseline="other")
    assert names(compared) == ["another", "resnet20"]


def test_a_baseline_that_is_not_among_the_runs_joins_them(study):
    compared = cifarzoo.compare(study / "none", baseline=study / "lr=0.3")
    assert names(compared) == ["lr=0.3", "none"]


def test_a_baseline_that_means_no_group_or_several_is_refused(study):
    with pytest.raises(
        UsageError, match=r"^the baseline is none of the groups, .*, and no run 'x'"
    ):
        cifarzoo.compare(study, baseline="x")
    with pytest.raises(UsageError, match=r"^the baseline .*study has runs of 3 groups: "):
        cifarzoo.compare(study / "none", baseline=study)
    finish(study / "new", 0, 5.0, "sgd.lr=0.7", status="stopped")
    with pytest.raises(UsageError, match=r"new has runs of 0 groups: none of them is finished$"):
        cifarzoo.compare(study / "none", baseline=study / "new")


def test_what_is_left_out_is_warned_of(study):
    finish(study / "none", 3, 5.0, status="stopped")
    with pytest.warns(UserWarning, match=r"^left out: .*none/seed3 is stopped, not done$"):
        cifarzoo.compare(study)


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        ([], {}, "given no runs; expected some, or folders of them"),
        (["x"], {"metric": "loss"}, "metric is 'loss'; expected test_error, tta_test_error, "),
        (
            [3],
            {},
            "a run is of the type int; expected a path, a folder of runs, the start of an id",
        ),
        (["n" * 300], {}, "is no path of a folder: File name too long"),
        (["~nobody-of-that-name/x"], {}, "there is no home folder ~nobody-of-that-name"),
    ],
)
def test_what_names_no_runs_is_refused(arguments, options, says):
    with pytest.raises(UsageError, match=says):
        cifarzoo.compare(*arguments, **options)


def test_a_table_has_every_number_and_setting(study):
    pd = pytest.importorskip("pandas")
    compared = cifarzoo.compare(study, baseline="none")
    frame = compared.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame["group"]) == names(compared)
    assert list(frame["n"]) == [3, 3, 3]
    assert frame["test_error"].tolist() == pytest.approx([5.1, 4.6, 4.1])
    assert frame["optimizer.sgd.lr"].tolist() == ["0.1", "0.2", "0.3"]
    rows = list(csv.DictReader(io.StringIO(written(compared.to_records(), "csv"))))
    assert [float(row["difference"] or "nan") for row in rows[1:]] == pytest.approx([-0.5, -1.0])
    assert rows[1]["verdict"] == "better"
    assert rows[0]["difference"] == rows[0]["p_holm"] == ""
    assert compared._repr_html_().count("<tr>") == 4


def test_the_figure_has_what_is_asked_for(study):
    compared = cifarzoo.compare(study)
    path = compared.plot(study / "all.svg")
    assert path.read_text().startswith("<?xml")
    few = compared.plot(study / "few.svg", panels=["seeds"])
    assert len(few.read_text()) < len(path.read_text())
    with pytest.raises(UsageError, match="no panel 'dots'; expected some of curves, seeds, diff"):
        compared.plot(study / "none.svg", panels=["dots"])
    (study / "none/seed0/metrics.jsonl").write_text("{\n")
    with pytest.raises(UsageError, match=r"^line 1 of .*metrics.jsonl is not JSON"):
        compared.plot(study / "none.svg")
    assert not (study / "none.svg").exists()


def test_a_run_of_a_newer_cifarzoo_or_without_a_seed_is_left_out(study):
    finish(study / "none", 3, 5.0, schema=2)
    finish(study / "none", 5, 5.0, schema=3, status="hibernating")
    no_seed = finish(study / "none", 4, 5.0)
    (no_seed / "resolved.gin").write_text("run.epochs = 3\n")
    notes = compare_runs([str(study)], study, "test_error").notes
    assert sorted(note.rpartition("/")[2] for note in notes) == [
        "resolved.gin has no run.seed; put back what the run wrote",
        "run.json is of a newer cifarzoo (schema 2; this reads 1)",
        "run.json is of a newer cifarzoo (schema 3; this reads 1)",
    ]


def test_a_run_whose_process_is_dead_is_no_running_one(study):
    finish(study / "none", 3, 5.0, status="running")
    [note] = compare_runs([str(study)], study, "test_error").notes
    assert note.endswith("none/seed3 is interrupted, not done")


def test_plugins_are_told_apart_by_name_and_code(study):
    for number, origin in enumerate(["mine 1.0", "mine 2.0"]):
        finish(study / f"plugin{number}", 0, 4.0, plugins=[{"origin": origin}])
    found = compare_runs([str(study)], study, "test_error")
    assert found.differing["plugin mine"] == [None, None, None, "mine 1.0", "mine 2.0"]


def test_a_folder_that_moves_meanwhile_is_left_out_and_said(study, monkeypatch):
    """It goes before any one of the files that a comparison reads."""
    away, read, left_out = study.parent / "away", RealFolder.read, []
    for moment in itertools.count():
        reads = itertools.count()

        def read_later(self, *args, reads=reads, moment=moment, **options):
            if next(reads) == moment:
                (study / "lr=0.3").rename(away)
            return read(self, *args, **options)

        with monkeypatch.context() as patched:
            patched.setattr(RealFolder, "read", read_later)
            found = compare_runs([str(study)], study, "test_error")
        if not away.exists():
            break
        away.rename(study / "lr=0.3")
        gone = [note for note in found.notes if "is gone: it was moved or deleted" in note]
        assert [note for note in found.notes if note not in gone] == []
        assert sum(group.sample.n for group in found.groups) + len(gone) == 9
        left_out.append(len(gone))
    assert set(left_out) == {0, 1, 2, 3}


def test_it_costs_no_torch(study):
    script = (
        f"import sys, cifarzoo; print(cifarzoo.compare({str(study)!r})); "
        "print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_results_are_runs(study):
    result = Result(
        path=study / "none/seed0",
        test=Score(loss=0.1, error=0.05),
        train_loss=0.1,
        train_seconds=1.0,
        steps=2,
        weights_sha256="0" * 64,
    )
    compared = cifarzoo.compare(study / "lr=0.3", result)
    assert [group.sample.n for group in compared.groups] == [3, 1]
