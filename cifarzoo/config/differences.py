"""In which settings two configs differ, defaults counted; nothing of them is imported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cifarzoo.config import Config
from cifarzoo.config.effective import EffectiveValue, effective_values, is_same, run_first, value_of


@dataclass(frozen=True)
class Difference:
    """A parameter that two configs have different values for.

    Attributes:
        name: Name ``kind.component.parameter``, or ``run.parameter``, after its scope.
        first: Value in the first config; None: it doesn't use the component.
        second: Value in the second config; None likewise.
    """

    name: str
    first: EffectiveValue | None
    second: EffectiveValue | None

    def to_json(self) -> dict[str, Any]:
        """The promised object; scripts lean on its keys."""
        return {"name": self.name, "first": _json(self.first), "second": _json(self.second)}


def differences(first: Config, second: Config) -> Iterator[Difference]:
    """The parameters that ``first`` and ``second`` have different values for, run's own first.

    A default that one of them writes out is no difference.
    """
    here, there = effective_values(first), effective_values(second)
    are_set = {name for name, value in [*here.items(), *there.items()] if not value.is_default}
    for name in sorted(are_set, key=run_first):
        one, other = value_of(here, name), value_of(there, name)
        if one is None or other is None or not is_same(one.value, other.value):
            yield Difference(name, one, other)


def _json(value: EffectiveValue | None) -> dict[str, Any] | None:
    return {"source": value.source, "is_default": value.is_default} if value else None
