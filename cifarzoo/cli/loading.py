"""The config that a command is about: a file's, or one around a component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cifarzoo.cli.terminal import console
from cifarzoo.errors import UsageError

if TYPE_CHECKING:
    from cifarzoo.components.index import Entry
    from cifarzoo.config import Config

# The rest of a run, where a component alone is named; it sets nothing of what may be that one.
BASE = """\
run.dataset = @glyphs
glyphs.train_images = 256
run.architecture = @resnet8
run.optimizer = @sgd
run.schedule = @constant
run.batch_size = 64
run.epochs = 1
"""


@dataclass(frozen=True, kw_only=True)
class ConfigOptions:
    """What a command is told of a config beside its name.

    Attributes:
        sets: Settings that count after all others.
        plugins: Plugins that the command names.
        trusts: Whether a run's own copies of plugins may be run.
    """

    sets: Sequence[str]
    plugins: Sequence[Path]
    trusts: bool

    def load(self, name: str, *, needs: Sequence[str] = ()) -> Config:
        """The config called ``name``, whose warnings and copies of plugins are named.

        Args:
            name: Name or path of the config.
            needs: Settings that count before those of the command.
        """
        from cifarzoo import config

        loaded = config.load(name, sets=[*needs, *self.sets], plugins=self.plugins)
        if self.trusts:
            loaded = loaded.trusting(console.warn)
        console.warn_of(loaded)
        console.name_copies(loaded)
        return loaded

    def load_around(
        self, name: str, entry: Entry | None, *, needs: Mapping[str, Sequence[str]], shown: str
    ) -> Config:
        """The config called ``name``, or a small one with the component of that name in it.

        Args:
            name: Name of the component, or of the config.
            entry: The component; None: it is a config.
            needs: Settings that put a component into a run, by its kind.
            shown: What the command can show, in words.

        Raises:
            UsageError: The component is of a kind that ``needs`` doesn't have.
        """
        if entry is None:
            return self.load(name)
        if entry.kind not in needs:
            raise UsageError(f"{shown}; {name} is of kind {entry.kind}")
        return self.load(BASE, needs=[each.format(name) for each in needs[entry.kind]])
