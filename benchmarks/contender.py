"""A contender's process: ``python -m benchmarks.contender NAME TASK``; its parent gives turns."""

from __future__ import annotations

import sys
from importlib import import_module

import torch

from benchmarks.pace import Pace
from benchmarks.task import Task

MODULES = {  # by the name's first word
    "cifarzoo": "ours",
    "timm": "timm_loop",
    "plain": "plain",
    "ipex": "extension",
}


def main() -> None:
    """Train until stdin ends."""
    name, text = sys.argv[1:]
    task = Task.from_text(text)
    torch.set_num_threads(task.threads)
    import_module(f"benchmarks.contenders.{MODULES[name.split()[0]]}").train(task, Pace())


if __name__ == "__main__":
    main()
