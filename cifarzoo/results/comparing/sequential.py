"""A test of paired seeds that stays valid however often one looks: when to stop training more.

The usual interval holds for a number of seeds that was fixed beforehand. Who looks after each pair
and stops at the first that excludes 0 is wrong far more often than one time in twenty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

PRIOR = 1.0  # g: variance of the true difference in units of that of one pair's
EVIDENCE = 20.0  # 1 / 0.05: false alarms are at most one in so many studies

Decision = Literal["better", "worse", "no difference", "cannot tell"]


@dataclass(frozen=True, kw_only=True)
class Sequential:
    """What the pairs so far allow to be said, at whatever number one stops.

    Attributes:
        n: Number of pairs.
        mean: Mean difference, candidate less baseline; None: there is no pair.
        interval: Interval that holds the true difference at every number of pairs at once, in 95
            of 100 studies; infinite where too few pairs are there.
        evidence: The e-value against no difference: above ``EVIDENCE`` there is one.
        decision: ``better`` or ``worse``: the interval excludes 0; ``no difference``: it lies
            within plus and minus the effect.
    """

    n: int
    mean: float | None
    interval: tuple[float, float]
    evidence: float
    decision: Decision


def decide(differences: Sequence[float], *, effect: float) -> Sequential:
    """Decide by the differences of pairs, candidate less baseline; lower is better.

    The scale-invariant mixture t e-process (Lai, 1976; Wang and Ramdas, arXiv:2310.03722; Grünwald
    et al., arXiv:2208.07610): with t of n differences, nu = n - 1 and c = 1 + n g,

        E = c^(-1/2) [(1 + t^2 / nu) / (1 + t^2 / (nu c))]^((nu + 1) / 2)

    is, for normal differences of mean 0 and any variance, an e-process: the probability that it
    ever reaches 1 / alpha is at most alpha. The interval has all means for which it doesn't.

    Args:
        differences: One a pair, in the order in which they were trained.
        effect: Smallest difference that matters, above 0.
    """
    n = len(differences)
    if n == 0:
        return Sequential(
            n=0, mean=None, interval=(-math.inf, math.inf), evidence=1.0, decision="cannot tell"
        )
    mean, sd = _moments(differences)
    half = _half_width(n, sd)
    interval = (mean - half, mean + half)
    return Sequential(
        n=n,
        mean=mean,
        interval=interval,
        evidence=_evidence(n, mean, sd),
        decision=_decision(interval, effect),
    )


def e_value(differences: Sequence[float]) -> float:
    """The e-value of ``decide`` against a mean of 0; 1 of fewer than two differences."""
    return _evidence(len(differences), *_moments(differences)) if differences else 1.0


def _evidence(n: int, mean: float, sd: float) -> float:
    if n < 2:
        return 1.0
    if sd == 0:
        return 1.0 if mean == 0 else math.inf
    share, c = n * (mean / sd) ** 2 / (n - 1), 1 + n * PRIOR
    return float(c**-0.5 * ((1 + share) / (1 + share / c)) ** (n / 2))


def _half_width(n: int, sd: float) -> float:
    """Half the interval: E < 1 / alpha solved for the mean."""
    if n < 2:
        return math.inf
    c = 1 + n * PRIOR
    ratio = (EVIDENCE * math.sqrt(c)) ** (2 / n)
    if ratio >= c:  # E has a bound as t grows, which is below 1 / alpha for few pairs
        return math.inf
    share = (ratio - 1) / (1 - ratio / c)
    return sd * math.sqrt((n - 1) * share / n)


def _moments(differences: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation, in sums that are quicker for a few numbers than NumPy's."""
    n = len(differences)
    mean = math.fsum(differences) / n
    squares = math.fsum((each - mean) ** 2 for each in differences)
    return mean, math.sqrt(squares / (n - 1)) if n > 1 else 0.0


def _decision(interval: tuple[float, float], effect: float) -> Decision:
    low, high = interval
    if high < 0:
        return "better"
    if low > 0:
        return "worse"
    return "no difference" if -effect < low and high < effect else "cannot tell"
