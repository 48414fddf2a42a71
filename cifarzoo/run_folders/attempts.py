"""The attempts at a run, in run.json: where each came from, from which step, and how it ended.

Beside them stands what is known of the last one that went on. Nothing of an earlier one is lost,
and one that is refused changes nothing but the list.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cifarzoo.run_folders.folder import RunFolder, this_process

# What older versions of cifarzoo kept of the last attempt alone.
KEPT_BEFORE = (
    *("process", "command", "folder", "git", "python", "versions", "machine", "plugins"),
    *("data_folder", "precision", "data", "world_size", "device", "status", "error"),
)


class Attempt:
    """This process's attempt at a run, the last of ``attempts``.

    Args:
        folder: Folder of the run, which this process has locked.
    """

    def __init__(self, folder: RunFolder) -> None:
        record = folder.record
        self._folder = folder
        self._earlier = _attempts(record)
        self._is_first = "started" not in record
        self._before: dict[str, Any] = {
            name: record[name] for name in ("status", "error", "process") if name in record
        }
        self._goes_on = False
        self._facts: dict[str, Any] = {}
        self._entries: dict[str, Any] = {"status": "running", "error": None}

    def begin(self, **facts: Any) -> None:
        """Note where it comes from, before it is known whether it can go on."""
        self._facts = facts
        now = {"status": "running", "error": None, "process": this_process()}
        self._write({**now, **facts}, {**now, **facts} if self._is_first else now)

    def go_on(self, *, from_step: int, **facts: Any) -> None:
        """Note that it trains: nothing can be refused any more, and its facts are the run's."""
        self._goes_on = True
        self._write({"from_step": from_step, **facts}, {**self._facts, **facts})

    def end(self, status: str, error: str | None = None, **result: Any) -> None:
        """Note how it ended.

        Args:
            status: Status of the run.
            error: What ended it early; None: nothing did.
            result: What the run came to.
        """
        self._write(_ended(status, error), {"status": status, "error": error, **result})

    def refuse(self, error: str) -> None:
        """Note why it was refused; a run that was there before is as it was."""
        if self._is_first or self._goes_on:
            self.end("failed", error)
        else:
            self._write(_ended("refused", error), self._before)

    def _write(self, own: dict[str, Any], of_run: dict[str, Any]) -> None:
        self._entries |= own
        self._folder.update(**of_run, attempts=[*self._earlier, self._entries])


def _attempts(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The attempts that a record has; what an older version kept of the last one is one."""
    if "attempts" not in record and "process" in record:
        return [{name: record[name] for name in KEPT_BEFORE if name in record}]
    return list(record.get("attempts", ()))


def _ended(status: str, error: str | None) -> dict[str, Any]:
    return {
        "status": status,
        "error": error,
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
    }
