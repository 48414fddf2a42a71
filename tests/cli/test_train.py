"""run, resume and eval as users type them: results, exit codes, and what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cifarzoo.components.plugin_files import PluginFile
from cifarzoo.components.plugins import catalogue
from cifarzoo.errors import UsageError
from cifarzoo.run_folders.folder import RunFolder
from tests.cli.small_run import CONFIG, cifarzoo, events, result_of

pytestmark = pytest.mark.usefixtures("here")

PLUGIN = '''
from cifarzoo import register

@register.schedule
def half():
    """Half the rate, always."""
    return lambda moment: 0.5
'''


def test_json_is_start_epochs_and_result_and_nothing_else():
    done = cifarzoo("run", "small.gin", "--json")

    lines = events(done.stdout)
    assert [line["event"] for line in lines] == ["start", "epoch", "epoch", "result"]
    promised = {"epoch", "train_loss", "test_loss", "test_error", "images_per_second"}
    assert promised <= lines[1].keys()
    assert lines[1]["epoch"] == 1
    result = lines[-1]
    assert {"run", "test_loss", "test_error", "train_seconds", "weights_sha256"} <= result.keys()
    assert 0 <= result["test_error"] <= 1
    record = json.loads((Path(result["run"]) / "run.json").read_text())
    assert record["status"] == "done"
    assert {key: record[key] for key in result if key != "event"} == {
        key: value for key, value in result.items() if key != "event"
    }


def test_a_run_ends_by_naming_its_folder_and_the_next_command():
    done = cifarzoo("run", "small.gin", "-s", "run.epochs=1")

    assert done.exit_code == 0
    folder = next(Path("runs/small").iterdir())
    last = done.stderr.splitlines()[-2:]
    assert str(folder) in last[0]
    assert f"cifarzoo eval {folder}" in last[1]
    assert done.stdout == ""


def test_eval_gives_what_the_run_gave():
    result = result_of("run", "small.gin", "-s", "run.epochs=1")

    for name in (result["run"], "latest", Path(result["run"]).name.rpartition("-")[2]):
        tested = result_of("eval", name)
        assert tested["test_error"] == result["test_error"]
        assert tested["test_loss"] == pytest.approx(result["test_loss"], rel=1e-6)
        assert tested["weights_sha256"] == result["weights_sha256"]


def test_eval_and_resume_say_which_run_they_mean():
    older, newer = (
        result_of("run", "small.gin", "-s", "run.max_steps=1", *where)["run"]
        for where in ((), ("--run-dir", "runs/mine"))
    )

    for name in ("latest", "runs/latest"):
        tested = cifarzoo("eval", name)
        assert tested.stderr.splitlines()[0] == f"{name} is runs/mine"
    assert tested.stdout.startswith(f"{newer}: test error ")
    [line] = cifarzoo("eval", older).stdout.splitlines()
    assert line.startswith(f"{older}: test error ")
    assert cifarzoo("resume", "mi").stderr.startswith("mi is runs/mine\n")


def test_the_seed_option_is_the_seed():
    short, long = (
        result_of("run", "small.gin", "-s", "run.max_steps=1", *seed)
        for seed in (("--seed", "3"), ("-s", "run.seed=3"))
    )

    assert short["weights_sha256"] == long["weights_sha256"]


def test_run_dir_runs_there_and_the_same_command_ends_it():
    first = result_of("run", "small.gin", "--run-dir", "here/it/is")
    again = cifarzoo("run", "small.gin", "--run-dir", "here/it/is", "--json")

    assert first["run"] == "here/it/is"
    assert events(again.stdout) == [first]


def test_a_run_of_a_plugin_file_goes_on_without_the_file(here):
    plugin = here / "half.py"
    plugin.write_text(PLUGIN)
    arguments = ["run", "small.gin", "-p", "half.py", "-s", "run.schedule=@half"]
    result = result_of(*arguments)
    plugin.unlink()

    tested = result_of("eval", "latest")

    assert tested["weights_sha256"] == result["weights_sha256"]
    plugins = json.loads((Path(result["run"]) / "run.json").read_text())["plugins"]
    assert len(plugins[0]["sha256"]) == 64


def test_plugin_files_of_one_name_are_all_kept(here):
    for folder, text in (("a", PLUGIN), ("b", PLUGIN.replace("half", "whole"))):
        (here / folder).mkdir()
        (here / folder / "mine.py").write_text(text)
    kept = RunFolder(here / "r")
    kept.path.mkdir()

    kept.keep_plugins(catalogue([here / "a/mine.py", here / "b/mine.py"]).files)

    texts = [path.read_text() for path in kept.plugins]
    assert sorted(texts) == sorted((here / f"{name}/mine.py").read_text() for name in "ab")


def test_plugin_files_that_cannot_be_kept_are_a_refusal(here):
    (here / "plugins").write_text("in the way")

    with pytest.raises(UsageError, match="plugins cannot be used: it is a file; expected a folder"):
        RunFolder(here).keep_plugins([PluginFile(here / "mine.py", "mine", b"")])


@pytest.mark.parametrize(
    ("text", "message"), [("[1]", "holds no JSON object"), ("{", "is not JSON: EOF while parsing")]
)
def test_a_record_that_is_garbage_is_refused_by_name(here, text, message):
    (here / "r").mkdir()
    (here / "r/config.gin").write_text(CONFIG)
    (here / "r/run.json").write_text(text)

    done = cifarzoo("resume", "r")

    assert done.exit_code == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(f"r/run.json {message}")


def test_a_run_keeps_to_its_own_copy_of_a_plugin_file_that_was_changed(here, monkeypatch):
    plugin = here / "half.py"
    plugin.write_text(PLUGIN)
    monkeypatch.setenv("CIFARZOO_PLUGINS", str(plugin))
    result = result_of("run", "small.gin", "-s", "run.schedule=@half", "-s", "run.max_steps=1")
    plugin.write_text(PLUGIN.replace("0.5", "0.25"))

    tested = result_of("eval", "latest")

    assert tested["weights_sha256"] == result["weights_sha256"]


def test_what_is_wrong_with_a_run_is_placed_in_its_folder(here):
    (here / "r").mkdir()
    (here / "r/config.gin").write_text(CONFIG.replace("0.05", "-1.0"))

    assert cifarzoo("resume", "r").stderr.startswith("r/config.gin:7: sgd.lr is -1.0;")


def test_two_tasks_of_srun_are_one_training_or_say_that_they_are_two(here, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting_point = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    command = [sys.executable, "-m", "cifarzoo", "run", "small.gin", "-s", "run.max_steps=1"]
    tasks = [
        subprocess.Popen(
            [*command, "--run-dir", "together"],
            env={
                **os.environ,
                **meeting_point,
                "GLOO_SOCKET_IFNAME": "lo",
                "OMP_NUM_THREADS": "1",
                "SLURM_STEP_NUM_TASKS": "2",
                "SLURM_PROCID": number,
                "SLURM_LOCALID": number,
            },
            stderr=subprocess.PIPE,
        )
        for number in "01"
    ]

    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    alone = cifarzoo(*command[3:], "--run-dir", "alone")

    assert "warning: SLURM started 2 tasks, and each trains for itself" in alone.stderr
    assert RunFolder(Path("alone")).record["world_size"] == 1
    said = [task.communicate()[1].decode() for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    assert RunFolder(Path("together")).record["world_size"] == 2
    assert "SLURM" not in "".join(said)


def test_dry_run_shows_what_would_be_built_and_makes_nothing():
    done = cifarzoo("run", "small.gin", "--dry-run", "--json")

    assert json.loads(done.stdout)["num_parameters"] == 78_042
    assert not Path("runs").exists()


REFUSED = {
    "batch beyond the data": (
        ["-s", "run.batch_size=999"],
        r"--set .*: run.batch_size is 999; expected at most the 128 training images",
    ),
    "zero epochs": (["-s", "run.epochs=0"], r"run.epochs is 0; expected at least 1"),
    "negative rate": (["-s", "sgd.lr=-0.1"], r"sgd.lr is -0.1; expected"),
    "infinite rate": (["-s", "sgd.lr=1e999"], r"sgd.lr is 1e999; expected a number above 0"),
    "momentum": (["-s", "sgd.momentum=1.5"], r"sgd.momentum is 1.5; expected"),
    "typo": (["-s", "sgd.larning_rate=1"], r"sgd has no parameter 'larning_rate'"),
    "out is a file": (
        ["--out", "small.gin"],
        r"small.gin/small/.* cannot be written to: Not a",
    ),
    "run dir is a file": (["--run-dir", "small.gin"], r"small.gin is not a folder"),
    "run dir too long": (["--run-dir", "n" * 300], r"no path of a folder: File name too long"),
    "run dir with other files": (["--run-dir", "."], r"\. holds other files; expected an empty"),
    "no such processes": (["--nproc", "0"], r"--nproc is 0; expected at least 1"),
    "batch not divisible, tried dry": (
        ["-n", "3", "--dry-run"],
        r"batch_size is 16; expected a multiple of the 3",
    ),
    "batch not divisible": (["-n", "3"], r"batch_size is 16; expected a multiple of the 3"),
    "no data folder": (["-s", "run.dataset=@cifar10"], r"CIFAR-10"),
    "merger too few": (["-s", "run.architecture=@wrn26_6_ss"], r"shake_shake"),
    "seed": (["--seed", "-1"], r"run.seed is -1; expected at least 0"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_one_line_exit_2_and_leaves_nothing(arguments, message):
    done = cifarzoo("run", "small.gin", *arguments)

    assert done.exit_code == 2, done.output
    [line] = done.stderr.splitlines()
    assert re.search(message, line), line
    assert not Path("runs").exists()


def test_a_value_in_the_file_is_named_by_file_and_line(here):
    (here / "small.gin").write_text(CONFIG.replace("0.05", "-1.0"))

    done = cifarzoo("run", "small.gin")

    assert done.stderr == "small.gin:7: sgd.lr is -1.0; expected a number above 0\n"


def test_another_config_in_the_same_folder_is_refused_with_the_difference():
    result_of("run", "small.gin", "--run-dir", "r", "-s", "run.max_steps=1")

    done = cifarzoo("run", "small.gin", "--run-dir", "r", "-s", "run.max_steps=2")

    assert done.exit_code == 2
    assert "r holds a run of another config: run.max_steps is 1 there and 2 here" in done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("n" * 300, r"… is no path of a folder: File name too long"),
        ("nope", r"no run 'nope' in runs, which has none"),
        (".", r". is not the folder of a run"),
    ],
)
def test_a_run_that_is_not_there_is_named(name, message):
    for command in ("resume", "eval"):
        done = cifarzoo(command, name)
        assert done.exit_code == 2
        assert message in done.stderr


@pytest.mark.parametrize("size", [None, 300], ids=["gone", "shortened"])
def test_a_result_whose_metrics_are_lost_is_not_made_up(size):
    whole = result_of("run", "small.gin", "--run-dir", "r")
    (record, metrics) = (Path("r/run.json"), Path("r/metrics.jsonl"))
    record.write_text(record.read_text().replace('"done"', '"running"'))
    os.truncate(metrics, size) if size else metrics.unlink()

    done = cifarzoo("resume", "r")

    assert done.exit_code == 2
    assert re.search(r"r/metrics.jsonl lacks \d+ of the \d+ bytes .* put the file", done.stderr)
    assert result_of("eval", "r")["weights_sha256"] == whole["weights_sha256"]


def test_a_run_whose_metrics_are_lost_goes_on_with_a_warning():
    whole = result_of("run", "small.gin", "--run-dir", "r")
    (record, metrics) = (Path("r/run.json"), Path("r/metrics.jsonl"))
    record.write_text(record.read_text().replace('"done"', '"running"'))
    shutil.rmtree("r/checkpoints/step-00000016")
    os.truncate(metrics, 100)

    done = cifarzoo("resume", "r", "--json")

    assert "epochs are missing in it" in done.stderr
    assert events(done.stdout)[-1]["weights_sha256"] == whole["weights_sha256"]
    assert [line["epoch"] for line in events(metrics.read_text())] == [2]


def test_a_closed_output_is_no_bug():
    command = [sys.executable, "-m", "cifarzoo", "ls", "schedule"]

    done = subprocess.run(
        ["bash", "-c", '"$@" >&-', "bash", *command], capture_output=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")


def test_a_checkpoint_beside_another_config_is_refused():
    result = result_of("run", "small.gin", "-s", "run.max_steps=6")
    config = Path(result["run"]) / "config.gin"
    config.write_text(config.read_text().replace("0.05", "0.07"))

    done = cifarzoo("eval", "latest")

    assert done.exit_code == 2
    assert "is of another config than config.gin beside it" in done.stderr


def test_milestones_past_the_end_are_a_warning():
    done = cifarzoo(
        "run", "small.gin", "-s", "run.schedule=@multistep", "-s", "run.max_steps=1",
        "-s", "multistep.milestones=[60]", "-s", "multistep.factors=[0.1]",
    )  # fmt: skip

    assert done.exit_code == 0
    assert "warning: milestone 60 is past the end of the run" in done.stderr


def test_steps_that_shorten_the_schedule_or_nothing_are_warned_of():
    shorter = cifarzoo("run", "small.gin", "-s", "run.max_steps=1")
    without_effect = cifarzoo("run", "small.gin", "-s", "run.max_steps=99", "--dry-run")

    assert "warning: run.max_steps is 1 of the 16 steps of run.epochs = 2: " in shorter.stderr
    assert "warning: run.max_steps is 99 and changes nothing: run.epochs = 2 is 16 steps" in (
        without_effect.stderr
    )


BAD_PLUGIN = """
from torch import nn
from cifarzoo import register
from cifarzoo.protocols import Dataset, Split
import numpy as np


class Bad(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.body, self.out = nn.Conv2d(3, 8, 3), nn.Linear(7, num_classes)

    def forward(self, x):
        pooled = self.body(x).mean((2, 3))
        return self.out(pooled)


@register.architecture
def bad(*, num_classes: int) -> nn.Module:
    '''Doesn't fit together.'''
    return Bad(num_classes)


@register.dataset
def gray28(folder) -> Dataset:
    '''28 x 28, and says nothing of it.'''
    def load():
        split = Split(images=np.zeros((64, 1, 28, 28), np.uint8), labels=np.arange(64) % 10)
        return split, split
    names = list('0123456789')
    return Dataset(title='gray', classes=names, mean=(0.5,) * 3, std=(0.2,) * 3, load=load)
"""


@pytest.mark.parametrize("options", [[], ["--dry-run"], ["-n", "2"]])
def test_a_plugins_failure_shows_the_line_of_its_file_and_the_shapes_there(here, options):
    (here / "bad.py").write_text(BAD_PLUGIN)

    done = cifarzoo("run", "small.gin", "-p", "bad.py", "-s", "run.architecture=@bad", *options)

    assert done.exit_code == 2
    message, place, shapes = done.stderr.splitlines()
    assert "bad: fails on images (2, 3, 32, 32): RuntimeError: mat1 and mat2" in message
    assert place == "  bad.py:15: return self.out(pooled)"
    assert shapes == "  there pooled is float32 (2, 8)"


@pytest.mark.parametrize("by_variable", [True, False])
def test_the_whole_traceback_is_shown_to_whoever_asks(here, monkeypatch, by_variable):
    (here / "bad.py").write_text(BAD_PLUGIN)
    monkeypatch.setenv("CIFARZOO_TRACEBACK", "1" if by_variable else "")

    line = ["run", "small.gin", "-p", "bad.py", "-s", "run.architecture=@bad"]
    done = cifarzoo(*line, *["--traceback"] * (not by_variable))

    assert done.exit_code == 2
    assert "Traceback (most recent call last):" in done.stderr
    assert "torch/nn/modules/linear.py" in done.stderr


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_images_of_another_shape_than_was_said_are_refused_dry_or_not(here, options):
    (here / "bad.py").write_text(BAD_PLUGIN)

    done = cifarzoo("run", "small.gin", "-p", "bad.py", "-s", "run.dataset=@gray28", *options)

    assert done.exit_code == 2
    assert "images are uint8 (64, 1, 28, 28); expected uint8 (N, 3, 32, 32)" in done.stderr
    assert not done.stdout


def test_eval_tests_the_weights_that_are_named():
    best = ["-s", "run.validation_images=32", "-s", "run.keep_checkpoints=9"]
    result_of("run", "small.gin", "--run-dir", "r", *best)

    done = result_of("eval", "r", "--weights", "best")

    lines = RunFolder(Path("r")).metrics()
    of_best = min(lines, key=lambda line: line["validation_error"])
    assert (done["weights"], done["step"]) == ("best", of_best["step"])
    assert done["test_loss"] == of_best["test_loss"]
    assert "best weights, step" in cifarzoo("eval", "r", "--weights", "best").stdout
    assert "no averaged weights" in cifarzoo("eval", "r", "--weights", "average").stderr
