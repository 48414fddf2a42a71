"""``runs``: which runs there are, and taking some of them away."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cifarzoo.cli import completion
from cifarzoo.cli.commands import Command, Commands
from cifarzoo.cli.options import FormatOption, Json, RunsFolder, chosen_format
from cifarzoo.cli.terminal import console, run_table
from cifarzoo.cli.terminal.units import plural
from cifarzoo.components.user_paths import expanded
from cifarzoo.errors import EXIT_FAILED, UsageError
from cifarzoo.results.formats import written
from cifarzoo.results.listed_run import COLUMNS, ListedRun, whole_records
from cifarzoo.results.run_filters import GRAMMAR
from cifarzoo.results.run_list import Runs, list_runs
from cifarzoo.run_folders.liveness import RUNNING, UNKNOWN
from cifarzoo.run_folders.summary import DONE

if TYPE_CHECKING:
    from cifarzoo.results.formats import Format

ON_A_SCREEN = 50  # rows on a terminal unless --limit says otherwise
MOST_PROBLEMS = 5  # that are said below a table, whose cells may be cut
LIST = "ls"


class ListsByDefault(Commands):
    """Commands of which ``ls`` is meant where none is named: ``runs --status done``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``ls`` before the words of a command that names none of the others."""
        names = args[:1] and (args[0] in self.commands or args[0] in ctx.help_option_names)
        if not names and not (ctx.resilient_parsing and not args):
            args = [LIST, *args]
        rest: list[str] = super().parse_args(ctx, args)
        return rest

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """The names of the commands, and what ``ls`` takes."""
        listing = self.commands[LIST]
        its_own = listing.make_context(LIST, [], parent=ctx, resilient_parsing=True)
        found: list[Any] = super().shell_complete(ctx, incomplete)
        return found + listing.shell_complete(its_own, incomplete)


app = typer.Typer(
    cls=ListsByDefault,
    help="List runs, or take away what isn't needed any more; without a command: ls.",
)


Folders = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FOLDER",
        help="Folders of runs, however deep (default: that of --out).",
        show_default=False,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]


@app.command(LIST, cls=Command)
def list_(
    folders: Folders = None,
    *,
    status: Annotated[
        list[str] | None,
        typer.Option(
            "--status",
            metavar="STATUS",
            help="Only runs that are so: done, running, interrupted …; repeatable: or so.",
            show_default=False,
        ),
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            metavar="TEXT",
            help="Only runs with this tag; repeatable: with all of them.",
            show_default=False,
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            "-w",
            metavar="CONDITION",
            help=f"Only runs for which it holds: {GRAMMAR}. Such as 'error<5' or 'sgd.lr=0.1'; "
            "repeatable: all hold.",
            show_default=False,
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            "--sort",
            metavar="COLUMN",
            help=f"Sort by a setting or one of {', '.join(COLUMNS)} (default: age).",
            show_default=False,
        ),
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="The largest first.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "-n",
            metavar="N",
            min=0,
            help=f"The first N alone (default: {ON_A_SCREEN} on a terminal, else all; 0: all).",
            show_default=False,
        ),
    ] = None,
    out: RunsFolder = Path("runs"),
    as_format: FormatOption = None,
    as_json: Json = False,
) -> None:
    """List runs: what they are, how far they have come, and what they came to.

    An id is what other commands take as RUN, from the same --out; of a FOLDER that is named it is
    the path. What differs are the settings beside the config's files. Errors are in percent.
    """
    asked = chosen_format(as_format, as_json=as_json)
    found = list_runs(out, [expanded(folder) for folder in folders or ()])
    chosen = found.where(*(where or ()), *(f"tags={tag}" for tag in tags or ()))
    if status:
        chosen = _with_status(chosen, status)
    if sort or reverse:
        chosen = chosen.sorted_by(sort or "age", reverse=reverse)
    if limit is None:
        limit = ON_A_SCREEN if asked == "table" and sys.stdout.isatty() else 0
    shown = chosen[:limit] if limit else chosen
    _print(shown, asked)
    for run in [run for run in shown if run.problem][:MOST_PROBLEMS]:
        console.warn(f"{run.id}: {run.problem}")
    if not found:
        elsewhere = "" if folders else "; of another folder: cifarzoo runs FOLDER"
        console.note(f"no runs in {', '.join(map(str, folders or [out]))}{elsewhere}")
    elif not chosen:
        console.note(f"none of {plural(len(found), 'run')} is so")
    elif len(shown) < len(chosen):
        console.note(f"{len(shown):,} of {plural(len(chosen), 'run')}; --limit 0 shows all")


@app.command("rm", cls=Command)
def remove(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Runs: folders, names, starts of ids, or 'latest'.",
            autocompletion=completion.runs,
            show_default=False,
        ),
    ],
    *,
    yes: Yes = False,
    out: RunsFolder = Path("runs"),
) -> None:
    """Take runs away, with all that they wrote and nothing else.

    A run that is at work is refused, and so is a folder that holds files of others.
    """
    from cifarzoo.results.run_list import listed_run
    from cifarzoo.run_folders.contents import remove_run
    from cifarzoo.run_folders.finding import find_run

    paths = list(dict.fromkeys(find_run(name, out).path for name in names))
    runs = [listed_run(path) for path in paths]
    for run in runs:
        if run.status in (RUNNING, UNKNOWN):
            raise UsageError(f"{run.path} is {run.status_words}; stop it first")
    if not yes:
        _ask(f"take {plural(len(runs), 'run')} away for good?", runs)
    for run in runs:
        size = remove_run(run.path)
        console.say(f"{run.path} is gone, {size / 1e6:,.1f} MB")


@app.command("gc", cls=Command)
def collect(
    folders: Folders = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be taken away, and stop.")
    ] = False,
    yes: Yes = False,
    out: RunsFolder = Path("runs"),
) -> None:
    """Take away checkpoints of finished runs that nothing needs.

    The newest of each run stays, which is tested and gone on from, and the best on validation
    images, which eval --weights best tests. Before that the newest is read whole.
    """
    from cifarzoo.results.pruning import outlived

    runs = list_runs(out, [expanded(folder) for folder in folders or ()])
    done = [run.path for run in runs if run.status == DONE]
    found = outlived(done, [run.path for run in runs if run.status != DONE], console.warn)
    for each in found:
        steps = ", ".join(f"{step:,}" for step in each.steps)
        console.say(f"{each.run}: step {steps}, {each.size / 1e6:,.1f} MB")
    size = f"{sum(each.size for each in found) / 1e6:,.1f} MB"
    number = plural(sum(len(each.steps) for each in found), "checkpoint")
    if dry_run or not found:
        console.say(f"{number} of {plural(len(done), 'finished run')} can go, {size}")
        return
    if not yes:
        _ask(f"take {number} away for good, {size}?")
    for each in found:
        each.remove()
    console.say(f"{number} taken away, {size}")


def _ask(question: str, runs: Sequence[ListedRun] = ()) -> None:
    """Go on if the user says so.

    Args:
        question: What is asked.
        runs: Runs that are shown first.

    Raises:
        UsageError: Nobody can be asked.
        typer.Exit: The answer is no.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{question} nobody can be asked here; give --yes")
    if runs:
        run_table.print_runs(console.messages(), runs)
    if not typer.confirm(question, err=True):
        raise typer.Exit(EXIT_FAILED)


def _print(runs: Runs, asked: Format) -> None:
    if asked == "table":
        if runs:
            run_table.print_runs(console.results(), runs)
    elif asked in ("json", "csv"):
        sys.stdout.write(written(whole_records(runs, as_text=asked == "csv"), asked) + "\n")
    else:
        sys.stdout.write(written(run_table.shown_records(runs), asked) + "\n")


def _with_status(runs: Runs, wanted: list[str]) -> Runs:
    """The runs of one of several statuses.

    Raises:
        UsageError: There is no such status.
    """
    from cifarzoo.components.spelling import near
    from cifarzoo.run_folders.liveness import STATUSES

    for name in wanted:
        if name not in STATUSES:
            hint = near(name, STATUSES) or f"; expected one of {', '.join(STATUSES)}"
            raise UsageError(f"--status is {name!r}{hint}")
    return Runs(run for run in runs if run.status in wanted)
