"""A benchmark as tables: what ``cifarzoo bench`` prints."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.text import Text
from cifarzoo.cli.terminal.units import count, plural

GIGA = 1e9
COLUMNS = (
    "images/s",
    "",
    "times",
    "per CPU s",
    "GFLOP/s",
    "of matmul",
    "of conv",
    "batches alone",
    "testing",
)


def print_benchmark(out: Console, found: dict[str, Any]) -> None:
    """Print what was measured, the machine's rates, and a row a variant.

    Args:
        out: Console to print on.
        found: The benchmark as ``cifarzoo.bench.report.to_json`` gives it.
    """
    machine = found["machine"]
    rounds = f"{plural(found['rounds'], 'round')} of {plural(found['steps'], 'step')}"
    about = [
        ("data", found["dataset"]),
        ("machine", f"{machine['cpu']}, {plural(machine['cores'], 'core')}; {found['device']}"),
        *((_arithmetic(rates), _rates(rates)) for rates in found["rates"]),
        ("measured", f"{rounds}, in turns: medians, lowest and highest{_load(found)}"),
        *(("engine", _overhead(overhead)) for overhead in found["overheads"]),
    ]
    out.print(Text(found["name"], style="bold"))
    console.print_table(out, console.labelled(about))
    out.print()
    console.print_table(out, _variants(found["variants"]))


def _variants(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("training")
    for heading in COLUMNS:
        table.add_column(heading, justify="right")
    for row in rows:
        speed, machine = row["training"]["per_second"], row["of_machine"]
        table.add_row(
            Text(row["name"], style="cyan"),
            _number(speed["median"]),
            Text(_ends(speed), style="dim"),
            f"{row['times_as_fast']['wall']['median']:.2f}",
            _number(row["training"]["per_cpu_second"]["median"]),
            _number(speed["median"] * row["flops_per_image"] / GIGA),
            f"{machine['matmul']['wall']['median']:.0%}",
            f"{machine['convolution']['wall']['median']:.0%}",
            *(
                _number(row[part]["per_second"]["median"]) if row[part] else ""
                for part in ("batches", "evaluation")
            ),
        )
    return table


def _arithmetic(rates: dict[str, Any]) -> str:
    return f"{rates['precision']}, {plural(rates['threads'], 'thread')}"


def _rates(rates: dict[str, Any]) -> str:
    """The machine's own rates, which the columns 'of matmul' and 'of conv' are shares of."""
    speeds = {what: rates[what]["per_second"] for what in ("matmul", "convolution")}
    return ", ".join(
        f"{what} {_number(speed['median'] / GIGA)} GFLOP/s "
        f"({_number(speed['low'] / GIGA)} to {_number(speed['high'] / GIGA)})"
        for what, speed in speeds.items()
    )


def _load(found: dict[str, Any]) -> str:
    loads = found["load_average"]
    if loads["before"] is None:
        return ""
    return f"; load average {loads['before'][0]} before, {loads['after'][0]} after"


def _overhead(overhead: dict[str, Any]) -> str:
    wall, cpu = overhead["wall"], overhead["cpu"]
    return (
        f"{overhead['engine']} takes {wall['median']:+.1%} time ({wall['low']:+.1%} to "
        f"{wall['high']:+.1%}) and {cpu['median']:+.1%} CPU time over {overhead['bare']}"
    )


def _ends(speed: dict[str, float]) -> str:
    return f"{_number(speed['low'])} to {_number(speed['high'])}"


def _number(value: float) -> str:
    return count(value) if value >= 100 else f"{value:.3g}"
