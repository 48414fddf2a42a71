"""``bench``: how fast a recipe is here, under chosen policies, beside what the machine can do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from cifarzoo.cli.options import (
    ConfigName,
    DataFolder,
    Json,
    Plugins,
    Sets,
    TrustPlugins,
    with_home,
)
from cifarzoo.cli.terminal import benchmark_table, console
from cifarzoo.errors import CifarzooError, UsageError
from cifarzoo.run_folders.strict_json import strict_json

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
            "--out",
            "-o",
            metavar="FILE",
            help="Also write JSON there.",
            callback=with_home,
            show_default=False,
        ),
    ] = None,
    trust_plugins: TrustPlugins = False,
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
    if trust_plugins:
        configs = [loaded.trusting(console.warn) for loaded in configs]
    console.warn_of(configs[0])
    console.name_copies(configs[0])
    from cifarzoo.bench.measurement import Case, measure
    from cifarzoo.bench.report import to_json

    measured = measure(
        [Case(variant, loaded) for variant, loaded in zip(wanted, configs, strict=True)],
        data=data,
        rounds=rounds,
        steps=steps,
        emit=console.note,
    )
    found = to_json(measured)
    if as_json:
        typer.echo(strict_json(found))
    else:
        benchmark_table.print_benchmark(console.results(), found)
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
        out.write_text(strict_json(found, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise CifarzooError(f"--out {out} cannot be written: {error.strerror}") from error
