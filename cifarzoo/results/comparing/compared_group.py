"""Finished runs that are equal but for their seeds, and what they say against the baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cifarzoo.plots.comparison import Row
from cifarzoo.results.comparing.differences import Difference, in_words
from cifarzoo.results.comparing.groups import Metric
from cifarzoo.results.statistics import Sample
from cifarzoo.run_folders.folder import RunFolder

if TYPE_CHECKING:
    from cifarzoo.results.comparing.same_images import SameImages


@dataclass(frozen=True, kw_only=True)
class ComparedGroup:
    """Runs that are equal but for their seeds, and what they say against the baseline.

    Attributes:
        name: Name of the group.
        runs: Folder of each seed's run.
        numbers: Metric of each seed, in percent.
        sample: Mean, standard deviation, number and interval of these.
        difference: Difference to the baseline; None: this is the baseline.
        p_dunnett: Probability by Dunnett's test; None likewise, of one seed, or among too many
            candidates.
        same_images: McNemar's test against the baseline, image by image, of groups of one run each;
            None otherwise.
    """

    name: str
    runs: Mapping[int, Path]
    numbers: Mapping[int, float]
    sample: Sample
    difference: Difference | None
    p_dunnett: float | None
    same_images: SameImages | None

    @property
    def words(self) -> str:
        """What its difference to the baseline allows to be said."""
        return in_words(self.difference) if self.difference else "baseline"

    @property
    def gap(self) -> float | None:
        """Its mean less the baseline's; None: this is the baseline."""
        return None if self.difference is None else self.difference.mean

    def to_json(self) -> dict[str, Any]:
        """The promised object; scripts lean on its keys."""
        record: dict[str, Any] = {
            "name": self.name,
            "runs": {str(seed): str(path) for seed, path in self.runs.items()},
            "numbers": {str(seed): number for seed, number in self.numbers.items()},
            "mean": self.sample.mean,
            "sd": self.sample.sd,
            "n": self.sample.n,
        }
        if (found := self.difference) is not None:
            record |= {
                "difference": found.mean,
                "interval": found.interval,
                "is_paired": found.is_paired,
                "correlation": found.correlation,
                "p": found.p,
                "p_holm": found.p_holm,
                "verdict": found.verdict,
                "words": self.words,
                "p_dunnett": self.p_dunnett,
                "mcnemar": asdict(self.same_images) if self.same_images else None,
            }
        return record

    def to_row(self, metric: Metric) -> dict[str, Any]:
        """The numbers of a group as plain values, the same keys for each."""
        values, found = self.sample, self.difference
        low, high = values.interval or (None, None)
        gap_low, gap_high = (found and found.interval) or (None, None)
        return {
            "group": self.name,
            "n": values.n,
            metric: values.mean,
            "sd": values.sd,
            "low": low,
            "high": high,
            "difference": self.gap,
            "difference_low": gap_low,
            "difference_high": gap_high,
            "paired": found and found.is_paired,
            "correlation": found and found.correlation,
            "p": found and found.p,
            "p_holm": found and found.p_holm,
            "p_dunnett": self.p_dunnett,
            "p_mcnemar": self.same_images and self.same_images.p,
            "verdict": found.verdict if found else "baseline",
        }

    def drawn(self, metric: Metric) -> Row:
        """What a figure shows of it; its runs' epochs are read for it.

        Raises:
            UsageError: The file of the epochs of a run is damaged.
        """
        found = self.difference
        return Row(
            name=self.name,
            curves=list(self.curves(metric)),
            values=list(self.numbers.values()),
            mean=self.sample.mean,
            interval=self.sample.interval,
            difference=self.gap,
            difference_interval=None if found is None else found.interval,
            verdict=found.verdict if found else "",
        )

    def curves(self, metric: Metric) -> Iterator[dict[int, float]]:
        """The metric of each seed's run over epochs, in percent, where epochs were recorded."""
        for path in self.runs.values():
            lines = [line for line in RunFolder(path).metrics() if line.get(metric) is not None]
            if curve := {line["epoch"]: 100 * line[metric] for line in lines if "epoch" in line}:
                yield curve
