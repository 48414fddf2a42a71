"""Tables for pandas, which is imported where somebody asks for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cifarzoo.errors import UsageError


def data_frame(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str] | None = None,
    *,
    of: str,
    instead: str,
) -> Any:
    """A ``pandas.DataFrame``.

    Args:
        rows: Values of each row by column.
        columns: Names of the columns, in their order; None: those of the rows.
        of: What the values are of, for the message.
        instead: What has the same values where pandas isn't installed.

    Raises:
        UsageError: pandas isn't installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise UsageError(
            f"{of}.to_pandas() needs pandas, which is not installed: pip install pandas; without "
            f"it, {instead}"
        ) from error
    return pd.DataFrame(list(rows), columns=None if columns is None else list(columns))
