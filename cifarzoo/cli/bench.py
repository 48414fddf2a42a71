"""``bench``: how fast a recipe is here, under chosen policies, beside what the machine can do."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cifarzoo.cli.options import ConfigName, DataFolder, Json, Plugins, Sets
from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.units import count, plural
from cifarzoo.errors import CifarzooError, UsageError

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
Policies = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        "--vary",
        metavar="POLICY",
        help="Also measure the recipe so: bare, nchw, threads=N, float32, bfloat16, compile, … or "
        "NAME=VALUE, with ';' between several; repeatable (default: bare).",
        show_default=False,
    ),
]


def bench(
    name: ConfigName,
    *,
    sets: Sets = None,
    policies: Policies = None,
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="N", help="How often each is measured, in turns.")
    ] = 5,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            metavar="N",
            help="Optimizer steps a sample (default: a second of them).",
            show_default=False,
        ),
    ] = None,
    plugins: Plugins = None,
    data: DataFolder = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Also write JSON there.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure how fast a config trains here, beside the machine's own rates; nothing is kept."""
    from cifarzoo import config
    from cifarzoo.bench.variants import variants

    _check_at_least_one("--rounds", rounds)
    _check_at_least_one("--steps", steps)
    _check_writable(out)
    wanted = variants(policies or ())
    configs = [
        config.load(name, sets=[*(sets or ()), *variant.settings], plugins=plugins or ())
        for variant in wanted
    ]
    from cifarzoo.bench.measurement import Case, measure
    from cifarzoo.bench.report import to_json

    measured = measure(
        [Case(variant, loaded) for variant, loaded in zip(wanted, configs, strict=True)],
        data=data,
        rounds=rounds,
        steps=steps,
        emit=_tell,
    )
    found = to_json(measured)
    if as_json:
        typer.echo(json.dumps(found))
    else:
        show(console.results(), found)
    if out is not None:  # after it was shown: a disk may be full
        _write(out, found)


def _check_at_least_one(option: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise UsageError(f"{option} is {value}; expected at least 1")


def _check_writable(out: Path | None) -> None:
    """Refuse before minutes are spent what could not be written after them."""
    if out is None:
        return
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder; expected a file")
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.parent}; make it first")
    if not os.access(out if out.exists() else out.parent, os.W_OK):
        raise UsageError(f"--out {out} cannot be written to; name another file")


def _write(out: Path, found: dict[str, Any]) -> None:
    try:
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise CifarzooError(f"--out {out} cannot be written: {error.strerror}") from error


def _tell(text: str) -> None:
    console.messages().print(Text(text, style="dim"), soft_wrap=True)


def show(out: Console, found: dict[str, Any]) -> None:
    """Print it for people: what was measured, the machine's rates, a row a variant."""
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
