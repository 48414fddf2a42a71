"""Whole runs by the command line: one that is stopped and resumed, and one to its end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.gpu.child import Session
from cifarzoo.errors import EXIT_STOPPED

EXACT = ("run.deterministic=True", "run.compile=False", "run.max_steps=60")
STOPPED = (*EXACT, "run.checkpoint_steps=10")


def resume(session: Session) -> None:
    """Record whether a run that was stopped and resumed ends with the bits of one that wasn't."""
    with TemporaryDirectory() as folder:
        whole = _result(_command(session, Path(folder, "whole"), EXACT))
        stopped = Path(folder, "stopped")
        at = _stop_after_a_checkpoint(_command(session, stopped, STOPPED), stopped)
        resumed = _result([*_cifarzoo("resume"), str(stopped), "--json"])
    is_same = whole["weights_sha256"] == resumed["weights_sha256"]
    found = {"stopped_at_step": at, "weights_sha256": resumed["weights_sha256"]}
    wrong = {} if is_same else {"error": "the resumed run's weights differ from the whole run's"}
    session.record("stopped and resumed", found | wrong)


def train(session: Session) -> None:
    """Record what a run to its end took, and what came out."""
    with TemporaryDirectory() as folder:
        started = time.perf_counter()
        events = _events(_command(session, Path(folder, "run"), ()))
        seconds = time.perf_counter() - started
    [result] = [event for event in events if event["event"] == "result"]
    speeds = [event["images_per_second"] for event in events if event["event"] == "epoch"]
    kept = {key: value for key, value in result.items() if isinstance(value, (int, float))}
    session.record("result", {**kept, "images_per_second": max(speeds), "seconds": seconds})


def _cifarzoo(command: str) -> list[str]:
    return [sys.executable, "-m", "cifarzoo", command]


def _command(session: Session, folder: Path, sets: tuple[str, ...]) -> list[str]:
    settings = [word for text in (*session.check.sets, *sets) for word in ("-s", text)]
    data = ["--data", str(session.data)] if session.data else []
    run = [*_cifarzoo("run"), session.check.recipe, *settings, *data]
    return [*run, "--run-dir", str(folder), "--json", "--nproc", "1"]


def _events(command: list[str]) -> list[dict[str, Any]]:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    return [json.loads(line) for line in done.stdout.splitlines()]


def _result(command: list[str]) -> dict[str, Any]:
    [result] = [event for event in _events(command) if event["event"] == "result"]
    return result


def _stop_after_a_checkpoint(command: list[str], folder: Path) -> int:
    """The step at which a run was stopped, by SIGTERM, once it had saved."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        while process.poll() is None and not any(folder.glob("checkpoints/*/manifest.json")):
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate()
    if process.returncode != EXIT_STOPPED:
        raise RuntimeError(f"exit code {process.returncode}; expected a stop, {EXIT_STOPPED}")
    [stopped] = [e for e in map(json.loads, output.splitlines()) if e["event"] == "stopped"]
    return int(stopped["step"])
