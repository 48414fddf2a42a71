"""Runs that needn't be tried before they begin."""

from __future__ import annotations

from cifarzoo.engine.assembly.optimizer_trial import OptimizerTrial

# What trials find of cifarzoo's own optimizers, in every wrapper of its own.
TRIED = OptimizerTrial(form="closure", warnings=())
