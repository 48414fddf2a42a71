"""``compare``: what two configs differ in, and what runs of several seeds allow to be said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cifarzoo.cli import completion
from cifarzoo.cli.options import Json, Plugins, RunsFolder
from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.units import plural
from cifarzoo.errors import UsageError
from cifarzoo.results.groups import Grouping, Metric, group_runs
from cifarzoo.runs.strict_json import strict_json


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
    out: RunsFolder = Path("runs"),
    plugins: Plugins = None,
    as_json: Json = False,
) -> None:
    """Show in which settings two configs differ; or compare finished runs.

    Runs that are equal but for their seeds are a group. The first group is the baseline: each
    other one's mean error less its is shown with a 95 % interval, paired by seed where the seeds
    match and by Welch's method elsewhere, and a verdict that is corrected for the number of groups
    (Holm). Runs on other data than the baseline's are refused.
    """
    if all(name.endswith(".gin") for name in names):
        _compare_configs(names, plugins or (), as_json=as_json)
    else:
        if plugins:
            raise UsageError("--plugin has no effect on runs, which keep their own")
        _compare_runs(group_runs(names, out, metric), metric, as_json=as_json)


def _compare_configs(names: list[str], plugins: Any, *, as_json: bool) -> None:
    from cifarzoo import config
    from cifarzoo.cli.terminal import differences_table
    from cifarzoo.config.differences import differences

    if len(names) != 2:
        given = plural(len(names), "config")
        raise UsageError(f"given {given}; expected two, or runs and folders of runs")
    first, second = names
    one, other = (config.load(name, plugins=plugins) for name in names)
    console.warn_of(one)
    console.warn_of(other)
    found = list(differences(one, other))
    if as_json:
        typer.echo(strict_json([difference.to_json() for difference in found], indent=2))
    elif not found:
        console.say(f"{first} and {second} are the same run")
    else:
        differences_table.print_differences(console.results(), first, second, found)


def _compare_runs(grouping: Grouping, metric: Metric, *, as_json: bool) -> None:
    from cifarzoo.cli.terminal import comparison_table
    from cifarzoo.results.differences import compare_groups, dunnett

    baseline, *others = [group.numbers for group in grouping.groups]
    found = compare_groups(baseline, others)
    for note in grouping.notes:
        console.warn(note)
    if as_json:
        ps = dunnett(baseline, others) if others else None
        typer.echo(strict_json(comparison_table.to_json(grouping, metric, found, ps), indent=2))
    else:
        comparison_table.print_comparison(console.results(), grouping, metric, found)
