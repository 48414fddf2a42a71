"""The plain loop under Intel's extension, as its documentation has it for training in bfloat16.

Its last release needs torch 2.8: it is run by a Python of its own, which has no cifarzoo.
"""

from __future__ import annotations

import intel_extension_for_pytorch as ipex
import torch
from torch import nn

from benchmarks.contenders import plain
from benchmarks.pace import Pace
from benchmarks.task import Task


def train(task: Task, pace: Pace) -> None:
    """Train epoch after epoch."""
    plain.train(task, pace, optimized)


def optimized(net: nn.Module, optimizer: torch.optim.Optimizer) -> plain.Trained:
    """What ``ipex.optimize`` makes of both: its weights' layouts, its fused update."""
    made: plain.Trained = ipex.optimize(net, optimizer=optimizer, dtype=torch.bfloat16)
    return made
