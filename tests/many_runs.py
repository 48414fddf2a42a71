"""Folders of runs as finished ones leave them, without training any."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

SETTINGS = {
    "run.architecture": ("@architecture.resnet8", "mine.gin:1"),
    "run.epochs": ("2", "mine.gin:2"),
    "run.keep_checkpoints": ("5", "--set 'run.keep_checkpoints=5'"),
    "run.regularizers": ("[@regularizer.mixup]", "--set 'run.regularizers=[@mixup]'"),
    "run.seed": ("0", "--seed"),
    "optimizer.sgd.lr": ("0.1", "default of sgd"),
}
RECORD: dict[str, Any] = {
    "schema": 1,
    "status": "done",
    "error": None,
    "process": {"pid": 1, "host": socket.gethostname(), "started": "2026-11-01T10:00:00+00:00"},
    "config": "mine",
    "started": "2026-11-01T10:00:00+00:00",
    "steps": 16,
    "steps_per_epoch": 8,
    "test_error": 0.05,
    "train_seconds": 12.5,
}


def a_run(path: Path, *, seed: int = 0, lr: float = 0.1, epochs: int = 2, **record: Any) -> Path:
    """A run's folder: ``record`` changes its run.json, None takes an entry out."""
    path.mkdir(parents=True)
    (path / "config.gin").write_text(f"run.seed = {seed}\n")
    values = SETTINGS | {"run.seed": (str(seed), "--seed")}
    if lr != 0.1:
        values["optimizer.sgd.lr"] = (str(lr), f"--set 'sgd.lr={lr}'")
    lines = [f"{name} = {source}  # {origin}\n" for name, (source, origin) in values.items()]
    (path / "resolved.gin").write_text("# Every value.\n" + "".join(lines))
    entries = {name: value for name, value in (RECORD | record).items() if value is not None}
    (path / "run.json").write_text(json.dumps(entries))
    (path / "metrics.jsonl").write_text(
        "".join(line_of(epoch, 2) for epoch in range(1, epochs + 1))
    )
    (path / ".lock").touch()
    return path


def line_of(epoch: int, epochs: int, **scores: float) -> str:
    """A line of metrics.jsonl."""
    known = {"event": "epoch", "epoch": epoch, "epochs": epochs, "step": 8 * epoch}
    return json.dumps({**known, "test_error": 0.5 / epoch, "seconds": 3.0, **scores}) + "\n"


def a_checkpoint(run: Path, step: int, size: int = 1000) -> None:
    """Files under the names of a checkpoint's."""
    folder = run / "checkpoints" / f"step-{step:08d}"
    folder.mkdir(parents=True)
    (folder / "state.pt").write_bytes(os.urandom(size))
    (folder / "manifest.json").write_text("{}\n")
