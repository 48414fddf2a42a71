"""Runs of one's own against each other: what their seeds allow to be said of the difference.

Everything is in the unit of the values, percent of the test images where errors are compared, and
lower is better. Not here: which runs belong together, and published numbers.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import correlation, fmean, stdev
from typing import Literal, TypeAlias

from cifarzoo.results.statistics import CONFIDENCE

POWER = 0.8
MOST_BY_DUNNETT = 20  # candidates: its integral takes half a second then, and a minute of 80
MOST_SEEDS = 1000  # more are named by no advice
LEAST_EFFECT = 0.1  # points: nobody looks for less

BySeed: TypeAlias = Mapping[int, float]
Verdict = Literal["better", "worse", "cannot tell"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A candidate's mean less the baseline's.

    Attributes:
        mean: Mean difference; below 0 the candidate is better.
        interval: Confidence interval of the true difference, of this comparison alone; None: one
            seed can't tell.
        p: Probability of a difference as large if there were none; None likewise.
        is_paired: Whether seeds were paired; else it is Welch's comparison.
        n: Number of pairs, or of the smaller group.
        sd: Standard deviation of the differences, or what it would be of independent pairs.
        correlation: Correlation of the paired errors: what they share is what pairing takes out;
            None: they aren't paired, or one side doesn't vary.
        p_holm: ``p`` corrected for all candidates (Holm, 1979); None likewise.
        verdict: ``better`` or ``worse`` where ``p_holm`` is below 1 - ``CONFIDENCE``.
    """

    mean: float
    interval: tuple[float, float] | None
    p: float | None
    is_paired: bool
    n: int
    sd: float | None
    correlation: float | None
    p_holm: float | None = None
    verdict: Verdict = "cannot tell"


def compare_groups(baseline: BySeed, candidates: Sequence[BySeed]) -> list[Difference]:
    """Each candidate against the baseline, corrected for their number.

    Args:
        baseline: Number of each seed of the baseline, at least one.
        candidates: Numbers of each candidate, likewise.
    """
    found = [difference(baseline, candidate) for candidate in candidates]
    told = [number for number, each in enumerate(found) if each.p is not None]
    corrected = holm([found[number].p or 0.0 for number in told])
    for number, p in zip(told, corrected, strict=True):
        each = found[number]
        verdict: Verdict = "better" if each.mean < 0 else "worse"
        found[number] = replace(
            each, p_holm=p, verdict=verdict if p < 1 - CONFIDENCE else "cannot tell"
        )
    return found


def difference(baseline: BySeed, candidate: BySeed) -> Difference:
    """One candidate against the baseline: paired where all seeds of either are the other's too."""
    shared = sorted(baseline.keys() & candidate.keys())
    if len(shared) >= 2 and len(shared) == min(len(baseline), len(candidate)):
        return _paired([baseline[s] for s in shared], [candidate[s] for s in shared])
    return _welch(list(baseline.values()), list(candidate.values()))


def holm(ps: Sequence[float]) -> list[float]:
    """P-values such that any below a level is wrong no more often than that level, all together.

    Holm, 1979, "A simple sequentially rejective multiple test procedure": the smallest times their
    number, the next times one less, and so on, never below those before.
    """
    order = sorted(range(len(ps)), key=ps.__getitem__)
    corrected, largest = [0.0] * len(ps), 0.0
    for rank, number in enumerate(order):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[number]))
        corrected[number] = largest
    return corrected


def dunnett(baseline: BySeed, candidates: Sequence[BySeed]) -> list[float] | None:
    """P-values of Dunnett's (1955) test of several independent groups against one.

    It takes equal variances and no pairing, and beside it Holm's stays valid without either.

    Returns:
        A p-value each; None: a group has fewer than two, no group's numbers differ, or there are
        more than ``MOST_BY_DUNNETT`` candidates.
    """
    everyone = [list(group.values()) for group in (baseline, *candidates)]
    is_told = min(map(len, everyone)) > 1 and any(len({*numbers}) > 1 for numbers in everyone)
    if not 1 <= len(candidates) <= MOST_BY_DUNNETT or not is_told:
        return None
    from scipy import stats

    control, *groups = everyone
    # Its integral is by quasi-random points: from a fixed seed the same runs give the same digits.
    with warnings.catch_warnings():  # one group whose numbers are equal is no loss of precision
        warnings.filterwarnings("ignore", "Precision loss occurred", RuntimeWarning)
        found = stats.dunnett(*groups, control=control, random_state=0)
    return [float(p) for p in found.pvalue]


def mcnemar(is_right: Sequence[bool], is_right_too: Sequence[bool]) -> tuple[int, int, float]:
    """Two networks on the same images: those that only one has right (McNemar, 1947).

    It says whether these two networks differ, and nothing of what another seed would give.

    Returns:
        Number of images that the first alone has right, that the second alone has, and the exact
        probability of a split as uneven if either were as likely.
    """
    from scipy import stats

    pairs = list(zip(is_right, is_right_too, strict=True))
    first = sum(1 for one, other in pairs if one and not other)
    second = sum(1 for one, other in pairs if other and not one)
    if first + second == 0:
        return 0, 0, 1.0
    return first, second, float(stats.binomtest(first, first + second).pvalue)


def seeds_to_tell(sd: float, effect: float) -> int | None:
    """Number of pairs of seeds that tell a true difference, with ``POWER``.

    Args:
        sd: Standard deviation of the differences, above 0.
        effect: Difference that is to be told, above 0.

    Returns:
        The number; None: more than ``MOST_SEEDS``.
    """
    from scipy import stats

    for n in range(2, MOST_SEEDS + 1):
        quantile = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)
        # The noncentral t's: of a true difference, how often its t is beyond the quantile.
        if stats.nct.sf(quantile, n - 1, effect / sd * math.sqrt(n)) >= POWER:
            return n
    return None


def in_words(found: Difference) -> str:
    """What a comparison allows to be said."""
    if found.interval is None or found.sd is None:
        return "cannot tell: one seed"
    low, high = found.interval
    cannot_tell = f"cannot tell ({low:+.2f} to {high:+.2f})"
    if found.mean < 0:
        low, high = -high, -low
    size = f"by {abs(found.mean):.2f} ({low:.2f} to {high:.2f})"
    if found.verdict != "cannot tell":
        return f"{found.verdict} {size}"
    if low > 0:
        word = "better" if found.mean < 0 else "worse"
        return f"cannot tell, among so many comparisons; alone {word} {size}"
    effect = max(abs(found.mean), LEAST_EFFECT)
    wanted = seeds_to_tell(found.sd, effect) if found.sd else None
    if wanted is None:
        return f"{cannot_tell}; more than {MOST_SEEDS:,} seeds would tell {effect:.2f}"
    more = max(1, wanted - found.n)
    seeds = "seed" if more == 1 else "seeds"
    return f"{cannot_tell}; about {more} more {seeds} would tell {effect:.2f}"


def pairing(found: Difference) -> str:
    """Whether seeds were paired, and how far the errors of a pair go together."""
    if not found.is_paired:
        return "no"
    return "yes" if found.correlation is None else f"r {found.correlation:.2f}"


def _paired(baseline: Sequence[float], candidate: Sequence[float]) -> Difference:
    from scipy import stats

    gaps = [b - a for a, b in zip(baseline, candidate, strict=True)]
    mean, sd, n = fmean(gaps), stdev(gaps), len(gaps)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * sd / math.sqrt(n)
    varies = min(stdev(baseline), stdev(candidate)) > 0
    return Difference(
        mean=mean,
        interval=(mean - half, mean + half),
        p=_p(mean, sd / math.sqrt(n), n - 1),
        is_paired=True,
        n=n,
        sd=sd,
        correlation=correlation(baseline, candidate) if varies else None,
    )


def _welch(baseline: Sequence[float], candidate: Sequence[float]) -> Difference:
    """Welch, 1947: independent groups of unlike variances."""
    from scipy import stats

    mean, n = fmean(candidate) - fmean(baseline), min(len(baseline), len(candidate))
    if n < 2:
        return Difference(
            mean=mean, interval=None, p=None, is_paired=False, n=n, sd=None, correlation=None
        )
    parts = [stdev(group) ** 2 / len(group) for group in (baseline, candidate)]
    error = math.sqrt(sum(parts))
    lengths = (len(baseline), len(candidate))
    scatter = sum(part**2 / (k - 1) for part, k in zip(parts, lengths, strict=True))
    freedom = sum(parts) ** 2 / scatter if scatter else float(sum(lengths) - 2)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return Difference(
        mean=mean,
        interval=(mean - half, mean + half),
        p=_p(mean, error, freedom),
        is_paired=False,
        n=n,
        sd=math.hypot(stdev(baseline), stdev(candidate)),
        correlation=None,
    )


def _p(mean: float, error: float, freedom: float) -> float:
    from scipy import stats

    if error == 0:  # the same numbers in each run: certain, or no difference at all
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean) / error, freedom))
