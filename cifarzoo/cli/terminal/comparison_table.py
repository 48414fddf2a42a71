"""Groups of runs side by side, and each against the first: what ``cifarzoo compare`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.differences_table import short_name, without_kinds
from cifarzoo.cli.terminal.text import Text
from cifarzoo.results.differences import Difference, in_words
from cifarzoo.results.groups import Group, Grouping, Metric
from cifarzoo.results.same_images import SameImages
from cifarzoo.results.statistics import sample

STYLES = {"better": "green", "worse": "red"}


def print_comparison(
    out: Console, grouping: Grouping, metric: Metric, found: Sequence[Difference]
) -> None:
    """Print the settings that differ, then a row a group."""
    differing = grouping.differing
    if differing:
        console.print_table(out, _settings(grouping, differing))
        out.print()
    console.print_table(out, _numbers(grouping, metric, found))


def to_json(
    grouping: Grouping,
    metric: Metric,
    found: Sequence[Difference],
    pairs: Sequence[SameImages | None],
    dunnett: Sequence[float] | None,
) -> dict[str, Any]:
    """The promised object; scripts lean on its keys."""
    compared = zip(grouping.groups, (None, *found), strict=True)
    groups = [_group(group, each) for group, each in compared]
    for number, (group, pair) in enumerate(zip(groups[1:], pairs, strict=True)):
        group["p_dunnett"] = dunnett[number] if dunnett else None
        group["mcnemar"] = asdict(pair) if pair else None
    return {
        "metric": metric,
        "differing": grouping.differing,
        "groups": groups,
        "notes": list(grouping.notes),
    }


def _group(group: Group, found: Difference | None) -> dict[str, Any]:
    values = sample(list(group.numbers.values()))
    record: dict[str, Any] = {
        "name": group.name,
        "runs": {str(seed): str(run.folder.path) for seed, run in sorted(group.runs.items())},
        "numbers": {str(seed): number for seed, number in group.numbers.items()},
        "mean": values.mean,
        "sd": values.sd,
        "n": values.n,
    }
    if found is not None:
        record |= {
            "difference": found.mean,
            "interval": found.interval,
            "is_paired": found.is_paired,
            "correlation": found.correlation,
            "p": found.p,
            "p_holm": found.p_holm,
            "verdict": found.verdict,
            "words": in_words(found),
        }
    return record


def _settings(grouping: Grouping, differing: dict[str, list[str | None]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", overflow="fold")
    for _ in grouping.groups:
        table.add_column(overflow="fold")
    table.add_row("", *(Text(group.name, "bold") for group in grouping.groups))
    for name, values in differing.items():
        shown = (Text(without_kinds(value), "") if value else Text("-", "dim") for value in values)
        table.add_row(short_name(name) if "." in name else name, *shown)
    return table


def _numbers(grouping: Grouping, metric: Metric, found: Sequence[Difference]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("", overflow="fold")
    for heading in ("n", metric.replace("_", " "), "sd", "difference", "paired"):
        table.add_column(heading, justify="right")
    table.add_column("verdict", overflow="fold")
    for group, each in zip(grouping.groups, (None, *found), strict=True):
        values = sample(list(group.numbers.values()))
        table.add_row(
            Text(group.name),
            str(values.n),
            f"{values.mean:.2f} %",
            "" if values.sd is None else f"{values.sd:.2f}",
            f"{each.mean:+.2f}" if each else "",
            _pairing(each) if each else "",
            Text(in_words(each), STYLES.get(each.verdict, "")) if each else Text("baseline", "dim"),
        )
    return table


def _pairing(found: Difference) -> str:
    if not found.is_paired:
        return "no"
    return "yes" if found.correlation is None else f"r {found.correlation:.2f}"
