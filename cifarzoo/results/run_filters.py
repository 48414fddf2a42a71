"""Which runs of a list are meant, ``error<5`` or ``sgd.lr=0.1``, and in which order."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cifarzoo.components.spelling import near
from cifarzoo.errors import UsageError
from cifarzoo.results.listed_run import COLUMNS, ERRORS, ListedRun, text_of
from cifarzoo.run_folders.resolved import short_name, without_kinds

GRAMMAR = (
    "COLUMN OPERATOR VALUE, where a column is one of the table's or a setting (sgd.lr), and an "
    "operator one of = != < <= > >= and ~ (has the text in it)"
)
CONDITION = re.compile(r"\s*([\w./-]+)\s*(<=|>=|!=|=|<|>|~)\s*(.*?)\s*", re.DOTALL)
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
NUMBERS = frozenset({"seed", "epoch", "epochs", "age", "seconds", *ERRORS})
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
PERIOD = re.compile(rf"([0-9.]+)([{''.join(UNITS)}])")


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What a run has to be.

    Attributes:
        column: Name of a column or of a setting.
        operator: One of ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=`` and ``~``.
        value: Number or text that the run's is compared with.
    """

    column: str
    operator: str
    value: float | str

    def holds(self, run: ListedRun) -> bool:
        """Whether a run is so; one that has no such value is unequal to all, and nothing else."""
        if self.column == "tags":
            return self._of_any(run.tags)
        found = value_of(run, self.column)
        if found is None:
            return self.operator == "!="
        return self._compares(found)

    def _of_any(self, tags: Sequence[str]) -> bool:
        """Of tags, whether any is so; whether none is equal."""
        if self.operator == "!=":
            return self.value not in tags
        return any(map(self._compares, tags))

    def _compares(self, found: float | str) -> bool:
        if self.operator == "~":
            return str(self.value).lower() in str(found).lower()
        value = self.value
        if isinstance(found, str) is not isinstance(value, str):
            found, value = str(found), str(value)
            if self.operator in ORDERS:  # a number and a text have no order
                return False
        if self.operator in ORDERS:
            return ORDERS[self.operator](found, value)
        return (found == value) is (self.operator == "=")


def select(runs: Sequence[ListedRun], conditions: Iterable[str]) -> list[ListedRun]:
    """The runs for which all conditions hold.

    Args:
        runs: Runs to choose from.
        conditions: Conditions; see ``GRAMMAR``.

    Raises:
        UsageError: One of them is none, or no run has such a setting.
    """
    chosen = list(runs)
    for condition in [_parsed(each, runs) for each in conditions]:
        chosen = [run for run in chosen if condition.holds(run)]
    return chosen


def ordered(runs: Sequence[ListedRun], column: str, *, reverse: bool = False) -> list[ListedRun]:
    """Runs by a column or a setting: numbers, then texts, then those that have none.

    Args:
        runs: Runs to sort.
        column: Name of a column or a setting.
        reverse: Whether the largest comes first.

    Raises:
        UsageError: There is no such column, and no run has such a setting.
    """
    column = _known(column, runs)
    keyed = [(value_of(run, column), run) for run in runs]
    found = [(value, run) for value, run in keyed if value is not None]
    found.sort(key=lambda each: (isinstance(each[0], str), each[0]), reverse=reverse)
    return [run for _, run in found] + [run for value, run in keyed if value is None]


def value_of(run: ListedRun, column: str) -> float | str | None:
    """What a run has for a column or a setting: a number, or a text; None: nothing."""
    if column in COLUMNS:
        found = text_of(column, run)
        return found if found is None or isinstance(found, int | float) else str(found)
    source = run.settings.get(column)
    return None if source is None else _plain(source)


def _parsed(text: str, runs: Sequence[ListedRun]) -> Condition:
    found = CONDITION.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no condition; expected {GRAMMAR}")
    column, sign, wanted = _known(found[1], runs), found[2], found[3]
    if sign == "~":
        return Condition(column=column, operator=sign, value=wanted)
    value = _plain(wanted) if column not in COLUMNS else wanted
    if column in NUMBERS:
        value = _number(wanted, column, text)
    elif sign in ORDERS and isinstance(value, str) and column != "started":
        raise UsageError(f"{text!r} compares {column} with a text; expected a number, or = != ~")
    return Condition(column=column, operator=sign, value=value)


def _known(name: str, runs: Sequence[ListedRun]) -> str:
    """The column or setting that is called ``name``, its kind left out.

    Raises:
        UsageError: There is none.
    """
    if name in COLUMNS:
        return name
    short = short_name(name)
    if not runs or any(short in run.settings for run in runs):
        return short
    hint = near(name, [*COLUMNS, *{setting for run in runs for setting in run.settings}])
    raise UsageError(
        f"no column {name!r}, and no run has such a setting"
        + (hint or f"; the columns are {', '.join(COLUMNS)}")
    )


def _plain(source: str) -> float | str:
    """A setting's value as a number, or else as text without quotes, kinds and blanks."""
    try:
        return float(source)
    except ValueError:
        return re.sub(r"[\s'\"]", "", without_kinds(source)).replace("(", "[").replace(")", "]")


def _number(text: str, column: str, condition: str) -> float:
    period = PERIOD.fullmatch(text) if column in ("age", "seconds") else None
    try:
        return float(period[1]) * UNITS[period[2]] if period else float(text)
    except ValueError:
        as_period = ", as 90 or 2h" if column in ("age", "seconds") else ""
        raise UsageError(
            f"{condition!r} compares {column} with {text!r}; expected a number{as_period}"
        ) from None
