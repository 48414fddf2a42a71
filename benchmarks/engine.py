"""The engine beside the bare loop and the machine's rates: ``cifarzoo bench`` on each recipe."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FLOAT32 = ("bare", "float32", "float32; bare")
RECIPES = (  # of how many images a step, how many steps a sample, and with which policies
    ("wrn26_2.gin", 64, 3, (*FLOAT32, "float32; nchw")),
    ("resnet18.gin", 128, 1, FLOAT32),
    ("wrn26_10.gin", 32, 1, ("float32",)),
    ("wrn26_6_ss.gin", 32, 1, ("float32",)),
)


def measure(data: Path, *, rounds: int, emit: Callable[[str], None]) -> list[dict[str, Any]]:
    """What ``cifarzoo bench`` found for each recipe.

    Args:
        data: Folder with CIFAR-10.
        rounds: Number of samples of each.
        emit: Callback that receives a line of progress.
    """
    found = []
    for recipe, batch_size, steps, policies in RECIPES:
        emit(f"cifarzoo bench {recipe}, batch {batch_size}")
        command = [sys.executable, "-m", "cifarzoo", "bench", recipe, "--json"]
        command += ["-s", f"run.batch_size={batch_size}", "--data", str(data)]
        command += ["--rounds", str(rounds), "--steps", str(steps)]
        command += [word for policy in policies for word in ("--policy", policy)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
        found.append(json.loads(done.stdout))
    return found
