"""``cifarzoo data``: fetch published datasets and check what lies on the disk."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cifarzoo.cli import options
from cifarzoo.cli.commands import Command
from cifarzoo.cli.terminal import console, dataset_table
from cifarzoo.cli.terminal.download_progress import listener
from cifarzoo.data.catalogue import CATALOGUE
from cifarzoo.data.published import Published
from cifarzoo.errors import DataError, UsageError
from cifarzoo.run_folders.strict_json import strict_json

if TYPE_CHECKING:
    from cifarzoo.data.download.wanted import Fetched
    from cifarzoo.data.verify import Verification

app = typer.Typer(
    help="Fetch published datasets and check what lies on the disk.", no_args_is_help=True
)


def _names() -> list[str]:
    return list(CATALOGUE)


def _mirrors() -> list[str]:
    published = CATALOGUE.values()
    return list(dict.fromkeys(mirror.name for each in published for mirror in each.mirrors))


Folder = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="DIR",
        envvar="CIFARZOO_DATA",
        help="Where datasets lie.",
        callback=options.with_home,
    ),
]
DEFAULT_FOLDER = Path("data")


@app.command(cls=Command)
def fetch(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="cifar10 or cifar100.", autocompletion=_names),
    ] = "cifar10",
    *,
    mirror: Annotated[
        str | None,
        typer.Option(
            "--mirror",
            metavar="M",
            help="Ask official, zenodo or huggingface alone; by default one after the other.",
            autocompletion=_mirrors,
            show_default=False,
        ),
    ] = None,
    data: Folder = DEFAULT_FOLDER,
    as_json: options.Json = False,
) -> None:
    """Download a dataset; goes on where an earlier attempt stopped.

    The official archive; where its server is down, refuses or is slow, the same
    images from a mirror, which may have them in another form. Over https only. An
    archive gets its name when its size and sha256 are the published ones, Parquet
    files when their images are those that we know (see data verify).
    """
    from cifarzoo.data.download import fetching
    from cifarzoo.data.mirrors import named

    published = _published(name)
    mirrors = None if mirror is None else [named(mirror, published.mirrors)]
    with listener() as progress:
        fetched = fetching.fetch(published, data, progress, mirrors=mirrors)
    if as_json:
        _print_json(_fetched_to_json(name, fetched))
        return
    state = f"fetched from {fetched.mirror}" if fetched.mirror else "already there"
    for file in fetched.files:
        console.say(f"{file.path} {state}: {file.size:,} bytes, sha256 {file.sha256}")
    console.messages().print(f"use it with --data {data} or CIFARZOO_DATA={data}", soft_wrap=True)


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
    verified, problems = _verify([_published(name)] if name else list(CATALOGUE.values()), data)
    if as_json:
        _print_json([_to_json(found) for found in verified])
    else:
        dataset_table.print_verifications(verified)
    if problems:
        raise DataError(*problems)


class Form(StrEnum):
    """A form that datasets are exported in."""

    binary = "binary"
    parquet = "parquet"
    png_folder = "png-folder"


@app.command(cls=Command)
def export(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="cifar10 or cifar100.", autocompletion=_names),
    ],
    *,
    form: Annotated[
        Form,
        typer.Option("--as", help="The author's records, the hub's files, or a file an image."),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Folder to make.", callback=options.with_home
        ),
    ],
    data: Folder = DEFAULT_FOLDER,
    as_json: options.Json = False,
) -> None:
    """Write a dataset in a form that other programs read.

    Images of Parquet files and of folders are PNG, without loss. What is written is whole or
    absent, and cifarzoo reads the first two.
    """
    from cifarzoo.data.exporting import export

    title, paths = export(_published(name), data, output, form=form.value)
    if as_json:
        files = [str(path) for path in paths]
        _print_json({"dataset": name, "title": title, "form": form.value, "files": files})
        return
    console.say(f"{title} written to {output}: {', '.join(path.name for path in paths)}")


@app.command(cls=Command)
def cache(
    *,
    clear: Annotated[bool, typer.Option("--clear", help="Delete what is shown.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show the decoded images that are kept below your caches, so that runs start at once.

    They are made when a dataset is first read, and what was used longest ago goes when they are
    more than 2 GiB. All of it can be deleted at any time: it is made again.
    """
    from cifarzoo.data import decoded_cache

    try:
        folder = decoded_cache.cache()
        found = (decoded_cache.clear if clear else decoded_cache.entries)(folder)
    except OSError as error:
        problem = error.strerror or str(error)
        raise DataError(f"there is no cache of decoded images: {problem}") from error
    if as_json:
        listed = [asdict(entry) for entry in found]
        _print_json({"folder": str(folder.path), "cleared": clear, "entries": listed})
        return
    dataset_table.print_cache(found)
    size = f"{sum(entry.size for entry in found) / 1e6:,.0f} MB"
    done = "deleted" if clear else f"of at most {decoded_cache.MOST_BYTES / 1e6:,.0f}"
    console.say(f"{size} {done}, in {folder.path}")


def _fetched_to_json(name: str, fetched: Fetched) -> dict[str, Any]:
    digests = [file.sha256 for file in fetched.files]
    return {
        "dataset": name,
        "path": str(fetched.path),
        "bytes": sum(file.size for file in fetched.files),
        "sha256": digests[0] if len(digests) == 1 else None,
        "downloaded": fetched.mirror is not None,
        "mirror": fetched.mirror,
        "files": [{**asdict(file), "path": str(file.path)} for file in fetched.files],
    }


def _published(name: str) -> Published:
    if name not in CATALOGUE:
        close = difflib.get_close_matches(name, CATALOGUE, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(CATALOGUE)}"
        raise UsageError(f"no published dataset is named {name!r}; {hint}")
    return CATALOGUE[name]


def _verify(wanted: Sequence[Published], folder: Path) -> tuple[list[Verification], list[str]]:
    """What was read, and what is wrong; of several wanted ones, only some need be there."""
    from cifarzoo.data.damage import MissingError
    from cifarzoo.data.verify import verify

    verified: list[Verification] = []
    problems: list[str] = []
    missing: list[str] = []
    for published in wanted:
        try:
            verified.append(verify(published, folder))
        except MissingError as error:
            missing.append(str(error))
        except DataError as error:
            problems.append(str(error))
    problems += [f"{found.path}: {found.problem}" for found in verified if found.problem]
    if not (verified or problems):
        problems = missing if len(missing) == 1 else [_nothing(wanted, folder)]
    return verified, problems


def _nothing(wanted: Sequence[Published], folder: Path) -> str:
    names = " nor ".join(published.name for published in wanted)
    return f"{folder} holds neither {names}; {wanted[0].remedy(folder)}"


def _to_json(found: Verification) -> dict[str, Any]:
    return {**asdict(found), "path": str(found.path), "ok": found.problem is None}


def _print_json(value: Any) -> None:
    typer.echo(strict_json(value))
