"""``cifarzoo data``: fetch published datasets and check what lies on the disk."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from cifarzoo.cli import options
from cifarzoo.cli.commands import Command
from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.download_progress import listener_for
from cifarzoo.data.catalogue import CATALOGUE
from cifarzoo.data.published import Published
from cifarzoo.errors import DataError, UsageError

if TYPE_CHECKING:
    from cifarzoo.data.verify import Report

app = typer.Typer(
    help="Fetch published datasets and check what lies on the disk.", no_args_is_help=True
)


def _names() -> list[str]:
    return list(CATALOGUE)


Folder = Annotated[
    Path,
    typer.Option("--data", metavar="DIR", envvar="CIFARZOO_DATA", help="Where datasets lie."),
]
DEFAULT_FOLDER = Path("data")


@app.command(cls=Command)
def fetch(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="cifar10 or cifar100.", autocompletion=_names),
    ] = "cifar10",
    *,
    data: Folder = DEFAULT_FOLDER,
    as_json: options.Json = False,
) -> None:
    """Download a dataset's official archive; goes on where an earlier attempt stopped.

    Over https only. The file gets its name when its size and sha256 are the published ones.
    """
    from cifarzoo.data import download

    archive = _published(name).binary
    with listener_for(archive.file_name) as listener:
        fetched = download.fetch(archive, data, listener)
    if as_json:
        _print_json(
            {
                "dataset": name,
                "path": str(fetched.path),
                "bytes": archive.size,
                "sha256": archive.sha256,
                "downloaded": fetched.is_new,
            }
        )
        return
    state = "fetched" if fetched.is_new else "already there"
    size = f"{archive.size:,} bytes, sha256 {archive.sha256}"
    console.results().print(f"{fetched.path} {state}: {size}", soft_wrap=True, markup=False)
    hint = f"use it with --data {data} or CIFARZOO_DATA={data}"
    console.messages().print(hint, soft_wrap=True, markup=False)


@app.command(cls=Command)
def verify(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="cifar10 or cifar100; by default whichever is there.",
            autocompletion=_names,
            show_default=False,
        ),
    ] = None,
    *,
    data: Folder = DEFAULT_FOLDER,
    as_json: options.Json = False,
) -> None:
    """Read datasets whole; check digests, shapes, labels and the images of each class."""
    reports, problems = _verify([_published(name)] if name else list(CATALOGUE.values()), data)
    if as_json:
        _print_json([_as_json(report) for report in reports])
    else:
        _show(reports)
    if problems:
        raise DataError("\n".join(problems))


def _published(name: str) -> Published:
    if name not in CATALOGUE:
        close = difflib.get_close_matches(name, CATALOGUE, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(CATALOGUE)}"
        raise UsageError(f"no published dataset is named {name!r}; {hint}")
    return CATALOGUE[name]


def _verify(wanted: Sequence[Published], folder: Path) -> tuple[list[Report], list[str]]:
    """What was read, and what is wrong; of several wanted ones, only some need be there."""
    from cifarzoo.data.damage import MissingError
    from cifarzoo.data.verify import verify

    reports: list[Report] = []
    problems: list[str] = []
    missing: list[str] = []
    for published in wanted:
        try:
            reports.append(verify(published, folder))
        except MissingError as error:
            missing.append(str(error))
        except DataError as error:
            problems.append(str(error))
    problems += [f"{report.path}: {report.problem}" for report in reports if report.problem]
    if not (reports or problems):
        problems = missing if len(missing) == 1 else [_nothing(wanted, folder)]
    return reports, problems


def _nothing(wanted: Sequence[Published], folder: Path) -> str:
    names = " nor ".join(published.name for published in wanted)
    return f"{folder} holds neither {names}; {wanted[0].remedy(folder)}"


def _show(reports: Sequence[Report]) -> None:
    if reports:
        console.print_table(console.results(), _table(reports))
    for report in reports:
        if report.repeated:
            console.warn(f"{report.title}: {report.repeated:,} test images are in the training set")


def _table(reports: Sequence[Report]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("dataset", "source", "images", "classes", "sha256", ""):
        table.add_column(column, justify="right" if column == "classes" else "left")
    for report in reports:
        table.add_row(
            report.title,
            report.form,
            f"{sum(report.train_images):,} + {sum(report.test_images):,}",
            str(report.classes),
            "\n".join(f"{digest[:12]}…" for digest in report.sha256.values()),
            Text("wrong", "red") if report.problem else Text("ok", "green"),
        )
    return table


def _as_json(report: Report) -> dict[str, Any]:
    return {**asdict(report), "path": str(report.path), "ok": report.problem is None}


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value))
