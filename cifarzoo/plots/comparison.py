"""The figure of a comparison: errors over epochs, errors of seeds, differences to the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from cifarzoo.errors import UsageError
from cifarzoo.plots.style import log_errors, look, shortened, styled, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Interval: TypeAlias = tuple[float, float]
Curve: TypeAlias = Mapping[int, float]  # a number of each epoch
Panel = Literal["curves", "seeds", "differences"]
PANELS: tuple[Panel, ...] = get_args(Panel)

MINUS = "\N{MINUS SIGN}"  # as on the axes
MOST_ROWS = 60  # groups; a figure of more would be higher than any page
WIDTH = 7.0  # inches, as the others
CURVES_HEIGHT, LEGEND_HEIGHT = 2.4, 0.14
ROW_HEIGHT = 0.4
FRAME_HEIGHT = 0.75  # of the rows: their axis
LABEL_WIDTH, LABEL_LINES = 28, 3
LEGEND_LENGTH = 48
MOST_IN_LEGEND = 12  # groups; the rows below have the colours of all


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is drawn of a group of runs; all in percent.

    Attributes:
        name: Name of the group.
        curves: Curve of each seed, as far as epochs were recorded.
        values: Number of each seed.
        mean: Mean of the numbers.
        interval: Confidence interval of the mean; None: of one seed.
        difference: Mean difference to the baseline; None: this is the baseline.
        difference_interval: Confidence interval of the difference; None: one seed can't tell.
        verdict: Verdict in words.
    """

    name: str
    curves: Sequence[Curve]
    values: Sequence[float]
    mean: float
    interval: Interval | None
    difference: float | None = None
    difference_interval: Interval | None = None
    verdict: str = ""


def draw_comparison(rows: Sequence[Row], metric: str, panels: Sequence[Panel] = PANELS) -> Figure:
    """Draw groups, the baseline first.

    Args:
        rows: What is drawn of each group.
        metric: Name of the number, such as ``test error``.
        panels: What is drawn: ``curves`` over epochs, mean and standard deviation over seeds;
            ``seeds``, a dot each, with the mean and its interval; ``differences`` to the baseline
            with their intervals. What there is nothing of is left out.

    Raises:
        UsageError: There are too many groups, or nothing to draw.
    """
    from matplotlib.figure import Figure

    if len(rows) > MOST_ROWS:
        raise UsageError(f"{len(rows)} groups are too many for a figure; expected {MOST_ROWS}")
    has_curves = "curves" in panels and any(row.curves for row in rows)
    below = [panel for panel in ("seeds", "differences") if panel in panels]
    if len(rows) == 1:
        below = [panel for panel in below if panel != "differences"]
    if not has_curves and not below:
        raise UsageError(f"there is nothing to draw: one group, and no {' or '.join(panels)}")
    lines = (len(rows) + 1) // 2 if len(rows) <= MOST_IN_LEGEND else 0
    heights = [CURVES_HEIGHT + LEGEND_HEIGHT * lines] * has_curves
    heights += [FRAME_HEIGHT + ROW_HEIGHT * len(rows)] * bool(below)
    with styled():
        figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        if has_curves:
            _draw_curves(parts[0].subplots(), rows, metric)
        if below:
            axes = parts[-1].subplots(1, len(below), sharey=True, squeeze=False)[0]
            for each, panel in zip(axes, below, strict=True):
                _draw_rows(each, rows)
                (_draw_seeds if panel == "seeds" else _draw_differences)(each, rows, metric)
        return figure


def _draw_curves(axes: Axes, rows: Sequence[Row], metric: str) -> None:
    """Mean over seeds, a band of one standard deviation, and each seed's as a thin line."""
    from matplotlib.ticker import MaxNLocator

    for number, row in enumerate(rows):
        if not row.curves:
            continue
        colour, marker = look(number)
        for curve in row.curves:
            axes.plot([*curve], [*curve.values()], color=colour, linewidth=0.5, alpha=0.35)
        shared = sorted(set.intersection(*(set(curve) for curve in row.curves)))
        at_epoch = [[curve[epoch] for curve in row.curves] for epoch in shared]
        means = [fmean(values) for values in at_epoch]
        label = shortened(row.name, LEGEND_LENGTH)
        if len(row.curves) < len(row.values):
            label += f" ({len(row.curves)} of {len(row.values)} seeds)"
        axes.plot(
            shared,
            means,
            color=colour,
            linewidth=1.4,
            marker=marker,
            markersize=4,
            markevery=[len(shared) - 1] if shared else None,
            label=f" {label}" if label.startswith("_") else label,  # else no legend has it
        )
        if len(row.curves) > 1:
            sds = [stdev(values) for values in at_epoch]
            low = [mean - sd for mean, sd in zip(means, sds, strict=True)]
            high = [mean + sd for mean, sd in zip(means, sds, strict=True)]
            axes.fill_between(shared, low, high, color=colour, alpha=0.15, linewidth=0)
    drawn = chain.from_iterable(curve.values() for row in rows for curve in row.curves)
    log_errors(axes, list(drawn))
    has_bands = any(len(row.curves) > 1 for row in rows)
    bands = " (lines: means of seeds; bands: ± 1 standard deviation)" * has_bands
    axes.set(xlabel=f"epoch{bands}", ylabel=f"{metric}, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0.02)
    if len(rows) <= MOST_IN_LEGEND:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)


def _draw_rows(axes: Axes, rows: Sequence[Row]) -> None:
    """A line for each group, the first at the top."""
    names = [wrapped(row.name, width=LABEL_WIDTH, lines=LABEL_LINES) for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=6)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")


def _draw_seeds(axes: Axes, rows: Sequence[Row], metric: str) -> None:
    """A dot a seed, and above them the mean with its interval."""
    for number, row in enumerate(rows):
        colour, _ = look(number)
        at = [number + 0.15] * len(row.values)
        axes.plot(row.values, at, "o", color=colour, markersize=3.5, alpha=0.5, markeredgewidth=0)
        _draw_interval(axes, number, number - 0.12, row.mean, row.interval, is_full=True)
    values = [value for row in rows for value in row.values]
    span = max(values) - min(values)
    inside = [row.interval for row in rows if row.interval is not None]
    lowest, highest = min(values) - span, max(values) + span
    low = max(lowest, min([min(values), *(low for low, _ in inside)]))
    high = min(highest, max([max(values), *(high for _, high in inside)]))
    if high > low:
        axes.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.set(xlabel=f"{metric}, %", title="seeds; mean and 95 % interval")


def _draw_differences(axes: Axes, rows: Sequence[Row], _metric: str) -> None:
    """The mean difference to the first group with its interval, and the verdict in words."""
    axes.axvline(0, color="0.4", linewidth=0.8)
    for number, row in enumerate(rows):
        if row.difference is not None:
            is_told = row.verdict in ("better", "worse")
            interval = row.difference_interval
            _draw_interval(axes, number, number, row.difference, interval, is_full=is_told)
    axes.set_xlim(*_limits(rows))
    axes.set(xlabel="points; below 0 is better", title="difference to the baseline")
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(rows)), [_in_short(row) for row in rows])
    right.tick_params(axis="y", length=0, labelsize=7)
    right.spines["right"].set_visible(False)


def _draw_interval(
    axes: Axes, number: int, y: float, mean: float, interval: Interval | None, *, is_full: bool
) -> None:
    colour, marker = look(number)
    if interval is not None:
        axes.plot(interval, [y, y], color=colour, linewidth=1.3)
    face = colour if is_full else "white"
    axes.plot([mean], [y], marker, color=colour, markerfacecolor=face, markersize=5)


def _limits(rows: Sequence[Row]) -> Interval:
    """Ends of the axis of differences: an interval far wider than most runs out of it."""
    found = [row.difference_interval for row in rows if row.difference_interval is not None]
    halves = sorted((high - low) / 2 for low, high in found)
    most = 4 * halves[len(halves) // 2] if halves else 0.0
    ends = [0.0]
    for row in rows:
        if row.difference is not None:
            low, high = row.difference_interval or (row.difference, row.difference)
            half = min(most, (high - low) / 2)
            ends += [row.difference - half, row.difference + half]
    span = (max(ends) - min(ends)) or 1.0
    return min(ends) - 0.06 * span, max(ends) + 0.06 * span


def _in_short(row: Row) -> str:
    if row.difference is None:
        return "baseline"
    text = f"{row.difference:+.2f}"
    if row.difference_interval is not None:
        low, high = row.difference_interval
        text += f" ({low:+.2f} to {high:+.2f})"
    return f"{text.replace('-', MINUS)}\n{row.verdict}"
