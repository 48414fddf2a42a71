"""What a check is, and what it tells: the interface between checks, runner and report.

A module of this package that defines ``CHECKS``, a tuple of ``Check``, is found by the runner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# What outcomes count. The sums over all checks head docs/trust.md.
FAULTS = "faults injected"
COMPARED = "finals compared"
EQUAL = "finals byte-equal"
WRONG = "silently wrong"
HUNG = "hung"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one case ended.

    Attributes:
        name: What was done, a phrase that differs from those of the check's other cases.
        passed: Whether that went as promised.
        figure: What was seen, for people; for a failure, what is wrong.
        skipped: Why the case could not be tried here; it then counts neither way.
        counts: Numbers that are added up, such as ``{FAULTS: 1, COMPARED: 1, EQUAL: 1}``.
        largest: Numbers of which the largest is reported, such as ``{"steps lost": 9}``; the
            name says the unit.
    """

    name: str
    passed: bool
    figure: str = ""
    skipped: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    largest: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a check may use.

    Attributes:
        scratch: An empty folder of the check's own.
        is_fast: Whether a few cases of each sort are enough.
        seed: Of whatever the check draws.
    """

    scratch: Path
    is_fast: bool = False
    seed: int = 0

    def take(self, full: int, fast: int) -> int:
        """How many cases: ``full``, or ``fast`` of them."""
        return fast if self.is_fast else full

    def folder(self, name: str) -> Path:
        """A new folder within ``scratch``."""
        path = self.scratch / name
        path.mkdir(parents=True)
        return path


@dataclass(frozen=True, kw_only=True)
class Check:
    """A kind of fault, and how it is tried.

    Attributes:
        id: Such as R1; documents refer to it.
        title: What is tried, a phrase.
        run: Yields an outcome a case, as soon as it is known.
    """

    id: str
    title: str
    run: Callable[[Budget], Iterator[Outcome]]


def skipped(name: str, reason: str) -> Outcome:
    """The outcome of a case that could not be tried here."""
    return Outcome(name=name, passed=True, skipped=reason)
