"""``compare --until-decided``: two configs trained seed by seed until it can be told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cifarzoo.api.execution import Processes, opener
from cifarzoo.cli.launching import train
from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.units import plural
from cifarzoo.engine.distributed.environment import is_worker
from cifarzoo.errors import UsageError
from cifarzoo.results.comparing.groups import Metric
from cifarzoo.results.comparing.studies import Progress, Study, plan_study
from cifarzoo.results.formats import Format
from cifarzoo.run_folders.strict_json import strict_json

if TYPE_CHECKING:
    from cifarzoo.config import Config

EFFECT, PAIRS, MOST_PAIRS = 0.2, 30, 1000


def decide(
    names: list[str],
    *,
    sets: Sequence[str],
    plugins: Sequence[Path],
    out: Path,
    metric: Metric,
    effect: float | None,
    max_seeds: int | None,
    data: Path | None,
    ranks: Processes,
    format: Format,  # noqa: A002  # as the option is called
) -> None:
    """Train pairs of two configs until it can be told, and print what can.

    Raises:
        UsageError: They make no study, or a folder in which it trains is another run's.
    """
    from cifarzoo.cli.terminal import study_report

    if format not in ("table", "json"):
        raise UsageError(
            f"--format {format} has no effect with --until-decided; compare its runs, once they "
            "are done"
        )
    study = _study(
        names,
        sets=sets,
        plugins=plugins,
        out=out,
        metric=metric,
        effect=EFFECT if effect is None else effect,
        max_seeds=PAIRS if max_seeds is None else max_seeds,
    )
    progress, shown = Progress(study), 0
    while (waiting := progress.next_run()) is not None:
        shown = study_report.print_pairs(progress, shown)
        config, folder = study.config(*waiting), study.folder(*waiting)
        open_folder = opener(config, out=study.runs, run_dir=folder)
        train(config, open_folder, data=data, processes=ranks, as_json=format == "json")
    study_report.print_pairs(progress, shown)
    if format == "json":
        typer.echo(strict_json(study_report.to_json(progress)))
    else:
        study_report.print_study(console.results(), progress)


def two_configs(
    names: list[str], *, sets: Sequence[str], plugins: Sequence[Path], otherwise: str = ""
) -> tuple[Config, Config]:
    """The configs that two names mean; ``otherwise`` is what else might have been given."""
    from cifarzoo import config

    if len(names) != 2:
        raise UsageError(f"given {plural(len(names), 'config')}; expected two{otherwise}")
    first, second = (config.load(name, sets=sets, plugins=plugins) for name in names)
    console.warn_of(first)
    console.warn_of(second)
    return first, second


def _study(
    names: list[str],
    *,
    sets: Sequence[str],
    plugins: Sequence[Path],
    out: Path,
    metric: Metric,
    effect: float,
    max_seeds: int,
) -> Study:
    if not 0 < effect < math.inf:
        raise UsageError(f"--effect is {effect}; expected a number above 0, in percent points")
    if not 1 <= max_seeds <= MOST_PAIRS:
        raise UsageError(f"--max-seeds is {max_seeds}; expected 1 to {MOST_PAIRS:,}")
    if is_worker():
        raise UsageError(
            "--until-decided starts its own processes; it can't be started by torchrun"
        )
    first, second = two_configs(names, sets=sets, plugins=plugins)
    called = (_stem(names[0], first), _stem(names[1], second))
    return plan_study(
        first, second, called, runs=out, metric=metric, effect=effect, max_seeds=max_seeds
    )


def _stem(name: str, config: Config) -> str:
    """What a config is called in a study; of standard input it is no hyphen."""
    return config.name if name == "-" else Path(name).stem
