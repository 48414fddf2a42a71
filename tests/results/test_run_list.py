"""Runs as a list: what a row says, whatever their files hold; filters, order, pandas."""

import fcntl
import json
import os
import shutil
from pathlib import Path

import pytest

import cifarzoo
from cifarzoo import config
from cifarzoo.api.identity import keep_identity
from cifarzoo.errors import UsageError
from cifarzoo.results import run_list
from cifarzoo.run_folders import summary_cache
from cifarzoo.run_folders.finding import find_run
from cifarzoo.run_folders.folder import adopt
from tests.full_disk import no_file_larger_than
from tests.many_runs import a_run, line_of


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("caches")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def one(folder: Path) -> run_list.ListedRun:
    (run,) = cifarzoo.runs(folder)
    return run


def test_a_row_says_what_a_run_is_and_what_it_came_to(tmp_path):
    path = a_run(tmp_path / "net" / "20261101-100000-ab12", seed=3, lr=0.2, name="wide", tags=["x"])

    (run,) = run_list.list_runs(tmp_path)

    assert (run.id, run.path, run.name, run.config) == ("ab12", path, "wide", "mine")
    assert (run.seed, run.epoch, run.epochs, run.status) == (3, 2, 2, "done")
    assert (run.test_error, run.train_seconds, run.tags) == (0.05, 12.5, ("x",))
    assert run.differs == {"run.regularizers": "[@mixup]", "sgd.lr": "0.2"}
    assert run.settings["run.keep_checkpoints"] == "5"
    assert run.began.isoformat() == "2026-11-01T10:00:00+00:00"


def test_runs_of_any_layout_are_found_the_newest_first(tmp_path):
    a_run(tmp_path / "a" / "b" / "c" / "seed0", started="2026-11-01T10:00:00+00:00")
    a_run(tmp_path / "20261103-100000-ab12", started="2026-11-03T10:00:00+00:00")
    a_run(tmp_path / "lr=0.1,mixup" / "seed0", started="2026-11-02T10:00:00+00:00")

    runs = run_list.list_runs(tmp_path)

    assert [run.id for run in runs] == ["ab12", "lr=0.1,mixup/seed0", "a/b/c/seed0"]
    assert [run.id for run in cifarzoo.runs(tmp_path / "a")] == [str(tmp_path / "a/b/c/seed0")]


@pytest.mark.parametrize(
    "id_of", ["ab12", "ab13", "20261101-100000-cd34", "x/20261102-100000-cd34"]
)
def test_ids_are_what_finds_the_run(tmp_path, id_of):
    for name in ("20261101-100000-ab12", "20261101-100000-ab13", "20261101-100000-cd34"):
        a_run(tmp_path / name)
    a_run(tmp_path / "x" / "20261102-100000-cd34")
    a_run(tmp_path / "y" / "20261102-100000-cd34")

    ids = {run.id: run.path for run in run_list.list_runs(tmp_path)}

    assert id_of in ids
    for run_id, path in ids.items():
        assert find_run(run_id, tmp_path).path == path


def test_what_a_dead_process_left_is_interrupted_and_a_held_lock_means_running(tmp_path):
    path = a_run(tmp_path / "r", status="running", epochs=1, test_error=None, train_seconds=None)
    assert one(tmp_path).status == "interrupted"

    with (path / ".lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = one(tmp_path)

    assert run.status == "running"
    assert (run.epoch, run.epochs, run.test_error, run.train_seconds) == (1, 2, 0.5, 3.0)


def test_of_a_run_on_another_host_it_is_said_that_it_may_be_running(tmp_path):
    a_run(tmp_path / "r", status="running", process={"pid": 1, "host": "node7"})

    run = one(tmp_path)

    assert run.status == "unknown"
    assert run.status_words == "running on node7?"


def test_a_run_that_ends_while_it_is_listed_is_not_interrupted(tmp_path, monkeypatch):
    path = a_run(tmp_path / "r", status="running")
    real = run_list.current_status

    def ends_first(*given):
        record = json.loads((path / "run.json").read_text())
        (path / "run.json").write_text(json.dumps(record | {"status": "done"}))
        return real(*given)

    monkeypatch.setattr(run_list, "current_status", ends_first)

    assert one(tmp_path).status == "done"


@pytest.mark.parametrize(
    ("name", "text", "status", "problem"),
    [
        ("run.json", '{"status": "do', "unreadable", "run.json is not JSON"),
        ("run.json", '{"status": "odd"}', "unreadable", "run.json has status 'odd'"),
        ("run.json", '{"schema": 2, "status": {}}', "unreadable", "of a newer cifarzoo (schema 2"),
        ("run.json", '{"schema": 2, "status": "done"}', "done", "of a newer cifarzoo (schema 2"),
        ("metrics.jsonl", "{]\n", "done", "the last line of metrics.jsonl is not JSON"),
        ("resolved.gin", b"\xff\xfe", "done", "resolved.gin cannot be read"),
    ],
)
def test_files_that_make_no_sense_are_a_row_that_says_so(tmp_path, name, text, status, problem):
    path = a_run(tmp_path / "bad")
    a_run(tmp_path / "good", name="good")
    (path / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    found = {run.path.name: run for run in cifarzoo.runs(tmp_path)}

    assert found["good"].problem is None
    assert found["bad"].status == status
    assert problem in found["bad"].problem
    assert str(tmp_path) not in found["bad"].problem


def test_links_pipes_and_a_missing_record_are_rows_too(tmp_path):
    linked, piped, bare = (a_run(tmp_path / name) for name in ("linked", "piped", "bare"))
    (linked / "run.json").rename(linked / "else.json")
    (linked / "run.json").symlink_to(linked / "else.json")
    (piped / "metrics.jsonl").unlink()
    os.mkfifo(piped / "metrics.jsonl")
    (bare / "run.json").unlink()
    (bare / "checkpoints").mkdir()

    found = {run.path.name: run for run in cifarzoo.runs(tmp_path)}

    assert found["linked"].status == "unreadable"
    assert "named pipe" in found["piped"].problem
    assert found["bare"].status == "new"


def test_a_line_that_is_half_written_is_passed_over(tmp_path):
    path = a_run(tmp_path / "r", status="running", epochs=1)
    with (path / "metrics.jsonl").open("a") as file:
        file.write(line_of(2, 2)[:20])

    run = one(tmp_path)

    assert (run.epoch, run.problem) == (1, None)


def test_a_folder_that_vanishes_while_it_is_read_is_left_out(tmp_path, monkeypatch):
    kept, gone = a_run(tmp_path / "kept"), a_run(tmp_path / "gone")
    real = run_list.run_paths

    def then_gone(root):
        found = real(root)
        shutil.rmtree(gone)
        return found

    monkeypatch.setattr(run_list, "run_paths", then_gone)

    assert [run.path for run in cifarzoo.runs(tmp_path)] == [kept]


def test_no_runs_and_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(cifarzoo.runs()) == 0
    assert repr(cifarzoo.runs()) == "no runs"
    with pytest.raises(UsageError, match="there is no folder nowhere"):
        cifarzoo.runs("nowhere")


@pytest.fixture
def three(tmp_path) -> run_list.Runs:
    a_run(tmp_path / "a", seed=0, lr=0.1, test_error=0.04, name="wide", tags=["x", "fast"])
    a_run(tmp_path / "b", seed=1, lr=0.03, test_error=0.06, started="2026-11-02T10:00:00+00:00")
    a_run(tmp_path / "c", seed=2, lr=0.3, status="failed", test_error=None, epochs=0)
    return cifarzoo.runs(tmp_path)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("error<5", "a"),
        ("error >= 4.0", "ab"),
        ("error!=6", "ac"),
        ("status=done", "ab"),
        ("seed=1", "b"),
        ("name~WID", "a"),
        ("name!=wide", "bc"),
        ("tags=fast", "a"),
        ("tags!=fast", "bc"),
        ("sgd.lr=0.10", "a"),
        ("optimizer.sgd.lr<1e-1", "b"),
        ("run.regularizers=[@mixup]", "abc"),
        ("run.regularizers~cutmix", ""),
        ("differs~lr=0.3", "c"),
        ("age>1d", "abc"),
        ("seconds<0.2m", ""),
        ("started>2026-11-02", "b"),
    ],
)
def test_conditions_choose_runs(three, condition, expected):
    assert "".join(sorted(run.path.name for run in three.where(condition))) == expected


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("error", "'error' is no condition; expected COLUMN OPERATOR VALUE"),
        ("eror<5", "no column 'eror', and no run has such a setting; did you mean error?"),
        ("sgd.rl=5", "no run has such a setting; did you mean sgd.lr?"),
        ("error<five", "'error<five' compares error with 'five'; expected a number"),
        ("name<a", "compares name with a text; expected a number"),
    ],
)
def test_what_is_no_condition_is_refused(three, condition, message):
    with pytest.raises(UsageError) as refused:
        three.where(condition)
    assert message in str(refused.value)


def test_runs_are_sorted_by_columns_and_settings_those_without_last(three):
    def names(runs: run_list.Runs) -> str:
        return "".join(run.path.name for run in runs)

    assert names(three.sorted_by("error")) == "abc"
    assert names(three.sorted_by("error", reverse=True)) == "bac"
    assert names(three.sorted_by("sgd.lr")) == "bac"
    assert names(three[:1]) == "b"
    with pytest.raises(UsageError, match="no column 'size'"):
        three.sorted_by("size")


def test_pandas_gets_a_row_a_run(three):
    pytest.importorskip("pandas")
    frame = three.sorted_by("seed").to_pandas()

    assert list(frame["error"].dropna()) == [4.0, 6.0]
    assert list(frame["seed"]) == [0, 1, 2]


def test_a_notebook_and_a_console_are_shown_text_alone(tmp_path):
    a_run(tmp_path / "r", name="<b>|\x1b[2J")
    runs = cifarzoo.runs(tmp_path)

    page = runs._repr_html_()

    assert "&lt;b&gt;|\\x1b[2J" in page
    assert "5.00" in page
    assert "\x1b" not in repr(runs)
    assert repr(runs).endswith("1 run")


def test_a_run_that_changed_is_read_again_and_others_are_not(tmp_path, monkeypatch):
    path, other = a_run(tmp_path / "r"), a_run(tmp_path / "s")
    cifarzoo.runs(tmp_path)
    read: list[Path] = []
    real = summary_cache.read_facts
    monkeypatch.setattr(summary_cache, "read_facts", lambda run: read.append(run) or real(run))

    cifarzoo.runs(tmp_path)
    assert read == []
    record = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(record | {"test_error": 0.07}))
    found = {run.path: run.test_error for run in cifarzoo.runs(tmp_path)}

    assert read == [path]
    assert found == {path: 0.07, other: 0.05}


def damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    for place in range(200, len(data), 97):
        data[place] ^= 0x55
    file.write_bytes(data)


@pytest.mark.parametrize(
    "harm",
    [
        lambda file: file.write_bytes(b"no database at all" * 500),
        lambda file: file.write_bytes(file.read_bytes()[:5000]),
        lambda file: file.write_bytes(b""),
        damage,
        lambda file: (file.unlink(), file.mkdir()),
        lambda file: file.parent.chmod(0o500),
    ],
)
def test_a_cache_that_is_damaged_or_unusable_is_no_matter(tmp_path, cache, harm):
    a_run(tmp_path / "r", seed=5)
    a_run(tmp_path / "s", seed=6)
    before = [(run.seed, run.test_error, run.settings) for run in cifarzoo.runs(tmp_path)]
    (file,) = cache.glob("cifarzoo/runs/*.sqlite")

    harm(file)

    for _ in range(3):
        again = [(run.seed, run.test_error, run.settings) for run in cifarzoo.runs(tmp_path)]
        assert again == before


def test_a_number_that_was_flipped_in_the_cache_is_not_believed(tmp_path, cache):
    a_run(tmp_path / "r")
    cifarzoo.runs(tmp_path)
    (file,) = cache.glob("cifarzoo/runs/*.sqlite")
    data = file.read_bytes()
    assert b'"test_error": 0.05' in data

    file.write_bytes(data.replace(b'"test_error": 0.05', b'"test_error": 0.01'))

    assert one(tmp_path).test_error == 0.05


def test_a_cache_that_another_process_writes_to_is_not_waited_for(tmp_path, cache, monkeypatch):
    import sqlite3

    a_run(tmp_path / "r")
    cifarzoo.runs(tmp_path)
    (file,) = cache.glob("cifarzoo/runs/*.sqlite")
    monkeypatch.setattr(summary_cache, "LOCK_SECONDS", 0.01)
    with sqlite3.connect(file) as other:
        other.execute("BEGIN EXCLUSIVE")
        a_run(tmp_path / "s")

        assert len(cifarzoo.runs(tmp_path)) == 2


def test_the_cache_has_an_end(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(summary_cache, "MOST_RUNS", 3)
    for number in range(6):
        a_run(tmp_path / f"r{number}")
        assert len(cifarzoo.runs(tmp_path)) == number + 1

    import sqlite3

    (file,) = cache.glob("cifarzoo/runs/*.sqlite")
    with sqlite3.connect(file) as found:
        assert found.execute("SELECT count(*) FROM summaries").fetchone() == (3,)


@pytest.mark.parametrize("size", [0, 100, 5000, 10_000])
def test_on_a_full_disk_runs_are_listed_all_the_same(tmp_path, size):
    for number in range(30):
        a_run(tmp_path / f"r{number}", seed=number)

    with no_file_larger_than(size):
        seeds = {run.seed for run in cifarzoo.runs(tmp_path)}

    assert seeds == set(range(30))
    assert {run.seed for run in cifarzoo.runs(tmp_path)} == seeds


def test_of_an_old_run_that_kept_no_defaults_what_was_set_is_known(tmp_path):
    path = a_run(tmp_path / "r", seed=4)
    (path / "resolved.gin").unlink()

    run = one(tmp_path)

    assert (run.seed, run.settings, run.differs, run.problem) == (4, {"run.seed": "4"}, {}, None)


def test_a_run_that_was_planned_and_not_begun_is_new(tmp_path):
    loaded = config.load("quickstart.gin", sets=["run.seed=7"])
    folder, _ = adopt(tmp_path / "study/lr=0.1/seed7", loaded.text())
    keep_identity(folder, loaded)

    [run] = cifarzoo.runs(tmp_path)

    assert (run.status, run.config, run.seed, run.epoch) == ("new", "quickstart", 7, 0)
