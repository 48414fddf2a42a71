"""A run's folder: what is written is whole, and what cannot be written is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cifarzoo.engine.runner import execute
from cifarzoo.errors import CifarzooError, UsageError
from cifarzoo.run_folders.finding import find_run, runs_in
from cifarzoo.run_folders.folder import RunFolder, adopt, create
from tests.full_disk import no_file_larger_than


def test_a_record_is_changed_entry_by_entry(tmp_path):
    folder = create(tmp_path, "name", "x = 1\n")

    folder.update(status="running", steps=3)
    folder.update(status="done")

    assert folder.record == {"schema": 1, "status": "done", "steps": 3}


WRITES = {
    "record": lambda folder: folder.update(error="x" * 100),
    "metrics": lambda folder: folder.append_metrics({"epoch": "x" * 100}),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_full_disk_is_said_and_costs_no_line_that_was_there(tmp_path, write):
    folder = create(tmp_path, "name", "x = 1\n")
    folder.update(status="running")
    folder.append_metrics({"epoch": 1})

    with no_file_larger_than(50), pytest.raises(CifarzooError, match="cannot be written: File too"):
        write(folder)

    assert folder.record == {"schema": 1, "status": "running"}
    assert folder.metrics()[0] == {"epoch": 1}
    names = sorted(path.name for path in folder.path.iterdir())
    assert names == ["config.gin", "metrics.jsonl", "run.json"]


def test_a_torn_last_line_of_metrics_is_left_out(tmp_path):
    folder = create(tmp_path, "name", "x = 1\n")
    folder.append_metrics({"epoch": 1})
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "te')

    assert folder.metrics() == [{"epoch": 1}]


@pytest.mark.parametrize("garbage", [b"nonsense\n", b"\xff\xfe\n", b"[1]\n"])
def test_a_line_of_metrics_that_is_garbage_is_named(tmp_path, garbage):
    folder = create(tmp_path, "name", "x = 1\n")
    folder.append_metrics({"epoch": 1})
    with (folder.path / "metrics.jsonl").open("ab") as file:
        file.write(garbage)

    with pytest.raises(UsageError, match=r"line 2 of .*metrics\.jsonl (is not|holds no) JSON"):
        folder.metrics()


def test_a_run_with_a_damaged_line_of_metrics_is_refused_before_it_trains(task):
    run = task("run", max_steps=9, checkpoint_steps=3)
    execute(run)
    folder = run.open_folder()
    folder.update(status="running")
    path = folder.path / "metrics.jsonl"
    path.write_bytes(b"nonsense\n" + path.read_bytes())
    before = path.read_bytes()

    with pytest.raises(UsageError, match="line 1 of"):
        execute(run)

    assert path.read_bytes() == before


def test_what_a_killed_write_left_keeps_nobody_out_and_is_swept(tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / ".config.gin.123").write_text("half")

    folder, was_there = adopt(tmp_path / "r", "x = 1\n")
    (folder.path / ".run.json.123").write_text("half")
    folder.update(status="running")

    assert not was_there
    names = sorted(path.name for path in folder.path.iterdir())
    assert names == ["config.gin", "run.json"]


def test_a_run_that_lost_its_record_keeps_its_config_and_checkpoints(task):
    run = task("run", max_steps=2)
    execute(run)
    folder = run.open_folder()
    (folder.path / "run.json").unlink()

    folder.discard()

    assert folder.config_text
    assert folder.checkpoints.exists()


def a_run(path: Path, *, written: int) -> Path:
    """What finding a run looks at, last written to at a time."""
    path.mkdir(parents=True)
    for name in ("config.gin", "run.json"):
        (path / name).write_text("")
        os.utime(path / name, (written, written))
    return path


def test_runs_are_found_by_path_id_prefix_and_as_the_latest(tmp_path):
    for day, name in enumerate(("20260101-000000-ab12", "20260102-000000-cd34", "20260102-0-ce56")):
        a_run(tmp_path / "net" / name, written=day)

    def found(name: str) -> str:
        return find_run(name, tmp_path).path.name

    assert found("latest") == "20260102-0-ce56"
    assert found("ab") == "20260101-000000-ab12"
    assert found("net/20260102-000000-cd34") == "20260102-000000-cd34"
    assert found(str(tmp_path / "net" / "20260102-000000-cd34")) == "20260102-000000-cd34"
    with pytest.raises(UsageError, match=r"2 runs in .* are called 'c': .*cd34, .*ce56"):
        found("c")
    with pytest.raises(UsageError, match=r"no run 'zz' in .*; the latest is"):
        found("zz")


def test_the_latest_run_is_the_one_that_was_written_to_last_wherever_it_lies(tmp_path):
    runs = [
        a_run(tmp_path / "net" / "my_best", written=5),
        a_run(tmp_path / "net" / "20990101-000000-ab12", written=1),
        a_run(tmp_path / "mine", written=2),
        a_run(tmp_path / "reproduce/table/row/full/seed0", written=3),
    ]
    (tmp_path / "round").symlink_to(tmp_path)  # a link that leads back
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/config.gin").write_text("")  # the user's own
    assert find_run("latest", tmp_path).path == runs[0]
    assert find_run("mine", tmp_path).path == runs[2]

    for written, run in enumerate(runs[1:], start=10):
        (run / "metrics.jsonl").touch()  # which is all that a run that goes on writes for long
        os.utime(run / "metrics.jsonl", (written, written))
        assert find_run("latest", tmp_path).path == run


def test_folders_within_folders_without_end_hide_no_run(tmp_path):
    run = a_run(tmp_path / "mine", written=1)
    deepest = tmp_path
    for _ in range(1200):  # more than Python calls within calls
        deepest /= "a"
        deepest.mkdir()

    assert find_run("mine", tmp_path).path == run

    while deepest != tmp_path:  # pytest could not
        deepest.rmdir()
        deepest = deepest.parent


def test_a_run_is_found_once_by_its_own_path_whatever_links_lead_to_it_or_nowhere(tmp_path):
    first = a_run(tmp_path / "of_a_recipe" / "first", written=1)
    second = a_run(tmp_path / "second", written=2)
    (tmp_path / "best").symlink_to(first)
    (tmp_path / "of_a_recipe" / "other").symlink_to(second)
    (tmp_path / "of_the_same").symlink_to(tmp_path / "of_a_recipe")
    (tmp_path / "itself").symlink_to("itself")
    (tmp_path / "gone").symlink_to("nowhere")

    found = runs_in(tmp_path)

    assert sorted(found) == [first, second]
    assert find_run("latest", tmp_path).path == second


def test_a_link_to_everything_ends_the_search(tmp_path):
    a_run(tmp_path / "mine", written=1)
    (tmp_path / "all").symlink_to("/")

    with pytest.raises(UsageError, match=r"more than 20,000 folders besides runs, with those that"):
        find_run("latest", tmp_path)


def test_a_folder_that_holds_a_run_is_taken_as_it_is(tmp_path):
    folder, was_there = adopt(tmp_path / "r", "run.epochs = 1\n")
    again, is_there = adopt(tmp_path / "r", "run.epochs = 2\n")

    assert (was_there, is_there) == (False, True)
    assert isinstance(again, RunFolder)
    assert again.path == folder.path
    assert again.config_text == "run.epochs = 1\n"
