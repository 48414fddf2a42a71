"""``compare``: what two configs differ in, and what runs of several seeds allow to be said."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cifarzoo.cli import completion
from cifarzoo.cli.deciding import EFFECT, PAIRS, decide, two_configs
from cifarzoo.cli.launching import processes
from cifarzoo.cli.options import (
    DataFolder,
    FormatOption,
    Json,
    NumProcesses,
    Plugins,
    RunsFolder,
    Sets,
    chosen_format,
    with_home,
)
from cifarzoo.cli.terminal import console
from cifarzoo.components.user_paths import expanded
from cifarzoo.config.files import SUFFIX, find_config
from cifarzoo.errors import ConfigError, UnmetError, UsageError
from cifarzoo.plots.files import check_target
from cifarzoo.results.comparing.groups import MOST_NOTES, Metric
from cifarzoo.results.formats import Format, written
from cifarzoo.run_folders.strict_json import strict_json

if TYPE_CHECKING:
    from cifarzoo.results.comparing.comparison import ComparedRuns
    from cifarzoo.results.comparing.requirements import Requirement

BOTH = "two configs, or runs and folders of runs"


def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="A B...",
            help="Two configs; or runs and folders of runs, the baseline first.",
            autocompletion=completion.configs_and_runs,
            show_default=False,
        ),
    ],
    *,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="NAME",
            help="What the other groups are compared with: the name of a group, one of its runs, "
            "or a folder of them (default: the first).",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        Metric, typer.Option("--metric", help="Number of runs that is compared.")
    ] = "test_error",
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Also draw errors over epochs, of the seeds, and the differences, as .pdf, .png "
            "or .svg.",
            callback=with_home,
            show_default=False,
        ),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require",
            metavar="'error<4.5'",
            help="End with exit code 3 unless this holds of each group but the baseline, or of "
            "the only one; or of one group, as 'NAME:error<4.5'. Of error (the mean), sd, n, "
            "difference and p, by <, <=, > or >=; repeatable.",
            show_default=False,
        ),
    ] = None,
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
    sets: Sets = None,
    plugins: Plugins = None,
    format: FormatOption = None,  # noqa: A002  # as the option is called
    as_json: Json = False,
) -> None:
    """Show in which settings two configs differ; or compare finished runs; or train until told.

    A folder is one of runs, whatever it is called; any other name is a config's if there is one.

    Runs that are equal but for their seeds are a group. The first group is the baseline: each
    other one's mean error less its is shown with a 95 % interval, paired by seed where the seeds
    match and by Welch's method elsewhere, and a verdict that is corrected for the number of groups
    (Holm). Runs on other data than the baseline's are refused.

    With --until-decided the two configs are trained on seeds 0, 1, 2 and so on, by a test that
    stays valid however often one looks, until one is better, neither is by --effect, or
    --max-seeds are done. The same command goes on where it was stopped.
    """
    chosen = chosen_format(format, as_json=as_json)
    of_runs = {"--baseline": baseline, "--plot": plot, "--require": require}
    if until_decided:
        _refuse(of_runs, "with --until-decided; compare its runs, once they are done")
        decide(
            names,
            sets=sets or (),
            plugins=plugins or (),
            out=out,
            metric=metric,
            effect=effect,
            max_seeds=max_seeds,
            data=data,
            ranks=processes(nproc, 0),
            format=chosen,
        )
        return
    study = {"--effect": effect, "--max-seeds": max_seeds, "--nproc": nproc}
    _refuse(study, "without --until-decided")
    if _are_configs(names):
        _refuse(of_runs, "on configs")
        _compare_configs(names, sets=sets or (), plugins=plugins or (), format=chosen)
        return
    _refuse({"--plugin": plugins, "--set": sets}, "on runs, which keep their own")
    from cifarzoo.results.comparing.comparison import compare_runs
    from cifarzoo.results.comparing.requirements import read_requirement

    requirements = [read_requirement(text, metric) for text in require or ()]
    if plot is not None:
        check_target(plot)
    _show(compare_runs(names, out, metric, baseline), chosen, plot, requirements)


def _refuse(given: dict[str, Any], where: str) -> None:
    if odd := [option for option, value in given.items() if value is not None]:
        raise UsageError(f"{odd[0]} has no effect {where}")


def _are_configs(names: Sequence[str]) -> bool:
    """Whether names are those of configs; False: of runs.

    Raises:
        UsageError: Some are and some aren't.
    """
    configs = [name for name in names if _means_config(name)]
    others = [name for name in names if name not in configs]
    if configs and others:
        raise UsageError(f"{configs[0]} is a config, and {others[0]} isn't; expected {BOTH}")
    return bool(configs)


def _means_config(name: str) -> bool:
    """Whether a name is that of a config rather than of a run; a folder's never is."""
    with suppress(OSError):  # a name that no file can have
        if name and expanded(name).is_dir():
            return False
    if name in ("-", "") or name.endswith(SUFFIX):
        return True
    try:
        return bool(find_config(name))
    except ConfigError:
        return False


def _compare_configs(
    names: list[str],
    *,
    sets: Sequence[str],
    plugins: Sequence[Path],
    format: Format,  # noqa: A002  # as the option is called
) -> None:
    from cifarzoo.cli.terminal import differences_table
    from cifarzoo.config.differences import differences

    one, other = two_configs(
        names, sets=sets, plugins=plugins, otherwise=", or runs and folders of runs"
    )
    first, second = names
    found = list(differences(one, other))
    if format == "json":
        typer.echo(strict_json([difference.to_json() for difference in found], indent=2))
    elif format != "table":
        is_short = format != "csv"
        records = differences_table.to_records(first, second, found, is_short=is_short)
        typer.echo(written(records, format))
    elif not found:
        console.say(f"{first} and {second} are the same run")
    else:
        differences_table.print_differences(console.results(), first, second, found)


def _show(
    compared: ComparedRuns,
    format: Format,  # noqa: A002  # as the option is called
    plot: Path | None,
    requirements: Sequence[Requirement],
) -> None:
    from cifarzoo.cli.terminal import comparison_table

    for requirement in requirements:
        requirement.groups_of(compared)  # refused before anything is said
    for note in compared.notes[:MOST_NOTES]:
        console.warn(note)
    if (more := len(compared.notes) - MOST_NOTES) > 0:
        console.warn(f"and {more:,} more such lines; --json has them all")
    match format:
        case "table":
            comparison_table.print_comparison(console.results(), compared)
        case "json":
            typer.echo(strict_json(compared.to_json(), indent=2))
        case "csv":
            typer.echo(written(compared.to_records(), format))
        case _:
            typer.echo(written(compared.summary(), format))
    if plot is not None:
        compared.plot(plot)
        console.note(f"wrote {plot}")
    outcomes = [requirement.outcome(compared) for requirement in requirements]
    for said in [said for is_met, said in outcomes if is_met]:
        console.note(said)
    if unmet := [said for is_met, said in outcomes if not is_met]:
        raise UnmetError(*unmet)
