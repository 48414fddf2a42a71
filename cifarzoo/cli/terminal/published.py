"""Published rows and what was run of them: the list, and one row's comparison."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.text import Text
from cifarzoo.cli.terminal.units import plural
from cifarzoo.data.catalogue import CATALOGUE, CIFAR10
from cifarzoo.results.reproduction import ON_GLYPHS, Attempt, Outcome, attempts, outcome
from cifarzoo.results.tables import Row, Table
from cifarzoo.run_folders.strict_json import strict_json

NARROW = 100  # columns below which a row takes two lines
KINDS = {"short": "short", "smoke": "smoke", ON_GLYPHS: "smoke on glyphs"}


def show_list(tables: Sequence[Table], runs: Path, *, as_json: bool) -> None:
    """Print the rows of ``tables`` and what there is of them among ``runs``."""
    if as_json:
        rows = [to_json(row, runs) for table in tables for row in table.rows.values()]
        sys.stdout.write(strict_json(rows, indent=2) + "\n")
        return
    out = console.results()
    for table in tables:
        out.print(Text.assemble((table.name, "bold"), f"  {table.title}"), soft_wrap=True)
        console.print_table(out, _grid(table, runs, narrow=out.width < NARROW))
        if len(tables) == 1:
            out.print()
            _print_source(out, table)
        out.print()
    if len(tables) > 1:
        out.print(Text("cifarzoo reproduce TABLE/ROW runs a row", style="dim"), soft_wrap=True)


def to_json(row: Row, runs: Path) -> dict[str, Any]:
    """A row of the list as the promised object."""
    return {
        "row": row.path,
        "model": row.model,
        "dataset": row.dataset,
        "error": float(row.error),
        "rule": row.rule,
        "n": row.n,
        "recipe": row.recipe,
        "lacks": row.lacks,
        "status": status(row, runs),
    }


def status(row: Row, runs: Path) -> str:
    """What was run of a row, in a few words."""
    if row.recipe is None:
        return f"lacks {row.lacks}"
    parts = list(_parts(row, runs))
    return "; ".join(parts) if parts else "not run"


def _parts(row: Row, runs: Path) -> Iterator[str]:
    whole = attempts(runs, row, "full")
    done = outcome(row, "full", whole)
    if done.comparison:
        yield f"{done.comparison.ours.mean:.2f} % ({plural(len(done.done), 'seed')})"
    for attempt in whole:
        if attempt.error is None:
            yield f"seed {attempt.seed} {attempt.status}"
    for kind, words in KINDS.items():
        tried = attempts(runs, row, kind)
        if tried:
            states = dict.fromkeys(attempt.status for attempt in tried)
            yield f"{words} {', '.join(states)}"


def _grid(table: Table, runs: Path, *, narrow: bool) -> Grid:
    grid = Grid.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    if not narrow:
        grid.add_column(ratio=2)
    grid.add_column(ratio=2)
    for row in table.rows.values():
        about, state = Text(_about(row)), Text(status(row, runs), style="dim")
        cells = [Text("\n").join([about, state])] if narrow else [about, state]
        grid.add_row(f"  {row.path}", f"{row.error} %", *cells)
    return grid


def _about(row: Row) -> str:
    """The model and what sets a row apart: ``…; CIFAR-100; 200 epochs; mean of 3``."""
    dataset = CATALOGUE[row.dataset].title if row.dataset != CIFAR10.name else ""
    epochs = f"{row.epochs:g} epochs" if row.epochs else ""
    return "; ".join(filter(None, (row.model, dataset, epochs, _rule(row))))


def _rule(row: Row) -> str:
    """How a number was counted: ``last epoch``, ``median of 5``."""
    if row.rule in ("mean", "median"):
        return f"{row.rule} of {row.n or 'several'}"
    return "rule unknown" if row.rule == "unknown" else row.rule


def _print_source(out: Console, table: Table) -> None:
    lines = [("source", table.source), *((("where", table.url),) if table.url else ())]
    console.print_table(out, console.labelled([*lines, *_bullets("known", table.deviations)]))


def _bullets(label: str, sentences: Sequence[str]) -> list[tuple[str, str]]:
    return [(label if number == 0 else "", text) for number, text in enumerate(sentences)]


def show_outcome(found: Outcome, table: Table, *, as_json: bool) -> None:
    """Print ours beside the published number of one row."""
    if as_json:
        sys.stdout.write(strict_json(outcome_to_json(found)) + "\n")
        return
    out, row = console.results(), found.row
    out.print(Text.assemble((row.path, "bold cyan"), f"  {_about(row)}"), soft_wrap=True)
    made = ", ".join(filter(None, (row.hardware, row.time)))
    published = f"{row.error} %" + f" ({made})" * bool(made)
    facts = [
        ("published", published),
        *_ours(found),
        *_spread(found),
        ("verdict", found.verdict),
    ]
    known = [*table.deviations, *row.deviations]
    folders = [(attempt.seed, attempt.folder.path) for attempt in found.done]
    runs = [f"seed {seed}: {path}" for seed, path in folders]
    lines = [*facts, ("source", table.source), *_bullets("known", known), *_bullets("runs", runs)]
    console.print_table(out, console.labelled(lines))


def _ours(found: Outcome) -> list[tuple[str, str]]:
    comparison = found.comparison
    if comparison is None:
        return [("ours", "not run")]
    ours, seeds = comparison.ours, _seeds(found.done)
    if ours.interval is None or comparison.expected is None:
        spread = f"{seeds}, last epoch"
    else:
        low, high = ours.interval
        spread = f"mean of {seeds}; sd {ours.sd:.2f}; 95 % interval {low:.2f} to {high:.2f}"
    lines = [("ours", f"{ours.mean:.2f} % ({spread})")]
    if found.budget != "full":
        return lines  # a difference would only be taken for something that it isn't
    difference = f"{comparison.difference:+.2f} points"
    if comparison.expected is not None:
        low, high = comparison.expected
        difference += f"; of the same training {low:.2f} to {high:.2f} would be published"
    return [*lines, ("difference", difference)]


def _spread(found: Outcome) -> list[tuple[str, str]]:
    """What the test images give of the seeds' spread, in standard deviations, whose squares add."""
    split = found.split
    if split is None:
        return [("spread", found.not_split)] if found.not_split else []
    low, high = split.interval
    sd, alone = math.sqrt(split.test_set), math.sqrt(split.finite_sample)
    images = f"{split.num_images:,} test images give alone"
    if split.distribution > 0:
        words = f"of the sd of {sd:.2f} points, {alone:.2f} is what {images}; "
        words += f"{split.distribution_sd:.2f} differs in distribution"
    else:
        words = f"the sd of {sd:.2f} points is no more than the {alone:.2f} that {images}; "
        words += "nothing has to differ in distribution"
    return [("spread", f"{words} (95 % interval {low:.2f} to {high:.2f})")]


def _seeds(done: Sequence[Attempt]) -> str:
    numbers = ", ".join(str(attempt.seed) for attempt in done)
    return f"seed {numbers}" if len(done) == 1 else f"{len(done)} seeds ({numbers})"


def outcome_to_json(found: Outcome) -> dict[str, Any]:
    """One row's comparison as the promised object."""
    row, comparison = found.row, found.comparison
    ours = comparison.ours if comparison else None
    return {
        "event": "reproduction",
        "row": row.path,
        "budget": found.budget,
        "published": float(row.error),
        "rule": row.rule,
        "published_n": row.n,
        "seeds": [attempt.seed for attempt in found.done],
        "errors": [attempt.error for attempt in found.done],
        "mean": ours.mean if ours else None,
        "sd": ours.sd if ours else None,
        "n": ours.n if ours else 0,
        "interval": ours.interval if ours else None,
        "difference": comparison.difference if comparison else None,
        "expected": comparison.expected if comparison else None,
        "verdict": found.verdict,
        "spread": _spread_to_json(found),
        "spread_unknown": found.not_split,
        "runs": [str(attempt.folder.path) for attempt in found.done],
    }


def _spread_to_json(found: Outcome) -> dict[str, Any] | None:
    """The seeds' variances in percent points squared, signed as they were estimated."""
    split = found.split
    if split is None:
        return None
    return {
        "seeds": split.num_seeds,
        "test_images": split.num_images,
        "test_set_variance": split.test_set,
        "finite_sample_variance": split.finite_sample,
        "distribution_variance": split.distribution,
        "distribution_sd": split.distribution_sd,
        "distribution_sd_interval": split.interval,
    }
