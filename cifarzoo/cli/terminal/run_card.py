"""A run on one page: what ``cifarzoo show RUN`` says of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.run_table import STYLES
from cifarzoo.cli.terminal.text import Text
from cifarzoo.cli.terminal.units import age, count, duration, percent, plural
from cifarzoo.results.run_details import Details

BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = "_.-=*#"  # where a terminal has no others
WIDEST = 60  # bars of a curve; of more epochs each is the mean of several
ERRORS = {  # scores, which run.json and metrics.jsonl call the same
    "test_error": "test error",
    "tta_test_error": "with several views",
    "validation_error": "validation error",
}
CURVES = {"train_loss": "train loss", **ERRORS}


def print_card(out: Console, details: Details) -> None:
    """Print the card."""
    run = details.run
    heading = Text(run.name or run.config or run.path.name, style="bold cyan")
    status = Text(run.status_words, style=STYLES.get(run.status, ""))
    out.print(heading + Text("  ") + status, soft_wrap=True)
    for title, rows in (
        ("", _about(details)),
        ("Settings beside the config", run.differs.items()),
        ("Result", _result(details)),
        ("Epochs", _curves(details.metrics, _bars(out))),
        ("Attempts", _attempts(details.record)),
        ("Checkpoints", _checkpoints(details)),
    ):
        shown = [(label, text) for label, text in rows if text]
        if shown:
            out.print(Text(f"\n{title}", style="bold") if title else "")
            console.print_table(out, console.labelled(shown))


def _about(details: Details) -> Iterator[tuple[str, str]]:
    run, record = details.run, details.record
    yield "config", run.config if run.name and run.config else ""
    yield "tags", ", ".join(run.tags)
    yield "seed", "" if run.seed is None else str(run.seed)
    yield "data", record.get("data", {}).get("title", "")
    yield "epoch", f"{run.epoch} of {'?' if run.epochs is None else run.epochs}"
    yield "begun", f"{run.began.astimezone():%Y-%m-%d %H:%M}, {age(run.age)} ago"
    parent = record.get("parent")
    yield "from", f"step {count(parent['step'])} of {parent['run']}" if parent else ""
    yield "plugins", ", ".join(each["origin"] for each in record.get("plugins") or ())
    yield "cifarzoo", record.get("cifarzoo", {}).get("version", "")
    yield "ended by", run.failure or ""
    yield "problem", run.problem or ""
    yield "other files", ", ".join(details.contents.others)
    yield "folder", f"{run.path}, {_megabytes(details.contents.size)}"


def _result(details: Details) -> Iterator[tuple[str, str]]:
    record = details.record
    for name, label in ERRORS.items():
        value = record.get(name)
        yield label, "" if value is None else percent(value)
    for name, label in (("test_loss", "test loss"), ("train_loss", "train loss")):
        value = record.get(name)
        yield label, "" if value is None else f"{value:.4f}"
    seconds = details.run.train_seconds
    yield "training", "" if seconds is None else duration(seconds)


def _curves(lines: Sequence[Mapping[str, Any]], bars: str) -> Iterator[tuple[str, str]]:
    """A line a score: its first and last value, what lay between, and the lowest."""
    for name, label in CURVES.items():
        found = [(line[name], line.get("epoch")) for line in lines if line.get(name) is not None]
        if len(found) < 2:  # the result says it
            continue
        values = [value for value, _ in found]
        say = percent if name in ERRORS else "{:.3f}".format
        lowest, epoch = min(found, key=lambda each: each[0])
        yield (
            label,
            f"{say(values[0])} {sparkline(values, bars)} {say(values[-1])}"
            f"  lowest {say(lowest)}, epoch {epoch}",
        )


def sparkline(values: Sequence[float], bars: str = BARS) -> str:
    """Values as bars of a line of text, from the lowest to the highest.

    Args:
        values: Finite numbers, in their order.
        bars: Characters from the lowest bar to the highest.
    """
    size = -(-len(values) // WIDEST)
    means = [
        sum(part) / len(part)
        for start in range(0, len(values), size)
        if (part := values[start : start + size])
    ]
    low, high = min(means), max(means)
    scale = (len(bars) - 1) / (high - low) if high > low else 0.0
    return "".join(bars[round((mean - low) * scale)] for mean in means)


def _bars(out: Console) -> str:
    return BARS if out.encoding.lower().startswith("utf") else PLAIN_BARS


def _attempts(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for number, attempt in enumerate(record.get("attempts") or (), start=1):
        process = attempt.get("process") or {}
        words = [
            attempt.get("status", ""),
            f"from step {count(attempt['from_step'])}" if "from_step" in attempt else "",
            str(process.get("started", "")),
            f"on {process['host']}" if process.get("host") else "",
            attempt.get("error") or "",
        ]
        yield str(number), ", ".join(filter(None, words))


def _checkpoints(details: Details) -> Iterator[tuple[str, str]]:
    sizes = details.contents.checkpoints()
    for step, size in sizes.items():
        yield f"step {count(step)}", _megabytes(size)
    if len(sizes) > 1:
        yield plural(len(sizes), "checkpoint"), _megabytes(sum(sizes.values()))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
