"""In which settings two configs differ, defaults counted; nothing of them is imported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cifarzoo.components.registry import ROOT
from cifarzoo.config import Config
from cifarzoo.config.effective import EffectiveValue, effective


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
    names = {**first.bindings, **second.bindings}
    for name, _ in sorted(names.items(), key=lambda item: (item[1].component != ROOT, item[0])):
        here, there = effective(first, name), effective(second, name)
        if (here and here.source) != (there and there.source):
            yield Difference(name, here, there)


def _json(value: EffectiveValue | None) -> dict[str, Any] | None:
    return {"source": value.source, "is_default": value.is_default} if value else None
