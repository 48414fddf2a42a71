"""Two single runs, image by image: whether their two networks differ, whatever other seeds do."""

from __future__ import annotations

from dataclasses import dataclass

from cifarzoo.errors import UsageError
from cifarzoo.results.comparing.differences import mcnemar
from cifarzoo.results.comparing.groups import Group, Metric
from cifarzoo.results.spread import are_of_same_images
from cifarzoo.run_folders.predictions import Predictions, read_predictions


@dataclass(frozen=True, kw_only=True)
class SameImages:
    """McNemar's test of two networks.

    Attributes:
        num_images: Number of test images.
        baseline_alone: Number of those that the baseline alone has right.
        candidate_alone: Number of those that the candidate alone has right.
        p: Probability of a split as uneven if both were as likely to be right.
    """

    num_images: int
    baseline_alone: int
    candidate_alone: int
    p: float

    def __str__(self) -> str:
        return (
            f"{self.candidate_alone:,} of {self.num_images:,} test images are right by it alone, "
            f"{self.baseline_alone:,} by the baseline alone: p = {self.p:.2g} (McNemar), of these "
            "two networks and not of other seeds"
        )


def on_same_images(baseline: Group, candidate: Group, metric: Metric) -> SameImages | None:
    """The test of two groups of one run each; None: they have more, or kept no predictions."""
    if len(baseline.runs) > 1 or len(candidate.runs) > 1 or metric == "validation_error":
        return None
    try:
        one, other = (_predictions(group) for group in (baseline, candidate))
    except UsageError:  # of an older cifarzoo, or taken away
        return None
    if not are_of_same_images(one, other):
        return None
    has_views = metric == "tta_test_error"
    first, second = (each.tta_is_right if has_views else each.is_right for each in (one, other))
    if first is None or second is None:
        return None
    baseline_alone, candidate_alone, p = mcnemar(first.tolist(), second.tolist())
    return SameImages(
        num_images=len(one.labels),
        baseline_alone=baseline_alone,
        candidate_alone=candidate_alone,
        p=p,
    )


def _predictions(group: Group) -> Predictions:
    [run] = group.runs.values()
    return read_predictions(run.folder)
