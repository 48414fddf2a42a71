"""A run's folder opened again: its config as it was, where its data lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cifarzoo import config as configs
from cifarzoo.api.identity import SESSION_PREFIX
from cifarzoo.components.registry import SESSION, register
from cifarzoo.components.root import BOOKKEEPING
from cifarzoo.components.user_paths import expanded
from cifarzoo.config import Config
from cifarzoo.config.effective import decides_numbers, effective_values, is_same
from cifarzoo.errors import UsageError
from cifarzoo.run_folders.finding import find_run
from cifarzoo.run_folders.folder import CONFIG, RunFolder

DATA = "CIFARZOO_DATA"
ANONYMOUS = "CIFARZOO_ANONYMOUS"
OFF = frozenset({"", "0", "false", "f", "no", "n", "off"})  # as the command line reads variables


@dataclass(frozen=True, kw_only=True)
class Reopened:
    """A run that exists.

    Attributes:
        folder: Folder of the run.
        config: Config that the run was started with.
        data: Folder of the data; None: not known.
    """

    folder: RunFolder
    config: Config
    data: Path | None

    def trusting(self, warn: Callable[[str], None]) -> Reopened:
        """The same run, whose own copies of plugins may be run; see ``Config.trusting``."""
        return replace(self, config=self.config.trusting(warn))

    def with_bookkeeping(
        self, *, sets: Sequence[str] = (), values: Mapping[str, Any] | None = None
    ) -> Config:
        """The run's config with other values of what decides no number.

        Args:
            sets: Settings, ``NAME=VALUE`` each in gin's words.
            values: Settings with Python's values, by name.

        Raises:
            ConfigProblemsError: A value doesn't fit.
            UsageError: Another setting would be another one than the run began with.
        """
        if not sets and not values:
            return self.config
        changed = self.config.with_values(values or {}, sets=sets)
        before = effective_values(self.config)
        for name, value in effective_values(changed).items():
            old = before.get(name)
            if decides_numbers(name) and not (old and is_same(old.value, value.value)):
                began = f"the run began with {old.source}" if old else "the run has no such setting"
                free = ", ".join(f"run.{each}" for each in sorted(BOOKKEEPING))
                config = f"{self.folder.path / CONFIG} --from {self.folder.path}"
                raise UsageError(
                    f"{name} is {value.source}, and {began}; resume changes {free} alone; another "
                    f"length or schedule is a run of its own: cifarzoo run {config} -s {name}=…"
                )
        return changed


def reopen(name: str | Path, *, out: Path, data: Path | None) -> Reopened:
    """Find a run and read its config; nothing in its folder changes.

    Args:
        name: Path of its folder; ``latest``; or the start of its id.
        out: Where runs are.
        data: Folder of the data; None: where they lay when the run was trained.

    Raises:
        UsageError: There is no such run, or it needs what another script or notebook registered.
        ConfigProblemsError: Its config can't be used any more.
    """
    folder = find_run(str(name), out)
    record = folder.record
    _check_session(folder)
    config = configs.from_text(
        folder.config_text,
        kept=folder.plugins,
        name=folder.config_name,
        shown_as=str(folder.path / CONFIG),
    )
    recorded = record.get("data_folder")
    return Reopened(
        folder=folder, config=config, data=data or (expanded(recorded) if recorded else None)
    )


def data_folder(data: str | os.PathLike[str] | None) -> Path | None:
    """The folder of the data that a caller means; None: that of ``CIFARZOO_DATA``, if any."""
    given = os.environ.get(DATA) if data is None else data
    return expanded(given) if given else None


def asks_anonymous(given: bool) -> bool:
    """Whether a caller, or else ``CIFARZOO_ANONYMOUS``, asks for an anonymous record."""
    return given or os.environ.get(ANONYMOUS, "").strip().lower() not in OFF


def _check_session(folder: RunFolder) -> None:
    """Refuse a run whose script or notebook isn't this one."""
    origins = [each["origin"] for each in folder.record.get("plugins", ())]
    names = [
        name.removeprefix(SESSION_PREFIX) for name in origins if name.startswith(SESSION_PREFIX)
    ]
    missing = [name for name in names if (SESSION, name) not in register.known]
    if missing:
        raise UsageError(
            f"{folder.path} needs {' and '.join(missing)}, registered by the script or notebook "
            "that trained it; register it here first, from the same code"
        )
