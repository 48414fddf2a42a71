"""Runs that are killed or stopped by a signal, and resumed, by the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.small_run import cifarzoo, events, result_of


@pytest.fixture
def start(here: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command in a process of its own."""
    started = []

    def popen(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "cifarzoo", *arguments]
        pipe = subprocess.PIPE
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        started.append(
            subprocess.Popen(
                command,
                stdout=pipe,
                stderr=pipe,
                text=True,
                env=environment,
                # What a shell starts in the background ignores Ctrl-C, and so would all it starts.
                preexec_fn=lambda: signal.signal(  # noqa: PLW1509  (no thread holds anything)
                    signal.SIGINT, signal.default_int_handler
                ),
            )
        )
        return started[-1]

    yield popen
    for process in started:
        process.kill()
        process.communicate()


LONG = ("run", "small.gin", "-s", "run.epochs=200", "--run-dir", "r", "--json")


def await_event(process: subprocess.Popen[str], name: str) -> None:
    for line in process.stdout:
        if json.loads(line)["event"] == name:
            return
    raise AssertionError(process.stderr.read())


def test_kill_9_in_mid_epoch_then_resume_gives_the_same_bits(start):
    whole = result_of("run", "small.gin", "--run-dir", "whole", "-s", "run.epochs=30")
    process = start("run", "small.gin", "--run-dir", "killed", "-s", "run.epochs=30", "--json")
    await_event(process, "epoch")
    process.kill()
    process.wait()
    assert json.loads(Path("killed/run.json").read_text())["status"] == "running"

    done = cifarzoo("resume", "killed", "--json")

    lines = events(done.stdout)
    assert lines[0]["event"] == "resumed"
    assert 5 <= lines[0]["step"] < 240
    assert lines[-1]["weights_sha256"] == whole["weights_sha256"]
    assert numbers("killed") == numbers("whole")


def numbers(run: str) -> list[dict[str, Any]]:
    lines = events((Path(run) / "metrics.jsonl").read_text())
    times = ("seconds", "images_per_second")
    return [{k: v for k, v in line.items() if k not in times} for line in lines]


@pytest.mark.parametrize("ranks", ["1", "2"])
def test_a_signal_ends_with_75_a_checkpoint_and_the_way_on(start, ranks):
    # Each rank's share of small.gin's 16 images would have a slow path in float32, and a warning.
    process = start(*LONG, "-n", ranks, "-s", "run.batch_size=32")
    await_event(process, "epoch")
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=120)

    assert process.returncode == 75, errors
    assert errors == ""
    assert events(output)[-1]["event"] == "stopped"
    assert json.loads(Path("r/run.json").read_text())["status"] == "stopped"


SLOW_TO_IMPORT = '''"""A schedule whose module takes a while to import in a rank."""
import os
import time
from pathlib import Path
from cifarzoo import register

if "RANK" in os.environ:
    Path(f"importing-{os.environ['RANK']}").touch()
    time.sleep(30)


@register.schedule
def always():
    """The base rate."""
    return lambda moment: 1.0
'''


def test_ctrl_c_before_ranks_train_is_told_in_one_line(start):
    Path("slow.py").write_text(SLOW_TO_IMPORT)
    process = start(*LONG, "-p", "slow.py", "-s", "run.schedule=@always", "-n", "2")
    while len(list(Path().glob("importing-*"))) < 2:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert errors == "stopped by SIGINT before anything was saved\n"


def test_a_second_ctrl_c_ends_at_once(start):
    process = start("run", "small.gin", "-s", "run.epochs=200", "-s", "run.batch_size=128",
                    "-s", "glyphs.train_images=4000", "--run-dir", "r", "--json")  # fmt: skip
    await_event(process, "start")
    process.send_signal(signal.SIGINT)
    time.sleep(0.02)  # within a step
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)

    assert process.returncode in {130, 75}  # 75: the step was over before the second came


def test_ranks_whose_launcher_is_killed_save_and_end(start):
    process = start(*LONG, "-n", "2")
    await_event(process, "epoch")
    process.kill()

    last = process.stdout.readlines()[-1]  # to the end: no rank holds the pipe any more

    assert json.loads(last)["event"] == "stopped"
    assert json.loads(Path("r/run.json").read_text())["status"] == "stopped"
    assert list(Path("r/checkpoints").glob(f"step-{json.loads(last)['step']:08d}"))
