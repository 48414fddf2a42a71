"""What a sweep varies: ``--vary NAME=VALUE,VALUE`` to values, and how cells are called then."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cifarzoo.errors import UsageError

OPEN, CLOSE, QUOTES = "([{", ")]}", "'\""
UNSAFE = re.compile(r"[^A-Za-z0-9._=+\[\]-]+")
REFERENCES = re.compile(r"\[?(@[\w./]+(,@[\w./]+)*)\]?")
SPAN = re.compile(r"(?P<log>log:)?(?P<low>[^,\[\]'\"]*[^,.\[\]'\"])\.\.(?P<high>[^,\[\]'\"]+)")
LONGEST_LABEL = 60  # characters; a folder's name has at most 255 bytes


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers from one to another, for a search.

    Attributes:
        low: Least of the numbers.
        high: Greatest of the numbers.
        is_log: Whether equal ratios are equally likely, rather than equal differences.
    """

    low: float
    high: float
    is_log: bool

    @property
    def is_integer(self) -> bool:
        """Whether whole numbers are meant: both ends were given as such."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[str, str]:
        """Both ends in gin's words."""
        return repr(self.low), repr(self.high)

    def __str__(self) -> str:
        return f"{'log:' * self.is_log}{self.low}..{self.high}"


@dataclass(frozen=True, kw_only=True)
class Variation:
    """A setting and the values that it takes.

    Attributes:
        name: Name of the setting, ``sgd.lr``.
        values: Values in gin's words, as they were given; of a range, its ends.
        range: Numbers that are searched; None: the values alone.
    """

    name: str
    values: tuple[str, ...]
    range: Range | None = None

    def __str__(self) -> str:
        return f"{self.name}={self.range or ','.join(self.values)}"

    @property
    def short_name(self) -> str:
        """The last word of its name."""
        return self.name.rpartition(".")[2]


def parse_variation(text: str) -> Variation:
    """The variation that ``--vary`` means.

    Args:
        text: A setting and its values, as ``sgd.lr=.03,.1,.3`` or
            ``run.regularizers=[],[@mixup]``.

    Raises:
        UsageError: It is none, or has a value twice.
    """
    name, separator, rest = text.partition("=")
    values = split_values(rest) if separator else []
    if name.strip() and (found := SPAN.fullmatch(rest.strip())):
        span = _range(text, found)
        return Variation(name=name.strip(), values=span.ends, range=span)
    if not name.strip() or not values or not all(values):
        raise UsageError(
            f"--vary is {text!r}; expected NAME=VALUE,VALUE, as sgd.lr=.03,.1 or "
            "run.regularizers='[],[@mixup]'"
        )
    if twice := {value for value in values if values.count(value) > 1}:
        raise UsageError(f"--vary {name.strip()} has {min(twice)} twice")
    return Variation(name=name.strip(), values=tuple(values))


def _range(text: str, found: re.Match[str]) -> Range:
    try:
        low, high = (_plain_number(found[part]) for part in ("low", "high"))
    except ValueError:
        low = high = 0
    is_log = found["log"] is not None
    if not low < high or (is_log and low <= 0) or math.isinf(low) or math.isinf(high):
        above = " above 0" if is_log else ""
        raise UsageError(
            f"--vary is {text!r}; expected numbers{above}, the lower first, as sgd.lr=log:1e-3..1"
        )
    return Range(low=low, high=high, is_log=is_log)


def _plain_number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def split_values(text: str) -> list[str]:
    """The values between commas that no bracket and no quotation mark encloses."""
    values, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in QUOTES:
            quote = letter
        elif letter in OPEN:
            depth += 1
        elif letter in CLOSE:
            depth -= 1
        if letter == "," and not quote and depth == 0:
            values.append("")
        else:
            values[-1] += letter
    return [value.strip() for value in values]


def check_variations(variations: Sequence[Variation]) -> None:
    """Refuse a setting that is varied twice.

    Raises:
        UsageError: One is.
    """
    names = [each.name for each in variations]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"{min(twice)} is varied twice; give all its values to one --vary")


def label(variation: Variation, value: str, *, is_unique: bool) -> str:
    """What a cell is called after one of its values: ``lr=0.1``, ``mixup``.

    Args:
        variation: Setting and its values.
        value: Value of the cell.
        is_unique: Whether no other varied setting has the same last word.
    """
    name = variation.short_name if is_unique else variation.name
    bare = value.replace(" ", "")
    if references := REFERENCES.fullmatch(bare):
        names = [each.lstrip("@").rpartition("/")[2] for each in references[1].split(",")]
        return _safe("+".join(names))
    if bare == "[]":
        return _safe(f"no-{name}")
    return _safe(f"{name}={_number(bare)}")


def _number(text: str) -> str:
    """A number as Python writes it, ``0.1`` for ``.1``; other text as it is."""
    try:
        number = float(text)
    except ValueError:
        return text.strip(QUOTES)
    return f"{number:g}" if float(f"{number:g}") == number else repr(number)


def _safe(text: str) -> str:
    """Text as a folder's name: no separator, nothing that a shell obeys, not hidden."""
    return UNSAFE.sub("-", text).strip("-.")[:LONGEST_LABEL] or "value"
