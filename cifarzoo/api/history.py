"""What a run's epochs came to."""

from __future__ import annotations

from typing import Any

from cifarzoo.errors import UsageError


class History(list[dict[str, Any]]):
    """The lines of a run's ``metrics.jsonl``: a plain dict an epoch."""

    def to_pandas(self) -> Any:
        """The same as a ``pandas.DataFrame``, a row an epoch.

        Raises:
            UsageError: pandas isn't installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise UsageError(
                "history.to_pandas() needs pandas, which is not installed: pip install pandas; "
                "without it, history is a list of dicts"
            ) from error
        return pd.DataFrame(list(self))
