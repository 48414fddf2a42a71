"""All that a run's folder says of one run: what ``cifarzoo show RUN`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cifarzoo.errors import UsageError
from cifarzoo.results.listed_run import COLUMNS, ListedRun
from cifarzoo.results.run_list import listed_run
from cifarzoo.run_folders.contents import Contents, contents
from cifarzoo.run_folders.folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class Details:
    """One run, from its folder.

    Attributes:
        run: What a list has of it.
        record: Entries of run.json; none if it makes no sense.
        metrics: Lines of metrics.jsonl; none if one of them makes no sense.
        contents: What lies in its folder.
    """

    run: ListedRun
    record: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]]
    contents: Contents

    def to_json(self) -> dict[str, Any]:
        """The promised object; scripts lean on its keys."""
        return {
            "run": {name: column(self.run) for name, column in COLUMNS.items()},
            "settings": self.run.settings,
            "record": self.record,
            "metrics": self.metrics,
            "checkpoints": [
                {"step": step, "bytes": size} for step, size in self.contents.checkpoints().items()
            ],
            "bytes": self.contents.size,
            "others": list(self.contents.others),
        }


def read_details(folder: RunFolder) -> Details:
    """All that the folder of a run says of it.

    Raises:
        UsageError: The folder is gone, or can't be read.
    """
    run = listed_run(folder.path)
    try:
        found = contents(folder.path)
    except OSError as error:
        raise UsageError(f"{folder.path} cannot be read: {error.strerror}") from error
    record: Mapping[str, Any] = {}
    metrics: Sequence[Mapping[str, Any]] = []
    with suppress(UsageError, OSError):  # the list says what is wrong with it
        record = folder.record
    with suppress(UsageError, OSError):
        metrics = folder.metrics()
    return Details(run=run, record=record, metrics=metrics, contents=found)
