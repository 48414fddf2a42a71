"""``compare``: what two configs differ in, and what runs of several seeds allow to be said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifarzoo.api.execution import Processes, opener
from cifarzoo.cli import completion
from cifarzoo.cli.launching import processes, train
from cifarzoo.cli.options import DataFolder, Json, NumProcesses, Plugins, RunsFolder
from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.units import plural
from cifarzoo.config.files import SUFFIX, find_config
from cifarzoo.engine.distributed.environment import is_worker
from cifarzoo.errors import ConfigError, UsageError
from cifarzoo.results.groups import Grouping, Metric, group_runs
from cifarzoo.results.studies import Study, plan_study
from cifarzoo.run_folders.strict_json import strict_json

if TYPE_CHECKING:
    from cifarzoo.config import Config

EFFECT, PAIRS, MOST_PAIRS = 0.2, 30, 1000


def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="A B...",
            help="Two configs; or runs and folders of runs, the baseline first.",
            autocompletion=completion.configs,
            show_default=False,
        ),
    ],
    *,
    metric: Annotated[
        Metric, typer.Option("--metric", help="Number of runs that is compared.")
    ] = "test_error",
    until_decided: Annotated[
        bool,
        typer.Option(
            "--until-decided",
            help="Train both configs seed by seed until it can be told which is better.",
        ),
    ] = False,
    effect: Annotated[
        float | None,
        typer.Option(
            "--effect",
            metavar="POINTS",
            help=f"With --until-decided: smallest difference that matters (default: {EFFECT}).",
            show_default=False,
        ),
    ] = None,
    max_seeds: Annotated[
        int | None,
        typer.Option(
            "--max-seeds",
            metavar="N",
            help=f"With --until-decided: pairs that are trained at most (default: {PAIRS}).",
            show_default=False,
        ),
    ] = None,
    nproc: NumProcesses = None,
    data: DataFolder = None,
    out: RunsFolder = Path("runs"),
    plugins: Plugins = None,
    as_json: Json = False,
) -> None:
    """Show in which settings two configs differ; or compare finished runs; or train until told.

    Runs that are equal but for their seeds are a group. The first group is the baseline: each
    other one's mean error less its is shown with a 95 % interval, paired by seed where the seeds
    match and by Welch's method elsewhere, and a verdict that is corrected for the number of groups
    (Holm). Runs on other data than the baseline's are refused.

    With --until-decided the two configs are trained on seeds 0, 1, 2 and so on, by a test that
    stays valid however often one looks, until one is better, neither is by --effect, or
    --max-seeds are done. The same command goes on where it was stopped.
    """
    if until_decided:
        study = _study(
            names,
            plugins or (),
            out=out,
            metric=metric,
            effect=EFFECT if effect is None else effect,
            max_seeds=PAIRS if max_seeds is None else max_seeds,
        )
        _decide(study, data, processes(nproc, 0), as_json=as_json)
        return
    given = {"--effect": effect, "--max-seeds": max_seeds, "--nproc": nproc}
    if odd := [option for option, value in given.items() if value is not None]:
        raise UsageError(f"{odd[0]} has no effect without --until-decided")
    if all(map(_means_config, names)):
        _compare_configs(names, plugins or (), as_json=as_json)
    else:
        if plugins:
            raise UsageError("--plugin has no effect on runs, which keep their own")
        _compare_runs(group_runs(names, out, metric), metric, as_json=as_json)


def _means_config(name: str) -> bool:
    """Whether a name is that of a config rather than of a run."""
    if name in ("-", "") or name.endswith(SUFFIX):
        return True
    try:
        return bool(find_config(name))
    except ConfigError:
        return False


def _two_configs(
    names: list[str], plugins: Sequence[Path], *, otherwise: str = ""
) -> tuple[Config, Config]:
    """The configs that two names mean; ``otherwise`` is what else might have been given."""
    from cifarzoo import config

    if len(names) != 2:
        raise UsageError(f"given {plural(len(names), 'config')}; expected two{otherwise}")
    first, second = (config.load(name, plugins=plugins) for name in names)
    console.warn_of(first)
    console.warn_of(second)
    return first, second


def _compare_configs(names: list[str], plugins: Sequence[Path], *, as_json: bool) -> None:
    from cifarzoo.cli.terminal import differences_table
    from cifarzoo.config.differences import differences

    one, other = _two_configs(names, plugins, otherwise=", or runs and folders of runs")
    first, second = names
    found = list(differences(one, other))
    if as_json:
        typer.echo(strict_json([difference.to_json() for difference in found], indent=2))
    elif not found:
        console.say(f"{first} and {second} are the same run")
    else:
        differences_table.print_differences(console.results(), first, second, found)


def _study(
    names: list[str],
    plugins: Sequence[Path],
    *,
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
    first, second = _two_configs(names, plugins)
    stems = (Path(names[0]).stem, Path(names[1]).stem)
    return plan_study(
        first, second, stems, runs=out, metric=metric, effect=effect, max_seeds=max_seeds
    )


def _decide(study: Study, data: Path | None, ranks: Processes, *, as_json: bool) -> None:
    from cifarzoo.cli.terminal import study_report

    shown = 0
    for side, seed in study.waiting():
        shown = study_report.print_pairs(study, shown)
        config = study.config(side, seed)
        open_folder = opener(config, out=study.runs, run_dir=study.folder(side, seed))
        train(config, open_folder, data=data, processes=ranks, as_json=as_json)
    study_report.print_pairs(study, shown)
    if as_json:
        typer.echo(strict_json(study_report.to_json(study)))
    else:
        study_report.print_study(console.results(), study)


def _compare_runs(grouping: Grouping, metric: Metric, *, as_json: bool) -> None:
    from cifarzoo.cli.terminal import comparison_table
    from cifarzoo.results.differences import compare_groups, dunnett
    from cifarzoo.results.same_images import on_same_images

    baseline, *others = [group.numbers for group in grouping.groups]
    found = compare_groups(baseline, others)
    first, *rest = grouping.groups
    pairs = [on_same_images(first, each, metric) for each in rest]
    for note in grouping.notes:
        console.warn(note)
    if as_json:
        ps = dunnett(baseline, others) if others else None
        record = comparison_table.to_json(grouping, metric, found, pairs, ps)
        typer.echo(strict_json(record, indent=2))
    else:
        comparison_table.print_comparison(console.results(), grouping, metric, found)
        for group, pair in zip(rest, pairs, strict=True):
            if pair is not None:
                console.say(f"{group.name}: {pair}")
