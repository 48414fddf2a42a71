"""A component that is tested, and the smallest run around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cifarzoo import config as configs
from cifarzoo.components.index import Entry
from cifarzoo.components.plugins import catalogue
from cifarzoo.components.run import Run
from cifarzoo.components.spelling import near
from cifarzoo.config import Config
from cifarzoo.engine.assembly.build import Components, build
from cifarzoo.errors import ConfigError

# Two steps of four images, and two test batches: every part of the engine at its smallest.
SMALLEST = """\
run.architecture = @resnet8
resnet8.stem_stride = 2
run.dataset = @glyphs
glyphs.train_images = 24
glyphs.test_images = 8
run.optimizer = @sgd
run.schedule = @constant
run.batch_size = 4
run.epochs = 1
run.max_steps = 2
run.checkpoint_steps = 1
"""
PLACES = {  # where a run has a component, by its kind
    "architecture": "run.architecture=@{}",
    "layers": "resnet8.layers=@{}",
    "regularizer": "run.regularizers=[@{}]",
    "augmentation": "run.augmentations=[@{}]",
    "loss": "run.loss=@{}",
    "schedule": "run.schedule=@{}",
    "optimizer": "run.optimizer=@{}",
    "dataset": "run.dataset=@{}",
}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A component that is tested.

    Attributes:
        name: Name of the component.
        plugins: Plugin files and folders that have it, or that it needs.
        values: Python's values of settings, by name, of the component and of the run around it.
        sets: The same in gin's words, ``NAME=VALUE`` each.
        data: Folder of the data, or None.
    """

    name: str
    plugins: Sequence[str | Path] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    sets: Sequence[str] = ()
    data: Path | None = None

    @cached_property
    def entry(self) -> Entry:
        """The component as its source describes it.

        Raises:
            PluginError: A plugin can't be read.
            ConfigError: There is no such component.
        """
        entries = catalogue(self.plugins).entries
        if self.name not in entries:
            where = f" in {', '.join(map(str, self.plugins))}" * bool(self.plugins)
            raise ConfigError(f"no component {self.name!r}{where}{near(self.name, entries)}")
        return entries[self.name]

    @property
    def place(self) -> str:
        """The setting that puts it into a run."""
        return PLACES[self.entry.kind].format(self.name)

    def config(self, **run: Any) -> Config:
        """The config of the smallest run that uses it.

        Args:
            **run: Other values for settings of ``run``.

        Raises:
            ConfigProblemsError: Its settings can't be used.
        """
        sets = [self.place, *self.sets]
        values = {**self.values, **{f"run.{name}": value for name, value in run.items()}}
        return configs.load(SMALLEST, sets=sets, values=values, plugins=self.plugins)

    @cached_property
    def run(self) -> Run:
        """The smallest run that uses it."""
        return self.config().build()

    def components(self) -> Components:
        """What the factories of the smallest run make, new ones each time."""
        return build(self.run, folder=self.data)
