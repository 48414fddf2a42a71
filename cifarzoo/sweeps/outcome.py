"""What a sweep has come to: a row a point, or rows by columns where two things are varied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cifarzoo.results.comparing.groups import Metric
from cifarzoo.results.statistics import sample
from cifarzoo.sweeps.plan import Cell, Point
from cifarzoo.sweeps.states import Standing, State, standing

CONFIG = "config"  # what the first column is called where there are several configs


@dataclass(frozen=True, kw_only=True)
class PointOutcome:
    """What the seeds of a point have come to.

    Attributes:
        point: Config and values of the point.
        numbers: Metric of each seed that is done, in percent.
        states: Number of its cells in each state.
        problems: Why cells failed, by name of the cell.
        data: Digests of the data that its runs were trained on.
        seconds: Seconds of training of each seed that is done.
    """

    point: Point
    numbers: Mapping[int, float]
    states: Mapping[State, int]
    problems: Mapping[str, str]
    data: frozenset[str]
    seconds: tuple[float, ...]

    @property
    def mean(self) -> float | None:
        """Mean of the numbers; None: there are none."""
        return sample(list(self.numbers.values())).mean if self.numbers else None

    @property
    def sd(self) -> float | None:
        """Standard deviation over seeds; None: fewer than two are done."""
        return sample(list(self.numbers.values())).sd if len(self.numbers) > 1 else None


@dataclass(frozen=True, kw_only=True)
class SweepOutcome:
    """What a sweep has come to.

    Attributes:
        metric: Number of a run that is shown.
        points: Outcome of each point.
        notes: What may not be meant, a line each.
    """

    metric: Metric
    points: tuple[PointOutcome, ...]
    notes: tuple[str, ...]

    @property
    def states(self) -> Counter[State]:
        """Number of cells in each state."""
        found: Counter[State] = Counter()
        for point in self.points:
            found.update(point.states)
        return found

    @property
    def problems(self) -> dict[str, str]:
        """Why cells failed, by name of the cell."""
        return {name: line for point in self.points for name, line in point.problems.items()}

    @property
    def axes(self) -> list[str]:
        """What differs between points: ``config``, and the settings that take several values."""
        names = [*dict.fromkeys(name for each in self.points for name in each.point.labels)]
        varied = [
            name for name in names if len({each.point.labels[name] for each in self.points}) > 1
        ]
        has_configs = len({each.point.config_name for each in self.points}) > 1
        return [*([CONFIG] if has_configs else []), *varied]

    def place(self, point: Point, axis: str) -> str:
        """What a point has on an axis, without the name of the axis."""
        if axis == CONFIG:
            return point.config_name
        return point.labels[axis].partition("=")[2] or point.labels[axis]


def outcome_of(
    cells: Sequence[Cell], metric: Metric, standing_of: Callable[[Cell], Standing] = standing
) -> SweepOutcome:
    """What ``cells`` have come to by now.

    Args:
        cells: Cells of the sweep.
        metric: Number of a run that is shown.
        standing_of: Gives how far a cell is.
    """
    by_point: dict[str, list[tuple[Cell, Standing]]] = {}
    for cell in cells:
        by_point.setdefault(cell.point.name, []).append((cell, standing_of(cell)))
    points = tuple(_of_point(found, metric) for found in by_point.values())
    data = set().union(*(point.data for point in points))
    notes = []
    if len(data) > 1:
        notes.append(
            f"the cells were trained on {len(data)} sets of data ({', '.join(sorted(data))}): "
            "their numbers can't be compared"
        )
    return SweepOutcome(metric=metric, points=points, notes=tuple(notes))


def to_json(outcome: SweepOutcome) -> dict[str, Any]:
    """The promised object; scripts lean on its keys."""
    return {
        "event": "sweep",
        "metric": outcome.metric,
        "points": [
            {
                "name": each.point.name,
                "config": each.point.config_name,
                "values": dict(each.point.values),
                "numbers": {str(seed): number for seed, number in each.numbers.items()},
                "mean": each.mean,
                "sd": each.sd,
                "n": len(each.numbers),
                "states": dict(each.states),
                "problems": dict(each.problems),
            }
            for each in outcome.points
        ],
        "states": dict(outcome.states),
        "notes": list(outcome.notes),
    }


def _of_point(found: Sequence[tuple[Cell, Standing]], metric: Metric) -> PointOutcome:
    done = [(cell, each) for cell, each in found if each.state == "done"]
    numbers = {
        cell.seed: 100 * float(each.record[metric])
        for cell, each in done
        if each.record.get(metric) is not None
    }
    return PointOutcome(
        point=found[0][0].point,
        numbers=dict(sorted(numbers.items())),
        states=Counter(each.state for _, each in found),
        problems={cell.name: each.problem or "" for cell, each in found if each.state == "failed"},
        data=frozenset(_data_of(each) for _, each in done),
        seconds=tuple(float(each.record.get("train_seconds") or 0) for _, each in done),
    )


def _data_of(found: Standing) -> str:
    data = found.record.get("data", {})
    return f"{data.get('title', 'unknown')} {str(data.get('sha256', ''))[:12]}"
