"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cifarzoo.cli import completion
from cifarzoo.components.user_paths import expanded
from cifarzoo.errors import UsageError
from cifarzoo.results.formats import Format


def with_home(path: Path | None) -> Path | None:
    """An option's path with ``~`` expanded, which a shell doesn't do in ``--out=~/runs``."""
    return None if path is None else expanded(path)


def chosen_format(given: Format | None, *, as_json: bool) -> Format:
    """The format that ``--format`` and ``--json`` ask for.

    Raises:
        UsageError: They ask for two.
    """
    if as_json and given not in (None, "json"):
        raise UsageError(f"--json and --format {given} ask for two formats; give one of them")
    return "json" if as_json else given or "table"


def config_argument(metavar: str) -> typer.models.ArgumentInfo:
    """One config, which help calls ``metavar``."""
    argument: typer.models.ArgumentInfo = typer.Argument(
        metavar=metavar,
        help="A .gin file: a path, the name of a recipe, or - for standard input.",
        autocompletion=completion.configs,
        show_default=False,
    )
    return argument


ConfigName = Annotated[str, config_argument("CONFIG")]
ConfigNames = Annotated[
    list[str],
    typer.Argument(
        metavar="CONFIG",
        help=".gin files: paths, names of recipes, or - for standard input.",
        autocompletion=completion.configs,
        show_default=False,
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="NAME=VALUE",
        help="Override a value, as -s sgd.lr=0.05; repeatable.",
        autocompletion=completion.settings,
        show_default=False,
    ),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        "-p",
        metavar="PATH",
        help="Also use the components of a file, or of a folder; repeatable. See also "
        "CIFARZOO_PLUGINS.",
        show_default=False,
    ),
]
DataFolder = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        envvar="CIFARZOO_DATA",
        help="Where datasets lie.",
        callback=with_home,
        show_default=False,
    ),
]
RunsFolder = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        envvar="CIFARZOO_RUNS",
        help="Where runs go.",
        callback=with_home,
    ),
]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run's folder, its name, the start of its id, or 'latest'.",
        autocompletion=completion.runs,
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout and nothing else.")]
FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="table, json, csv, md or latex (default: table; --json is --format json).",
        show_default=False,
    ),
]
NumProcesses = Annotated[
    int | None,
    typer.Option(
        "--nproc",
        "-n",
        metavar="N",
        help="Processes on this host, one a GPU (default: the GPUs; 1 on a CPU).",
        show_default=False,
    ),
]
MaxRestarts = Annotated[
    int,
    typer.Option(
        "--max-restarts",
        metavar="N",
        min=0,
        help="With several processes: start all again from the newest checkpoint, at most N "
        "times, when one is killed or hangs (default: 0).",
        show_default=False,
    ),
]
TrustPlugins = Annotated[
    bool,
    typer.Option(
        "--trust-plugins",
        help="Run the plugins that lie in the run's folder though no run of yours is known to have "
        "begun with them, and remember them: they are code.",
    ),
]
Anonymous = Annotated[
    bool,
    typer.Option(
        "--anonymous",
        envvar="CIFARZOO_ANONYMOUS",
        help="Keep host, user and folders elsewhere out of the run's folder, also those of earlier "
        "attempts.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be built, and stop.")]
