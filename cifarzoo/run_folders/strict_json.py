"""JSON as every reader knows it: what isn't finite is null, where Python would write NaN."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any


def strict_json(
    value: Any,
    *,
    indent: int | None = None,
    sort_keys: bool = False,
    default: Callable[[Any], Any] | None = None,
) -> str:
    """The text of ``value``, in which numbers that are not finite are null.

    Args:
        value: What is written.
        indent: Spaces a level; None: all on one line.
        sort_keys: Whether the keys of objects are sorted.
        default: Makes something of what JSON has no form for; None: it is refused.
    """
    return json.dumps(
        _finite(value), indent=indent, sort_keys=sort_keys, default=default, allow_nan=False
    )


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value
