"""Folders of runs as training leaves them, without any training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from cifarzoo import config
from cifarzoo.config.effective import resolved_text

DATA = {"title": "CIFAR-10", "sha256": "a" * 64}


def finish(
    path: Path, seed: int, error: float, *sets: str, curve: Sequence[float] = (), **record: object
) -> Path:
    """A finished run of resnet20 in ``path/seed<N>``; errors in percent, ``curve`` by epoch."""
    folder = path / f"seed{seed}"
    folder.mkdir(parents=True)
    text, resolved = _texts(f"run.seed={seed}", *sets)
    (folder / "config.gin").write_text(text)
    (folder / "resolved.gin").write_text(resolved)
    lines = [
        {"event": "epoch", "epoch": n, "epochs": len(curve), "step": n, "test_error": value / 100}
        for n, value in enumerate(curve, 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = {"status": "done", "config": "resnet20", "test_error": error / 100, "data": DATA}
    (folder / "run.json").write_text(json.dumps(done | record))
    return folder


@cache
def _texts(*sets: str) -> tuple[str, str]:
    loaded = config.load("resnet20.gin", sets=sets)
    return loaded.text(), resolved_text(loaded)
