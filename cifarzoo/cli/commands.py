"""How every command behaves: a user's error is a line, a flag has no type."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from inspect import Parameter, signature
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from cifarzoo.cli.terminal import console, streams
from cifarzoo.engine.distributed.environment import is_reported_elsewhere
from cifarzoo.errors import TRACEBACK, CifarzooError, UsageError

# What click raises for a command that isn't one; newer versions of Typer have their own copy.
Misuse: type[Any] = typer.BadParameter.__mro__[1]


class PlainFlags:
    """Help says of a flag what it does, and not that it is a bool."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The arguments and options of a command, ``--help`` among them."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]  # Typer's class is next
        for param in params:
            if getattr(param, "is_flag", False) and param.metavar is None:
                param.metavar = ""
        return params


class Command(PlainFlags, TyperCommand):
    """One command."""

    def invoke(self, ctx: Any) -> Any:
        """Do what the command is for."""
        if not gc.isenabled():  # by ``main``
            gc.freeze()  # modules stay
            gc.enable()
        return super().invoke(ctx)


class Commands(PlainFlags, TyperGroup):
    """Commands; what a user can act on is shown as lines and ends with its exit code."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run the command that ``args`` name, and end the process."""
        given = list(sys.argv[1:] if args is None else args)
        try:
            exit_code = super().main(given, *rest, **{**options, "standalone_mode": False})
        except Misuse as error:
            if type(error).__name__ != "NoArgsIsHelpError":  # which has shown the help
                console.show_error(UsageError(_setting(error, given) or _in_a_line(error, given)))
            exit_code = error.exit_code
        except OSError as error:
            exit_code = _after_output_failed(error)
        else:
            failed = streams.failure()  # what was printed may not have been written yet
            exit_code = exit_code or (_after_output_failed(failed) if failed else 0)
        streams.settle()
        sys.exit(exit_code)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that ``ctx`` names."""
        try:
            return super().invoke(ctx)
        except CifarzooError as error:
            if not is_reported_elsewhere(error):
                console.show_error(error)
            raise typer.Exit(error.exit_code) from error
        except BrokenPipeError as error:
            raise typer.Exit(_after_output_failed(error)) from error
        except (ImportError, OSError) as error:
            package = _not_imported(error)
            if not package:
                raise
            shown = UsageError(f"{package} cannot be imported: {error}; see cifarzoo doctor")
            console.show_error(shown)
            raise typer.Exit(shown.exit_code) from error


Traceback = Annotated[
    bool,
    typer.Option(
        "--traceback", help=f"Show errors with their whole tracebacks, as {TRACEBACK}=1 does."
    ),
]


def with_traceback(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` with the option ``--traceback``."""

    @wraps(command)
    def asked(*args: Any, traceback: bool = False, **options: Any) -> None:
        if traceback:
            os.environ[TRACEBACK] = "1"  # ranks that are launched have it too
        command(*args, **options)

    plain, name = signature(command, eval_str=True), "traceback"
    option = Parameter(name, Parameter.KEYWORD_ONLY, default=False, annotation=Traceback)
    asked.__signature__ = plain.replace(parameters=[*plain.parameters.values(), option])  # type: ignore[attr-defined]  # what typer reads
    asked.__annotations__ = {**command.__annotations__, name: Traceback}
    return asked


def _setting(error: Any, given: list[str]) -> str | None:
    """What to say of an option that is none, but a setting of the config; None: it isn't.

    Args:
        error: What click raised.
        given: Words of the command.
    """
    option = getattr(error, "option_name", None)
    settable = {param.name for param in error.ctx.command.params} if option and error.ctx else ()
    if option is None or "sets" not in settable:
        return None
    name = option.lstrip("-").replace("-", "_")
    following = dict(pairwise(given)).get(option)
    value = next((w.partition("=")[2] for w in given if w.startswith(f"{option}=")), following)
    holder = _holder(name, given)
    if holder is None:
        return None
    return f"no option {option}; it is a setting: -s {holder}.{name}={value or 'VALUE'}"


def _holder(parameter: str, given: list[str]) -> str | None:
    """What has ``parameter`` among run and the components of the config that is given."""
    from cifarzoo import config
    from cifarzoo.components.index import root

    used = [root()]
    for word in given[1:]:
        with suppress(CifarzooError):
            used += config.load(word).components()
            break
    return next((e.name for e in used if parameter in {p.name for p in e.parameters}), None)


def _not_imported(error: ImportError | OSError) -> str | None:
    """The package, none of ours, whose import ended in ``error``; nothing: it is no such error."""
    frames = traceback.extract_tb(error.__traceback__)
    at_import = any(Path(frame.filename).parts[-2:] == ("torch", "__init__.py") for frame in frames)
    if at_import and "torch" not in sys.modules:
        return "torch"
    name = (getattr(error, "name", None) or "").partition(".")[0]
    return name if name != "cifarzoo" else None


def _after_output_failed(error: OSError) -> int:
    """The exit code after ``error``, if it came from stdout; a reader that has gone is none."""
    # What failed was dropped: only another attempt tells. An error about a file names it.
    if error.filename is not None or streams.failure("\n") is None:
        raise error
    streams.drop(sys.stdout)
    if streams.is_reader_gone(error):
        return 0
    shown = CifarzooError(f"stdout cannot be written: {error.strerror}")
    console.show_error(shown)
    return shown.exit_code


def _in_a_line(error: Any, given: list[str]) -> str:
    """What is wrong with the command ``given``, and where to look."""
    text = " ".join(error.format_message().split()).rstrip(".")
    text = text[0].lower() + text[1:].replace(". Did", "; did").replace("(P", "(p")
    text = text.replace("Value error, ", "")  # pydantic's name for what it didn't find
    options = getattr(getattr(error, "param", None), "opts", [])
    value = next((value for name, value in pairwise(given) if name in options), None)
    if value is not None and repr(value) not in text:
        text = f"{text}; it is {value!r}"
    return f"{text.rstrip('?')}; see {error.ctx.command_path} -h" if error.ctx else text
