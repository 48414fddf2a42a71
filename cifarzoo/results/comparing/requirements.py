"""What results are required to be, such as ``error<4.5``: read from text, and asked of groups.

It goes by the numbers as they are, and not by the two decimals that people are shown.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cifarzoo.components.spelling import near
from cifarzoo.errors import UsageError
from cifarzoo.results.comparing.compared_group import ComparedGroup
from cifarzoo.results.comparing.comparison import ComparedRuns
from cifarzoo.results.comparing.groups import METRICS

SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
QUANTITIES: Mapping[str, Callable[[ComparedGroup], float | None]] = {
    "error": lambda group: group.sample.mean,
    "sd": lambda group: group.sample.sd,
    "n": lambda group: group.sample.n,
    "difference": lambda group: group.gap,
    "p": lambda group: None if group.difference is None else group.difference.p_holm,
}
DIGITS = 9  # behind the point: a mean of 4.7 and 4.9 is 4.800000000000001
MOST_TOLD = 5  # groups in a line
TO_BASELINE = ("difference", "p")
GRAMMAR = "[GROUP:]QUANTITY<NUMBER"
TEXT = re.compile(r"(?:(.*):)?\s*(\w+)\s*(<=|>=|<|>)\s*([^\s<>=]+)\s*", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A bound on a number of groups.

    Attributes:
        text: The requirement as it was given.
        group: Name of the group that it is of; None: all but the baseline, or the only one.
        quantity: Key of ``QUANTITIES``.
        sign: Key of ``SIGNS``.
        bound: Number that is compared with.
    """

    text: str
    group: str | None
    quantity: str
    sign: str
    bound: float

    def groups_of(self, compared: ComparedRuns) -> list[ComparedGroup]:
        """The groups that it is of.

        Raises:
            UsageError: There is no such group, or no baseline to differ from.
        """
        if self.group is None:
            found = list(compared.groups[1:] or compared.groups)
        else:
            found = [group for group in compared.groups if group.name == self.group]
        names = [group.name for group in compared.groups]
        if not found:
            raise UsageError(
                f"--require {self.text!r}: no group {self.group!r} in {', '.join(names)}"
                f"{near(self.group or '', names)}"
            )
        if self.quantity in TO_BASELINE and compared.baseline in found:
            raise UsageError(
                f"--require {self.text!r}: {compared.baseline.name} is the baseline itself, which "
                f"has no {self.quantity}"
            )
        return found

    def outcome(self, compared: ComparedRuns) -> tuple[bool, str]:
        """Whether it is met, and what was found, in a line."""
        found = {group.name: QUANTITIES[self.quantity](group) for group in self.groups_of(compared)}
        missed = {
            name: value
            for name, value in found.items()
            if value is None or not SIGNS[self.sign](round(value, DIGITS), self.bound)
        }
        told = [f"{_shown(value)} ({name})" for name, value in (missed or found).items()]
        more = f" and {len(told) - MOST_TOLD} more" * (len(told) > MOST_TOLD)
        verdict = "not met" if missed else "met"
        quantity = f"the {self.quantity} is {', '.join(told[:MOST_TOLD])}{more}"
        return not missed, f"required {self.text}: {verdict}, {quantity}"


def read_requirement(text: str, metric: str) -> Requirement:
    """The requirement that ``text`` is.

    Args:
        text: Text, ``[GROUP:]QUANTITY<NUMBER``; the name of the metric stands for ``error``.
        metric: Name of the number that is compared.

    Raises:
        UsageError: It is none.
    """
    expected = f"expected {GRAMMAR}, as 'error<4.5'"
    found = TEXT.fullmatch(text)
    if found is None:
        raise UsageError(f"--require {text!r} is no requirement; {expected}")
    group, quantity, sign, number = found.groups()
    if quantity in METRICS and quantity != metric:
        raise UsageError(f"--require {text!r}: {metric} is compared; add --metric {quantity}")
    if quantity not in QUANTITIES and quantity != metric:
        known = ", ".join((*QUANTITIES, metric))
        raise UsageError(
            f"--require {text!r}: no quantity {quantity!r}; expected {known}"
            f"{near(quantity, QUANTITIES)}"
        )
    try:
        bound = float(number)
    except ValueError:
        bound = math.nan
    if not math.isfinite(bound):
        raise UsageError(f"--require {text!r}: {number!r} is no number; {expected}")
    return Requirement(
        text=text,
        group=group.strip() if group else None,
        quantity="error" if quantity == metric else quantity,
        sign=sign,
        bound=bound,
    )


def _shown(value: float | None) -> str:
    return "not known of one seed" if value is None else f"{value:.4g}"
