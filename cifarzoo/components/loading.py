"""Imports the modules of components that are used, and checks that they are as announced."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from typing import Any

from cifarzoo.components.index import Entry
from cifarzoo.components.plugin_modules import run
from cifarzoo.components.registry import Component, register
from cifarzoo.components.trust import check_trusted
from cifarzoo.errors import PluginError, in_one_line
from cifarzoo.files.own_folders import compile_cache


def import_components(entries: Iterable[Entry]) -> dict[str, Callable[..., Any]]:
    """Import the modules of ``entries``, after which their names stand for them.

    Args:
        entries: Components of one catalogue.

    Returns:
        What makes each of them, by name.

    Raises:
        UntrustedPluginError: One is of a run's own copy that nobody has vouched for.
        PluginError: A plugin can't be imported, or isn't what its source says.
    """
    entries = list(entries)
    check_trusted(entries)
    compile_cache()  # before any of them imports what asks for it
    factories: dict[str, Callable[..., Any]] = {}
    with register.indexed():
        for entry in entries:
            _import(entry)
    for entry in entries:
        component = _registered(entry)
        if register.components.get(entry.name) is not component:
            register.activate(component)
        factories[entry.name] = component.factory
    return factories


def _registered(entry: Entry) -> Component:
    """What importing the module of ``entry`` registered, if it is as its source says."""
    component = register.known.get((entry.module, entry.name))
    if component is None or component.kind != entry.kind:
        raise PluginError(
            f"{entry.source}: importing it registered no {entry.kind} {entry.name!r}; "
            "a decorator on top of it may hide its name"
        )
    takes = inspect.signature(component.factory).parameters
    shown = {p.name: p.default is None for p in entry.parameters}
    real = {
        name: p.default is inspect.Parameter.empty
        for name, p in takes.items()
        if name not in entry.injected
    }
    if real != shown:
        raise PluginError(
            f"{entry.source}: {entry.name} takes ({', '.join(takes)}), which its source does "
            "not show; write its arguments in its own signature"
        )
    return component


def _import(entry: Entry) -> None:
    try:
        with redirect_stdout(sys.stderr):  # what a plugin prints is no result of a command
            if entry.file:
                run(entry.file)
            else:
                importlib.import_module(entry.module)
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        if entry.origin == "cifarzoo":
            raise
        where, what = _where(entry, error), in_one_line(error)
        raise PluginError(f"{where}: it cannot be imported: {what}") from error


def _where(entry: Entry, error: BaseException) -> str:
    """``file:line`` in the plugin where ``error`` arose."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    inside = entry.file.plugin.path if entry.file else entry.path.parent
    lines = [f"{f.filename}:{f.lineno}" for f in frames if f.filename.startswith(str(inside))]
    return lines[-1] if lines else entry.source
