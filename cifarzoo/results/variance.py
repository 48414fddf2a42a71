"""The spread of seeds, split: what a finite test set gives alone, and what differs in distribution.

Test-set variance and distribution-wise variance are those of Jordan, "Calibrated Chaos: Variance
Between Runs of Neural Network Training is Harmless and Inevitable" (2023; arXiv:2304.01910).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from cifarzoo.results.statistics import CONFIDENCE

POINTS = 100.0  # percent


@dataclass(frozen=True, kw_only=True)
class VarianceSplit:
    """The variance of the error over seeds, and its two parts, in percent points squared.

    ``test_set = finite_sample + (1 - 1 / num_images) distribution``, exactly.

    Attributes:
        num_seeds: Number n of seeds.
        num_images: Number m of test images.
        test_set: Variance of the seeds' errors on these images.
        finite_sample: Variance that m images give to seeds that are equally good on all images
            there could be, and err independently on each.
        distribution: Variance of the seeds' errors on all images that there could be. It is an
            unbiased estimate, and may be below 0 where there is little or none.
        interval: Confidence interval of the square root of ``distribution``, in percent points.
    """

    num_seeds: int
    num_images: int
    test_set: float
    finite_sample: float
    distribution: float
    interval: tuple[float, float]

    @property
    def distribution_sd(self) -> float:
        """Square root of ``distribution``, in percent points; 0 where that is below 0."""
        return _root(self.distribution)


def split_variance(is_right: NDArray[Any]) -> VarianceSplit:
    """Split the variance of several seeds' errors on one test set.

    With C_ij = 1 where seed i is right on image j, S_i its mean over the m images and p_j the
    probability that a seed is right on image j, the variance of S over seeds is

        Var S = (1 / m^2) (sum_j p_j (1 - p_j) + sum_{j != k} Cov(C_ij, C_ik)).

    Images are drawn independently from one distribution, so each covariance has the expectation
    Var A, the variance over seeds of the accuracy A_i on the whole distribution. Hence

        Var A = m / (m - 1) E[Var S - (1 / m^2) sum_j p_j (1 - p_j)],

    the distribution-wise variance of Jordan (2023; arXiv:2304.01910). With the sample variance of
    S for its variance, and n / (n - 1) times q_j (1 - q_j) for p_j (1 - p_j), where q_j is the
    share of n seeds that are right, this has no bias for any n >= 2, whatever the seeds have in
    common; only that the seeds are independent and the images are is used.

    The interval is that of a normal sample's variance (chi-squared, n - 1 degrees of freedom) less
    the first part, which hardly varies: n seeds leave much open.

    Args:
        is_right: Whether each seed is right on each image (n, m), two or more of both.

    Raises:
        ValueError: There are fewer.
    """
    if is_right.ndim != 2 or min(is_right.shape) < 2:
        raise ValueError(f"is_right is {is_right.shape}; expected (n, m), two or more of both")
    num_seeds, num_images = map(int, is_right.shape)
    bessel = num_seeds / (num_seeds - 1)
    test_set = POINTS**2 * float(is_right.mean(1).var()) * bessel
    share = is_right.mean(0)
    finite_sample = POINTS**2 * float((share * (1 - share)).sum()) * bessel / num_images**2

    def distribution(total: float) -> float:
        return (total - finite_sample) / (1 - 1 / num_images)

    low, high = (distribution(limit) for limit in _variance_interval(test_set, num_seeds))
    return VarianceSplit(
        num_seeds=num_seeds,
        num_images=num_images,
        test_set=test_set,
        finite_sample=finite_sample,
        distribution=distribution(test_set),
        interval=(_root(low), _root(high)),
    )


def _variance_interval(variance: float, n: int) -> tuple[float, float]:
    """Confidence interval of the variance of which ``n`` normal values have this one."""
    from scipy import stats

    tail, freedom = (1 - CONFIDENCE) / 2, n - 1
    low, high = (freedom * variance / stats.chi2.ppf(q, freedom) for q in (1 - tail, tail))
    return float(low), float(high)


def _root(variance: float) -> float:
    return math.sqrt(max(0.0, variance))
