"""What a run's epochs came to."""

from __future__ import annotations

from typing import Any

from cifarzoo.api.frames import data_frame


class History(list[dict[str, Any]]):
    """The lines of a run's ``metrics.jsonl``: a plain dict an epoch."""

    def to_pandas(self) -> Any:
        """The same as a ``pandas.DataFrame``, a row an epoch.

        Raises:
            UsageError: pandas isn't installed.
        """
        return data_frame(self, of="history", instead="history is a list of dicts")
