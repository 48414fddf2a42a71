"""The runs in a folder as a list: ``cifarzoo.runs()``, and what ``cifarzoo runs`` shows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, overload

from cifarzoo.api.frames import data_frame
from cifarzoo.components.user_paths import expanded
from cifarzoo.errors import UsageError
from cifarzoo.results.formats import Records, html, written
from cifarzoo.results.listed_run import ERRORS, ListedRun, text_of, whole_records
from cifarzoo.results.run_filters import ordered, select
from cifarzoo.run_folders.finding import run_paths, runs_folder, short_ids
from cifarzoo.run_folders.liveness import INTERRUPTED, current_status
from cifarzoo.run_folders.summary_cache import Summary, summaries

MOST_SHOWN = 50  # rows of a list that a notebook or a console shows
SHOWN = ("id", "name", "config", "tags", "differs", "seed", "epoch", "epochs", *ERRORS, "status")
DECIMALS = 2  # of an error in percent


@dataclass(frozen=True)
class _Unopened:
    """A run of which no more is looked at than its list needs, until somebody asks."""

    path: str
    id: str
    summary: Summary

    def opened(self) -> ListedRun:
        """The run as it is now."""
        run = _as_it_is(self.path, self.id, self.summary)
        if run.status == INTERRUPTED and (now := next(summaries([self.path]))):
            return _as_it_is(self.path, self.id, now)  # or it ended since its record was read
        return run


class Runs(Sequence[ListedRun]):
    """Runs, the one that was begun last first.

    Args:
        runs: The runs, in their order.
    """

    def __init__(self, runs: Iterable[ListedRun | _Unopened] = ()) -> None:
        self._runs = list(runs)

    def __len__(self) -> int:
        return len(self._runs)

    @overload
    def __getitem__(self, place: int) -> ListedRun: ...
    @overload
    def __getitem__(self, place: slice) -> Runs: ...
    def __getitem__(self, place: int | slice) -> ListedRun | Runs:
        if isinstance(place, slice):
            return Runs(self._runs[place])
        run = self._runs[place]
        if isinstance(run, _Unopened):
            run = self._runs[place] = run.opened()
        return run

    def where(self, *conditions: str) -> Runs:
        """The runs for which all conditions hold, such as ``error<5`` and ``sgd.lr=0.1``.

        Args:
            conditions: ``COLUMN OPERATOR VALUE`` each, as ``cifarzoo runs --where`` takes it.

        Raises:
            UsageError: One of them is none, or no run has such a setting.
        """
        return Runs(select(self, conditions)) if conditions else self

    def sorted_by(self, column: str, *, reverse: bool = False) -> Runs:
        """The same runs by a column or a setting, those without a value last.

        Args:
            column: Name of a column, or of a setting: ``error``, ``sgd.lr``.
            reverse: Whether the largest comes first.

        Raises:
            UsageError: There is no such column, and no run has such a setting.
        """
        return Runs(ordered(self, column, reverse=reverse))

    def to_pandas(self) -> Any:
        """The same as a ``pandas.DataFrame``: a row a run, the columns of ``cifarzoo runs --json``.

        Raises:
            UsageError: pandas isn't installed.
        """
        records = whole_records(self, as_text=False)
        return data_frame(
            records.rows, records.columns, of="runs()", instead="it is a sequence of runs"
        )

    def __repr__(self) -> str:
        return f"{written(self._shown(), 'md')}\n{self._count()}" if self else "no runs"

    def _repr_html_(self) -> str:
        return f"{html(self._shown())}<p>{self._count()}</p>"

    def _shown(self) -> Records:
        """The first rows and the columns that have anything."""
        rows = [{name: text_of(name, run) for name in SHOWN} for run in self[:MOST_SHOWN]]
        columns = tuple(n for n in SHOWN if any(row[n] not in (None, "") for row in rows))
        decimals = dict.fromkeys(ERRORS, DECIMALS)
        return Records(columns=columns, rows=tuple(rows), decimals=decimals)

    def _count(self) -> str:
        count = f"{len(self)} run{'s' * (len(self) != 1)}"
        return f"{MOST_SHOWN} of {count}" if len(self) > MOST_SHOWN else count


def runs(*folders: str | os.PathLike[str]) -> Runs:
    """The runs that lie in folders, however deep, the one that was begun last first.

    Nothing is imported that trains, and what was read once is kept in the user's caches. Files that
    make no sense are a row that says so.

    Args:
        folders: Folders of runs, or runs; without any: ``CIFARZOO_RUNS``, or ``runs``.

    Raises:
        UsageError: One of the folders isn't there.
    """
    root = runs_folder(None)
    return list_runs(root, [expanded(folder) for folder in folders])


def list_runs(root: Path, folders: Sequence[Path] = ()) -> Runs:
    """The runs in ``root``, or else in ``folders``.

    Args:
        root: Folder in which commands look for runs by their ids.
        folders: Folders that are listed instead; ids of runs are their paths then.

    Raises:
        UsageError: One of the folders isn't there.
    """
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"there is no folder {folder}")
    found = [run for folder in folders or [root] for run in run_paths(folder)]
    paths = list(dict.fromkeys(found))
    ids = paths if folders else short_ids(paths, root)
    listed = list(_listed(paths, ids))
    listed.sort(key=lambda run: (run.summary.started, run.id), reverse=True)
    return Runs(listed)


def newest_runs(root: Path, most: int) -> Runs:
    """The runs in ``root`` that were begun last, by the times in the names of their folders.

    Args:
        root: Folder of runs.
        most: Number of runs that are read.
    """
    paths = run_paths(root)
    both = sorted(zip(paths, short_ids(paths, root), strict=True), reverse=True, key=_by_name)
    newest = both[:most]
    return Runs(_listed([path for path, _ in newest], [run_id for _, run_id in newest]))


def _by_name(run: tuple[str, str]) -> str:
    return run[0].rpartition("/")[2]


def listed_run(path: Path) -> ListedRun:
    """One run as it is listed, by its path.

    Raises:
        UsageError: It is gone.
    """
    for run in _listed([str(path)], [str(path)]):
        return run.opened()
    raise UsageError(f"{path} is gone")


def _listed(paths: Sequence[str], ids: Sequence[str]) -> Iterator[_Unopened]:
    for path, run_id, summary in zip(paths, ids, summaries(paths), strict=True):
        if summary is not None:  # and its folder wasn't moved away meanwhile
            yield _Unopened(path, run_id, summary)


def _as_it_is(path: str, run_id: str, summary: Summary) -> ListedRun:
    facts = summary.facts
    status = current_status(Path(path), facts["status"], facts["host"])
    return ListedRun(
        id=run_id,
        path=Path(path),
        updated=datetime.fromtimestamp(summary.written, UTC),
        packed=summary.packed,
        **facts | {"status": status, "tags": tuple(facts["tags"])},
    )
