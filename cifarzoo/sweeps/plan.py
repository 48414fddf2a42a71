"""The cells of a sweep: configs times varied values times seeds, each a run in a folder of its own.

A cell is named after what differs: ``lr=0.1,mixup/seed0``. Its folder holds its config and plugins
from the start, so that ``cifarzoo resume FOLDER`` trains it, goes on with it, or says what it came
to: any queue can run that. The folders are all that is known of the cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from cifarzoo import config as configs
from cifarzoo.config import Config
from cifarzoo.errors import ConfigProblemsError, UsageError
from cifarzoo.sweeps.variations import Variation, check_variations, label

MOST_CELLS = 10_000


@dataclass(frozen=True, kw_only=True)
class Point:
    """A config of a sweep with a value for each setting that is varied, whatever its seed.

    Attributes:
        name: Name of the folder of its cells.
        config_name: Name of the config.
        values: Values of the varied settings in gin's words, by name of the setting.
        labels: What the values are called, by name of the setting.
        config: Config with these values.
    """

    name: str
    config_name: str
    values: Mapping[str, str]
    labels: Mapping[str, str]
    config: Config


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of a sweep.

    Attributes:
        point: Config and values of the cell.
        seed: Seed of the run.
        config: Config of the run.
        folder: Folder of the run.
    """

    point: Point
    seed: int
    config: Config
    folder: Path

    @property
    def name(self) -> str:
        """Such as ``lr=0.1,mixup/seed0``."""
        return f"{self.point.name}/seed{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a sweep was asked for.

    Attributes:
        configs: Paths of configs, or names of recipes.
        sets: Settings of all cells, ``NAME=VALUE`` each in gin's words.
        variations: Settings that are varied.
        seeds: Seeds of each point.
        plugins: Plugin files and folders.
    """

    configs: tuple[str, ...]
    sets: tuple[str, ...]
    variations: tuple[Variation, ...]
    seeds: tuple[int, ...]
    plugins: tuple[Path, ...]


def plan_points(asked: Asked) -> list[Point]:
    """The points of a sweep, in the order in which they were asked for; nothing is written.

    Raises:
        ConfigProblemsError: A config, or a value in it, can't be used: all problems, a line each.
        UsageError: A config is named twice, or there are too many.
    """
    check_variations(asked.variations)
    names = names_of(asked.configs)
    num = len(names) * len(asked.seeds)
    for variation in asked.variations:
        num *= len(variation.values)
    if num > MOST_CELLS:
        raise UsageError(f"that is {num:,} cells; expected at most {MOST_CELLS:,}")
    problems: list[str] = []
    points = []
    for source, values in product(
        asked.configs, product(*(variation.values for variation in asked.variations))
    ):
        try:
            points.append(point_of(asked, source, values, num_configs=len(names)))
        except ConfigProblemsError as error:
            problems += error.problems
    if problems:
        raise ConfigProblemsError(list(dict.fromkeys(problems)))
    return _told_apart(points)


def plan_cells(points: Sequence[Point], seeds: Sequence[int], folder: Path) -> list[Cell]:
    """The cells of ``points``: all of the first seed, then all of the next."""
    return [
        Cell(
            point=point,
            seed=seed,
            config=point.config.with_values({"run.seed": seed}, location=f"seed {seed}"),
            folder=folder / point.name / f"seed{seed}",
        )
        for seed in seeds
        for point in points
    ]


def names_of(sources: Sequence[str]) -> list[str]:
    """The names of configs.

    Raises:
        UsageError: Two have one name, or one is standard input.
    """
    names = [Path(each).stem for each in sources]
    if "-" in sources:
        raise UsageError("a sweep reads its configs more than once; give a file in the place of -")
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"two configs are called {min(twice)!r}; give one another name")
    return names


def point_of(
    asked: Asked, source: str, values: Sequence[str], *, name: str = "", num_configs: int = 1
) -> Point:
    """A config with a value for each setting that is varied.

    Args:
        asked: What the sweep was asked for.
        source: Path of the config, or name of a recipe.
        values: Value of each variation in gin's words.
        name: Name of the point; empty: after what differs.
        num_configs: Number of configs of the sweep.

    Raises:
        ConfigProblemsError: A value can't be used: all problems, a line each.
    """
    by_name = {each.name: value for each, value in zip(asked.variations, values, strict=True)}
    varied = [f"{setting}={value}" for setting, value in by_name.items()]
    try:
        config = configs.load(source, sets=[*asked.sets, *varied], plugins=asked.plugins)
    except ConfigProblemsError as error:
        raise ConfigProblemsError([*_as_varied(error.problems, varied)]) from error
    labels = dict(_labels(asked.variations, values))
    config_name = Path(source).stem
    parts = [*([config_name] if num_configs > 1 or not labels else []), *labels.values()]
    return Point(
        name=name or ",".join(parts),
        config_name=config_name,
        values=by_name,
        labels=labels,
        config=config,
    )


def _labels(variations: Sequence[Variation], values: Sequence[str]) -> Iterator[tuple[str, str]]:
    short = [each.short_name for each in variations]
    for variation, value in zip(variations, values, strict=True):
        is_unique = short.count(variation.short_name) == 1
        yield variation.name, label(variation, value, is_unique=is_unique)


def _as_varied(problems: Sequence[str], varied: Sequence[str]) -> Iterator[str]:
    """Problems that name the option that was given."""
    for problem in problems:
        for text in varied:
            problem = problem.replace(f"--set {text!r}", f"--vary {text!r}")  # noqa: PLW2901
        yield problem


def _told_apart(points: list[Point]) -> list[Point]:
    """Refuse points of one name: two values that are called, or mean, the same."""
    seen: dict[str, Point] = {}
    for point in points:
        other = seen.setdefault(point.name, point)
        if other is not point:
            here, there = (
                ", ".join(f"{n}={v}" for n, v in p.values.items()) for p in (point, other)
            )
            raise UsageError(f"{there} and {here} would both be called {point.name!r}")
    return points
