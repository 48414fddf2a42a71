"""Groups of finished runs, each against the first: all that a comparison says of them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from cifarzoo.api.frames import data_frame
from cifarzoo.components.user_paths import expanded
from cifarzoo.errors import UsageError
from cifarzoo.escaping import visible_line
from cifarzoo.plots.comparison import PANELS, Panel, draw_comparison
from cifarzoo.plots.files import check_target, save
from cifarzoo.results.comparing.compared_group import ComparedGroup
from cifarzoo.results.comparing.differences import (
    Difference,
    compare_groups,
    dunnett,
    pairing,
)
from cifarzoo.results.comparing.groups import Group, Metric, group_runs
from cifarzoo.results.formats import Records, html
from cifarzoo.results.statistics import sample
from cifarzoo.run_folders.finding import runs_folder

if TYPE_CHECKING:
    from cifarzoo.api.loaded_run import RunName
    from cifarzoo.results.comparing.same_images import SameImages

DECIMALS = 2  # of percentages


@dataclass(frozen=True, kw_only=True)
class ComparedRuns:
    """What finished runs allow to be said of each other; ``cifarzoo.compare`` makes it.

    Attributes:
        metric: Name of the number that is compared.
        groups: Groups, the baseline first.
        differing: Settings in which the groups differ, with each one's value as text; None: it has
            no such component.
        notes: What was left out and why, and what else should be known, a line each.
    """

    metric: Metric
    groups: tuple[ComparedGroup, ...]
    differing: Mapping[str, Sequence[str | None]]
    notes: tuple[str, ...]

    @property
    def baseline(self) -> ComparedGroup:
        """The group that the others are compared with."""
        return self.groups[0]

    def to_json(self) -> dict[str, Any]:
        """What ``cifarzoo compare --json`` prints."""
        return {
            "metric": self.metric,
            "differing": {name: list(values) for name, values in self.differing.items()},
            "groups": [group.to_json() for group in self.groups],
            "notes": list(self.notes),
        }

    def to_records(self) -> Records:
        """All numbers, a row a group, as ``cifarzoo compare --format csv`` prints them."""
        rows = [
            group.to_row(self.metric)
            | {name: values[number] for name, values in self.differing.items()}
            for number, group in enumerate(self.groups)
        ]
        return Records(columns=tuple(rows[0]), rows=tuple(rows))

    def summary(self) -> Records:
        """What people want to read, a row a group, as Markdown and LaTeX have it."""
        error = f"{self.metric.replace('_', ' ')} (%)"
        rows = [
            {
                "group": group.name,
                "n": group.sample.n,
                error: group.sample.mean,
                "sd": group.sample.sd,
                "difference": group.gap,
                "paired": group.difference and pairing(group.difference),
                "verdict": group.words,
            }
            for group in self.groups
        ]
        decimals = dict.fromkeys((error, "sd", "difference"), DECIMALS)
        return Records(columns=tuple(rows[0]), rows=tuple(rows), decimals=decimals)

    def to_pandas(self) -> Any:
        """All numbers as a ``pandas.DataFrame``, a row a group.

        Raises:
            UsageError: pandas isn't installed.
        """
        records = self.to_records()
        return data_frame(
            records.rows,
            records.columns,
            of="compare",
            instead="to_records().rows has the same numbers",
        )

    def plot(self, path: str | os.PathLike[str], *, panels: Sequence[Panel] = PANELS) -> Path:
        """Draw errors over epochs, of the seeds, and differences to the baseline.

        Args:
            path: File to write, whose name ends in ``.pdf``, ``.png`` or ``.svg``.
            panels: What is drawn: ``curves``, ``seeds`` and ``differences``; all, unless it says
                otherwise.

        Returns:
            The path.

        Raises:
            UsageError: matplotlib isn't installed, nothing can be written there, or there are too
                many groups.
            CifarzooError: The disk is full.
        """
        target = expanded(path)
        check_target(target)
        if odd := [panel for panel in panels if panel not in PANELS]:
            raise UsageError(f"no panel {odd[0]!r}; expected some of {', '.join(PANELS)}")
        rows = [group.drawn(self.metric) for group in self.groups]
        save(draw_comparison(rows, self.metric.replace("_", " "), panels), target)
        return target

    def _repr_html_(self) -> str:
        return html(self.summary())

    def __str__(self) -> str:
        return "\n".join(
            f"{visible_line(group.name)}: {group.sample.mean:.2f} % (n = {group.sample.n}), "
            f"{group.words}"
            for group in self.groups
        )


def compare(
    *runs: RunName,
    baseline: RunName | None = None,
    metric: Metric = "test_error",
    out: str | os.PathLike[str] | None = None,
) -> ComparedRuns:
    """Compare finished runs in groups that are equal but for their seeds, each with the baseline.

    What is left out of the comparison, such as a run that isn't finished, is warned of.

    Args:
        *runs: Runs and folders of runs: paths, starts of ids, or results.
        baseline: Name of the group that the others are compared with, or one of its runs, or a
            folder of them; None: the group of the first run.
        metric: ``test_error``, ``tta_test_error`` or ``validation_error``.
        out: Where runs are; None: ``CIFARZOO_RUNS``, or ``runs``.

    Raises:
        UsageError: A name means no run, none is finished, they are of several datasets, or the
            baseline means no group.
    """
    if metric not in get_args(Metric):
        raise UsageError(f"metric is {metric!r}; expected {', '.join(get_args(Metric))}")
    names = [_name_of(run) for run in runs]
    if not names:
        raise UsageError("given no runs; expected some, or folders of them")
    its = None if baseline is None else _name_of(baseline)
    found = compare_runs(names, runs_folder(out), metric, its)
    for note in found.notes:
        warnings.warn(visible_line(note), stacklevel=2)
    return found


def compare_runs(
    names: Sequence[str], root: Path, metric: Metric, baseline: str | None = None
) -> ComparedRuns:
    """The same for names; ``notes`` alone has what is left out. See ``groups.group_runs``."""
    from cifarzoo.results.comparing.same_images import (
        on_same_images,  # NumPy, for which others don't wait
    )

    grouping = group_runs(names, root, metric, baseline)
    first, *others = grouping.groups
    numbers = [group.numbers for group in others]
    ps = dunnett(first.numbers, numbers)
    told = compare_groups(first.numbers, numbers)
    compared = [
        _compared(group, each, ps[k] if ps else None, on_same_images(first, group, metric))
        for k, (group, each) in enumerate(zip(others, told, strict=True))
    ]
    return ComparedRuns(
        metric=metric,
        groups=(_compared(first), *compared),
        differing=grouping.differing,
        notes=grouping.notes,
    )


def _name_of(run: RunName) -> str:
    """The name of a run or folder; results and loaded runs have a path."""
    try:
        return os.fspath(run if isinstance(run, str | os.PathLike) else run.path)
    except AttributeError as error:
        raise UsageError(
            f"a run is of the type {type(run).__name__}; expected a path, a folder of runs, the "
            "start of an id, or a result"
        ) from error


def _compared(
    group: Group,
    difference: Difference | None = None,
    p_dunnett: float | None = None,
    same_images: SameImages | None = None,
) -> ComparedGroup:
    return ComparedGroup(
        name=group.name,
        runs={seed: run.folder.path for seed, run in sorted(group.runs.items())},
        numbers=group.numbers,
        sample=sample(list(group.numbers.values())),
        difference=difference,
        p_dunnett=p_dunnett,
        same_images=same_images,
    )
