"""A run as it is listed, and what each column of the list has of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cifarzoo.results.formats import Records
from cifarzoo.run_folders.liveness import RUNNING, UNKNOWN
from cifarzoo.run_folders.summary import Facts
from cifarzoo.run_folders.summary_cache import unpacked

ERRORS = {  # columns in percent, and the scores that they are of
    "error": "test_error",
    "tta_error": "tta_test_error",
    "validation_error": "validation_error",
}


@dataclass(frozen=True, kw_only=True)
class ListedRun(Facts):
    """A run of a list: what its files say (see ``Facts``), and how it is now.

    Attributes:
        id: Shortest name by which commands find the run.
        path: Folder of the run.
        status: Status of the run: ``running``, ``done``, ``stopped``, ``failed``, ``diverged``;
            ``interrupted``: its process is dead; ``unknown``: it may be running on another host;
            ``new``: there is no record yet; ``unreadable``: its record makes no sense.
        updated: When it last wrote something.
        packed: All its settings; see ``settings``.
    """

    id: str
    path: Path
    updated: datetime
    packed: bytes = field(repr=False)

    @property
    def settings(self) -> dict[str, str]:
        """All settings of the run, defaults included, as text by name: ``sgd.lr``."""
        return unpacked(self.packed)

    @property
    def began(self) -> datetime:
        """When it was begun; of a run that doesn't say, when it last wrote something."""
        try:
            began = datetime.fromisoformat(self.started or "")
        except ValueError:
            return self.updated
        return began if began.tzinfo else began.astimezone()

    @property
    def age(self) -> float:
        """Seconds since it was begun."""
        return max(0.0, (datetime.now(UTC) - self.began).total_seconds())

    @property
    def status_words(self) -> str:
        """The status for people, who are told which host may be at work."""
        if self.status != UNKNOWN:
            return self.status
        return f"{RUNNING} on {self.host}?" if self.host else f"{RUNNING}?"

    @property
    def in_a_line(self) -> str:
        """What it is and what it came to, in short."""
        error = "" if self.test_error is None else f"{100 * self.test_error:.2f} %"
        words = (self.config, self.differences, error, self.status_words)
        return " ".join(filter(None, words))

    @property
    def differences(self) -> str:
        """What was set beside its config, as ``-s`` takes it."""
        return " ".join(f"{name}={value}" for name, value in self.differs.items())


Column = Callable[[ListedRun], Any]


def _error(score: str) -> Column:
    """An error in percent, without the last bits of the multiplication."""

    def percent(run: ListedRun) -> float | None:
        value = getattr(run, score)
        return None if value is None else round(100 * value, 10)

    return percent


COLUMNS: Mapping[str, Column] = {
    "id": lambda run: run.id,
    "name": lambda run: run.name,
    "config": lambda run: run.config,
    "tags": lambda run: list(run.tags),
    "differs": lambda run: dict(run.differs),
    "seed": lambda run: run.seed,
    "epoch": lambda run: run.epoch,
    "epochs": lambda run: run.epochs,
    **{name: _error(score) for name, score in ERRORS.items()},
    "status": lambda run: run.status,
    "host": lambda run: run.host,
    "started": lambda run: run.began.astimezone(UTC).isoformat(timespec="seconds"),
    "age": lambda run: round(run.age),
    "seconds": lambda run: run.train_seconds,
    "path": lambda run: str(run.path),
    "failure": lambda run: run.failure,
    "problem": lambda run: run.problem,
}


def text_of(column: str, run: ListedRun) -> Any:
    """What a column has of a run, in one cell: lists and settings as a line of text."""
    if column == "tags":
        return ", ".join(run.tags)
    return run.differences if column == "differs" else COLUMNS[column](run)


def whole_records(runs: Sequence[ListedRun], *, as_text: bool) -> Records:
    """All columns of runs.

    Args:
        runs: Runs in the order of the rows.
        as_text: Whether tags and settings are a line of text each, rather than a list, an object.
    """
    rows = (
        {name: text_of(name, run) if as_text else column(run) for name, column in COLUMNS.items()}
        for run in runs
    )
    return Records(columns=tuple(COLUMNS), rows=tuple(rows))
