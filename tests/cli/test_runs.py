"""``cifarzoo runs`` and ``show RUN``: what is listed, found, completed and taken away."""

import csv
import fcntl
import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.small_run import result_of
from tests.command import on_a_terminal, refuse, succeed
from tests.many_runs import a_checkpoint, a_run

pytestmark = pytest.mark.usefixtures("kernels_are_built")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("caches")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    """Three runs in the folder that is asked by default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    day = "2026-11-0{}T10:00:00+00:00".format
    a_run(tmp_path / "runs/mine/20261101-100000-ab12", name="wide", started=day(1))
    a_run(tmp_path / "runs/mine/20261102-100000-cd34", seed=1, lr=0.3, started=day(2))
    a_run(tmp_path / "runs/study/lr=0.1/seed0", status="running", tags=["x"], started=day(3))
    return tmp_path / "runs"


def test_runs_are_listed_a_line_each(runs):
    heading, *lines = succeed("runs").splitlines()

    assert heading.split()[:5] == ["id", "name", "config", "tags", "differs"]
    assert [line.split()[0] for line in lines] == ["seed0", "cd34", "ab12"]
    assert "interrupted" in lines[0]
    assert "run.regularizers=[@mixup] sgd.lr=0.3" in lines[1]
    assert lines[1].split()[-7:-3] == ["1", "2/2", "5.00", "done"]


def test_runs_are_chosen_sorted_and_cut_off(runs):
    def listed(*options: str) -> list[str]:
        return [run["id"] for run in json.loads(succeed("runs", *options, "--json"))]

    assert listed("--status", "done", "--sort", "seed") == ["ab12", "cd34"]
    assert listed("-w", "sgd.lr=0.3") == ["cd34"]
    assert listed("--tag", "x") == ["seed0"]
    assert listed("--sort", "age", "-r", "-n", "1") == ["ab12"]
    assert listed("runs/study") == ["runs/study/lr=0.1/seed0"]
    assert listed("ls", "-w", "seed=7") == []


def test_every_format_has_the_rows(runs):
    rows = list(csv.DictReader(io.StringIO(succeed("runs", "--format", "csv"))))

    assert [row["error"] for row in rows] == ["5.0"] * 3
    assert rows[1]["differs"] == "run.regularizers=[@mixup] sgd.lr=0.3"
    assert succeed("runs", "--format", "md").count("\n") == 5
    assert r"\toprule" in succeed("runs", "--format", "latex")
    assert json.loads(succeed("runs", "--json", "-n", "1"))[0]["differs"] == {
        "run.regularizers": "[@mixup]"
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--status", "dne"], "--status is 'dne'; did you mean done?"),
        (["--where", "error"], "'error' is no condition; expected COLUMN OPERATOR VALUE"),
        (["--sort", "eror"], "did you mean error?"),
        (["nowhere"], "there is no folder nowhere"),
        (["--json", "--format", "md"], "ask for two formats"),
        (["--format", "xml"], "'xml' is not one of 'table'"),
        (["rm"], "missing argument"),
    ],
)
def test_what_makes_no_sense_is_one_line(runs, options, message):
    said = refuse("runs", *options)
    assert message in said
    assert said.count("\n") == 1


def test_a_terminal_gets_lines_that_fit_it(runs):
    env = os.environ | {"COLUMNS": "80", "TERM": "xterm"}
    shown = on_a_terminal("runs", env=env, stream="stdout").splitlines()

    assert len(shown) == 4
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in shown) <= 80
    assert "…" in shown[2]
    assert "done" in shown[2]


def test_a_name_obeys_no_terminal(runs):
    a_run(runs / "odd", name="[red]\x1b[2Jx")
    assert "[red]\\x1b[2Jx" in succeed("runs")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("resume ", "latest"),
        ("resume wi", "wide"),
        ("eval cd", "cd34"),
        ("compare see", "seed0"),
        ("show ab", "ab12"),
        ("runs rm c", "cd34"),
        ("run --from w", "wide"),
        ("runs ", "gc"),
        ("runs --st", "--status"),
        ("resume runs/st", "runs/study/"),
    ],
)
def test_the_shell_completes_runs(runs, typed, offered):
    words = f"cifarzoo {typed}"
    said = succeed(
        _CIFARZOO_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(words.count(" "))
    )
    assert offered in said.splitlines()


def test_a_run_is_shown_on_a_card(runs):
    a_checkpoint(runs / "mine/20261101-100000-ab12", 16, size=250_000)

    card = succeed("show", "wide")

    for said in ("wide  done", "5.00 %", "50.00 % █▁ 25.00 %", "step 16  0.3 MB", "begun"):
        assert said in card
    assert json.loads(succeed("show", "ab1", "--json"))["checkpoints"][0]["step"] == 16


def test_a_run_whose_record_makes_no_sense_is_shown(runs):
    (runs / "mine/20261101-100000-ab12/run.json").write_text("{")
    card = succeed("show", "ab12")
    assert "unreadable" in card
    assert "run.json is not JSON" in card


def test_what_is_neither_component_nor_config_nor_run_is_refused(runs):
    assert "no component 'xyz'; cifarzoo ls lists them, and cifarzoo runs the runs" in refuse(
        "show", "xyz"
    )
    assert "2 runs in runs are called '2026'" in refuse("show", "2026")
    assert "--set has no effect on a run" in refuse("show", "wide", "-s", "a.b=1")
    assert "is not the folder of a run" not in refuse("show", "runs")


def test_a_run_is_taken_away_with_all_that_it_wrote(runs):
    path = runs / "mine/20261101-100000-ab12"
    a_checkpoint(path, 8)
    for name in ("tensorboard/events.out.tfevents.1", "plugins/mine.py", ".run.json.77"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).touch()

    assert "is gone" in succeed("runs", "rm", "wide", "--yes")

    assert not path.exists()
    assert (runs / "mine/20261102-100000-cd34/run.json").exists()


@pytest.mark.parametrize(
    "other",
    ["notes.txt", "checkpoints/step-00000008.1/state.pt", "tensorboard/mine.txt", "deep/er/a.txt"],
)
def test_a_folder_with_files_of_others_is_left_as_it_is(runs, other):
    path = runs / "mine/20261101-100000-ab12"
    (path / other).parent.mkdir(parents=True, exist_ok=True)
    (path / other).touch()
    before = sorted(path.rglob("*"))

    said = refuse("runs", "rm", "wide", "--yes")

    assert "holds what no run writes: " in said
    assert sorted(path.rglob("*")) == before


def test_what_a_link_leads_to_is_not_taken_away(runs, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "state.pt").touch()
    path = runs / "mine/20261101-100000-ab12"
    (path / "checkpoints").mkdir()
    (path / "checkpoints/step-00000008").symlink_to(kept)
    (tmp_path / "linked").symlink_to(path)

    assert "holds what no run writes" in refuse("runs", "rm", "wide", "-y")
    assert "is a link to a run's folder" in refuse("runs", "rm", "linked", "-y")
    assert (kept / "state.pt").exists()
    assert (path / "run.json").exists()


def test_a_run_that_is_at_work_or_may_be_is_not_taken_away(runs):
    path = runs / "study/lr=0.1/seed0"
    with (path / ".lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "is running; stop it first" in refuse("runs", "rm", "seed0", "-y")
    a_run(runs / "far", status="running", process={"pid": 1, "host": "node7"})
    assert "is running on node7?; stop it first" in refuse("runs", "rm", "far", "-y")


def test_nothing_is_taken_away_unasked(runs):
    assert "nobody can be asked here; give --yes" in refuse("runs", "rm", "wide")
    assert (runs / "mine/20261101-100000-ab12").exists()


@pytest.mark.parametrize(("answer", "is_there"), [("n", True), ("y", False)])
def test_on_a_terminal_it_is_asked(runs, answer, is_there):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "cifarzoo", "runs", "rm", "wide"]
    with subprocess.Popen(command, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE) as asking:
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        assert asking.wait(60) == (1 if is_there else 0)
        shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "take 1 run away for good?" in shown
    assert (runs / "mine/20261101-100000-ab12").exists() is is_there


@pytest.fixture
def trained(here) -> Path:
    """A finished run with checkpoints of steps 5, 10 and 16."""
    chosen = ["-s", "run.keep_checkpoints=5", "-s", "run.validation_images=32"]
    result = result_of("run", "small.gin", *chosen, "--name", "small", "--tag", "a", "--tag", "b")
    return here / result["run"]


def steps(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_checkpoints_that_nothing_needs_are_taken_away(trained):
    before = steps(trained)
    assert len(before) > 2

    assert f"{trained.name}: step 5" in succeed("runs", "gc", "--dry-run")
    assert "nobody can be asked here" in refuse_after_listing("runs", "gc")
    assert steps(trained) == before
    assert "taken away" in succeed("runs", "gc", "--yes")

    kept = steps(trained)
    assert before[-1] in kept
    assert len(kept) <= 2
    assert "test error" in succeed("eval", "small")
    assert "test error" in succeed("eval", "small", "--weights", "best")
    assert "0 checkpoints of 1 finished run can go" in succeed("runs", "gc")


def refuse_after_listing(*command: str) -> str:
    from tests.command import invoke

    result = invoke(*command)
    assert result.exit_code == 2
    return result.stderr


def test_where_the_newest_checkpoint_is_damaged_all_are_kept(trained):
    before = steps(trained)
    state = trained / "checkpoints" / before[-1] / "state.pt"
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 1
    state.write_bytes(data)

    assert "0 checkpoints" in succeed("runs", "gc", "--yes")

    assert steps(trained) == before


def test_a_name_and_tags_are_kept_and_are_no_part_of_the_run(trained, here):
    record = json.loads((trained / "run.json").read_text())
    assert (record["name"], record["tags"]) == ("small", ["a", "b"])

    command = ["run", "small.gin", "-s", "run.keep_checkpoints=5", "-s", "run.validation_images=32"]
    again = result_of(*command, "--run-dir", str(trained), "--name", "other", "--tag", "c")

    assert again["test_error"] == record["test_error"]
    record = json.loads((trained / "run.json").read_text())
    assert (record["name"], record["tags"]) == ("other", ["a", "b", "c"])
    assert record["attempts"] == record["attempts"][:1]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("latest", "the name 'latest' means something else already"),
        ("-x", "would be taken for an option or a path"),
        ("a/b", "would be taken for an option or a path"),
        ("a\x1b[2J", "has letters that can't be seen"),
        (" ", "is empty, or has blanks around it"),
        ("x" * 101, "has 101 letters; expected at most 100"),
    ],
)
def test_names_that_could_not_be_typed_are_refused(here, label, message):
    assert message in refuse("run", "small.gin", "--name", label)
    assert not (here / "runs").exists()


def test_python_names_a_run_too(here):
    import cifarzoo

    with pytest.raises(cifarzoo.errors.UsageError, match=r"tags is 'x'; expected a list"):
        cifarzoo.train("small.gin", tags="x")
    result = cifarzoo.train("small.gin", name="py", tags=["t"], progress=False)

    (run,) = cifarzoo.runs().where("tags=t")
    assert (run.name, run.test_error) == ("py", result.test_error)
    assert run.test_error == cifarzoo.load_run("py").result.test_error
