"""What a few seeds allow to be said: means, intervals, and ours beside a published number.

Everything is in the unit of the values: percent of the test images, where errors are
compared. Not here: two sets of one's own runs against each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

CONFIDENCE = 0.95
Verdict = Literal["cannot tell", "within the interval", "differs"]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The results of several seeds.

    Attributes:
        mean: Mean of the errors.
        sd: Standard deviation of the errors, of n - 1 degrees of freedom; None: of one seed.
        n: Number of runs.
        interval: Confidence interval of the true mean, by Student's t; None: of one seed.
    """

    mean: float
    sd: float | None
    n: int
    interval: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Ours beside a published number.

    Attributes:
        ours: Sample of our seeds.
        difference: Our mean less the published number.
        expected: Interval in which the published number would be, at ``CONFIDENCE``, if it stemmed
            from the same training; None: one seed can't tell.
        verdict: ``within the interval``: the published number is in ``expected``; ``differs``:
            it isn't; ``cannot tell``: there is one seed.
    """

    ours: Sample
    difference: float
    expected: tuple[float, float] | None
    verdict: Verdict


def sample(values: Sequence[float]) -> Sample:
    """Mean, standard deviation and the interval of the mean of at least one value."""
    mean, n = fmean(values), len(values)
    if n == 1:
        return Sample(mean=mean, sd=None, n=1, interval=None)
    sd = stdev(values)
    half = quantile(n) * sd / math.sqrt(n)
    return Sample(mean=mean, sd=sd, n=n, interval=(mean - half, mean + half))


def compare_with_published(
    values: Sequence[float], published: float, *, spread: float, rounding: float
) -> Comparison:
    """Whether a published number fits to what several seeds gave.

    The published number is random too: the mean of m runs strays by sd / sqrt(m). With our
    n runs' standard deviation s for both, it is expected within ``mean ± t s sqrt(1 / n +
    spread)``, a prediction interval, wider by what the published number was rounded by.

    Args:
        values: Numbers of our seeds, at least one.
        published: Published number to compare with.
        spread: Variance of the published statistic in units of one run's: see
            ``variance_of``.
        rounding: Half a unit of the published number's last digit.
    """
    ours = sample(values)
    difference = ours.mean - published
    if ours.sd is None:
        return Comparison(ours=ours, difference=difference, expected=None, verdict="cannot tell")
    half = quantile(ours.n) * ours.sd * math.sqrt(1 / ours.n + spread) + rounding
    expected = (ours.mean - half, ours.mean + half)
    is_within = expected[0] <= published <= expected[1]
    return Comparison(
        ours=ours,
        difference=difference,
        expected=expected,
        verdict="within the interval" if is_within else "differs",
    )


def variance_of(statistic: Literal["one run", "mean", "median"], n: int) -> float:
    """The variance of a statistic of ``n`` runs, in units of the variance of one.

    A median's is that of large samples of a normal distribution, pi / (2 n); of three runs
    it is 0.449 and of five 0.287, where this says 0.524 and 0.314: intervals err on the wide
    side.
    """
    if statistic == "one run":
        return 1.0
    return 1 / n if statistic == "mean" else min(1.0, math.pi / (2 * n))


def quantile(n: int) -> float:
    """Student's t for a two-sided interval of ``CONFIDENCE`` from ``n`` values, two or more."""
    from scipy import stats

    return float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1))
