import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command import invoke, refuse

SMALL = """
include 'quickstart.gin'
run.epochs = 3
run.batch_size = 32
glyphs.train_images = 96
glyphs.test_images = 64
run.checkpoint_steps = 1
resnet8.stem_stride = 4
"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.gin"
    path.write_text(SMALL)
    return path


def words(*command):
    return [sys.executable, "-m", "cifarzoo", "sweep", *map(str, command)]


def sweep(*command):
    """A sweep in this process; its cells are processes of their own."""
    return invoke("sweep", *map(str, command))


def finals(folder):
    """What each run of a sweep came to, weights included."""
    found = {}
    for path in sorted(folder.rglob("run.json")):
        record = json.loads(path.read_text())
        found[str(path.parent.relative_to(folder))] = (record["status"], record["weights_sha256"])
    return found


def test_a_sweep_trains_all_cells_once_and_goes_on_with_more(small, tmp_path):
    study = tmp_path / "study"
    first = sweep(small, "--vary", "sgd.lr=.1,.3", "-o", study, "-j", 2, "--json")
    assert first.exit_code == 0, first.stderr
    told = json.loads(first.stdout)
    assert told["states"] == {"done": 2}
    assert [point["name"] for point in told["points"]] == ["lr=0.1", "lr=0.3"]
    for point in told["points"]:
        record = json.loads((study / point["name"] / "seed0/run.json").read_text())
        assert point["numbers"] == {"0": pytest.approx(100 * record["test_error"])}
        assert record["config"] == "small"
    before = {path: path.stat().st_mtime_ns for path in study.rglob("metrics.jsonl")}

    more = sweep(small, "--vary", "sgd.lr=.1,.3,.5", "-o", study, "-j", 2)

    assert more.exit_code == 0, more.stderr
    assert more.stderr.count(" starts") == 1
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [line.split()[0] for line in more.stdout.splitlines()[1:]] == ["0.1", "0.3", "0.5"]


def test_kill_9_of_the_sweep_or_of_a_cell_at_any_moment_loses_nothing(small, tmp_path):
    rest = ("--vary", "sgd.lr=.1,.3", "-j", 2)
    undisturbed = sweep(small, *rest, "-o", tmp_path / "quiet")
    assert undisturbed.exit_code == 0, undisturbed.stderr
    seconds, rng = [], random.Random(os.urandom(8))

    study = tmp_path / "study"
    for kills_parent in (True, False):
        seconds.append(rng.uniform(2, 8))
        with subprocess.Popen(words(small, *rest, "-o", study), stderr=subprocess.DEVNULL) as run:
            time.sleep(seconds[-1])
            cells = children(run.pid)
            for pid in [run.pid] if kills_parent else cells[:1]:
                os.kill(pid, signal.SIGKILL)
            if not kills_parent:
                run.send_signal(signal.SIGTERM)
    last = sweep(small, *rest, "-o", study)

    assert last.exit_code == 0, f"{last.stderr}\nkilled after {seconds} s"
    assert finals(study) == finals(tmp_path / "quiet"), f"killed after {seconds} s"


def children(pid):
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(each) for each in listed.read_text().split()] if listed.exists() else []


def test_a_signal_saves_all_cells_and_the_same_command_goes_on(small, tmp_path):
    study = tmp_path / "study"
    long = (small, "-s", "run.epochs=500", "-o", study)
    with subprocess.Popen(words(*long), stderr=subprocess.PIPE, text=True) as run:
        # Not into checkpoints, which come and go.
        while not list(study.glob("*/*/checkpoints/step-*/manifest.json")):
            assert run.poll() is None, run.stderr.read()
            time.sleep(0.1)
        run.send_signal(signal.SIGTERM)
        told = run.stderr.read()

    assert run.returncode == 75, told
    assert "small/seed0: stopped, with all saved" in told
    assert "stopped by SIGTERM; the same command goes on" in told
    [record] = study.rglob("run.json")
    assert json.loads(record.read_text())["status"] == "stopped"


def test_a_cell_that_fails_is_listed_with_its_line_and_the_others_train(small, tmp_path):
    study = tmp_path / "study"
    command = (small, "--vary", "sgd.lr=1e38,.1", "-o", study)

    first = sweep(*command)
    again = sweep(*command)
    retried = sweep(*command, "--retry")

    for told in (first, again, retried):
        assert told.exit_code == 1
        assert "warning: lr=1e+38/seed0 failed: " in told.stderr
        assert "not finite" in told.stderr
        assert "0.1" in told.stdout
    assert first.stderr.count(" starts") == 2
    assert again.stderr.count(" starts") + again.stderr.count(" goes on") == 0
    assert retried.stderr.count(" goes on") == 1


def test_each_printed_command_trains_its_cell(small, tmp_path):
    study = tmp_path / "study"
    printed = sweep(small, "--seeds", "2", "-o", study, "--print")
    assert printed.exit_code == 0, printed.stderr
    lines = printed.stdout.splitlines()
    assert lines == [f"cifarzoo resume {study}/small/seed{n}" for n in (0, 1)]

    subprocess.run(
        [sys.executable, "-m", *lines[1].split()], check=True, capture_output=True, text=True
    )
    rest = sweep(small, "--seeds", "2", "-o", study)

    assert rest.exit_code == 0, rest.stderr
    assert rest.stderr.count(" starts") == 1
    assert "small   " in rest.stdout


def test_a_dry_run_lists_cells_and_hours_and_writes_nothing(small, tmp_path):
    study = tmp_path / "study"

    told = sweep(small, "--vary", "sgd.lr=.1,.3", "-o", study, "--dry-run")

    assert told.exit_code == 0, told.stderr
    assert [line.split() for line in told.stdout.splitlines()] == [
        ["lr=0.1/seed0", "waiting"],
        ["lr=0.3/seed0", "waiting"],
    ]
    assert "2 cells, about " in told.stderr
    assert not study.exists()


def test_a_value_out_of_its_range_is_refused_before_the_first_cell(small, tmp_path):
    study = tmp_path / "study"

    told = refuse("sweep", small, "--vary", "sgd.momentum=.9,1.5", "-o", study)

    assert "sgd.momentum is 1.5" in told
    assert not study.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-j", "0"], "--jobs is 0"),
        (["--threads", "0"], "--threads is 0"),
        (["--nproc", "0"], "--nproc is 0"),
        (["--seeds", "x"], "--seeds is 'x'"),
        (["--vary", "lr"], "--vary is 'lr'"),
        (["--json", "--format", "csv"], "two formats"),
    ],
)
def test_options_out_of_range_are_refused(small, tmp_path, options, message):
    assert message in refuse("sweep", small, "-o", tmp_path / "study", *options)


def test_cells_have_the_threads_of_before(small, tmp_path):
    study = tmp_path / "study"
    for jobs in ("2", "1"):
        told = sweep(small, "-s", "run.max_steps=1", "--seeds", jobs, "-o", study, "-j", jobs)
        assert told.exit_code == 0, told.stderr

    share = max(1, len(os.sched_getaffinity(0)) // 2)
    for manifest in study.rglob("step-*/manifest.json"):
        assert f'"threads": {share}' in manifest.read_text()
    assert json.loads((study / "sweep.json").read_text())["threads"] == share
