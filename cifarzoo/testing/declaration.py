"""What a component says of itself: its signature, and what configs make of it."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cifarzoo.components.loading import import_components
from cifarzoo.components.python_source import literal
from cifarzoo.components.signatures import Parameter
from cifarzoo.config import Config, from_text
from cifarzoo.config.effective import digest
from cifarzoo.config.hints import known_fit, own_fit
from cifarzoo.engine.assembly.failures import unfit
from cifarzoo.errors import ConfigError
from cifarzoo.testing.subject import Subject


def check_signature(subject: Subject, _folder: Path) -> None:
    """Refuse a component whose settings can't be known without running it.

    Raises:
        PluginError: It isn't as its source announces it.
        ConfigError: It has no docstring, or a setting lacks a type or has another default.
    """
    entry = subject.entry
    if not entry.doc.strip():
        raise unfit(
            entry.name, "has no docstring; expected one, whose first line cifarzoo ls shows"
        )
    factory = import_components([entry])[entry.name]
    for parameter in entry.parameters:
        if problem := _problem(factory, parameter):
            error = ConfigError(problem, parameter=parameter.name)
            error.component = entry.name
            raise error


def _problem(factory: Callable[..., Any], parameter: Parameter) -> str | None:
    """What is wrong with a setting of a component; None: nothing."""
    if parameter.annotation is None:
        return "has no type; expected an annotation, such as float or cifarzoo.protocols.Fraction"
    try:
        asked = known_fit(parameter.annotation) or own_fit(factory, parameter.name)
    except TypeError as error:
        return f"can be set by no config: {error}"
    if parameter.default is None:
        return None
    default = inspect.signature(factory).parameters[parameter.name].default
    if type(default).__module__ == "dataclasses":  # it is made anew for each
        return None
    misfit = asked.misfit(default)
    return f"has a default that doesn't fit {parameter.annotation}: it {misfit}" if misfit else None


def check_config(subject: Subject, _folder: Path) -> None:
    """Refuse a component that configs can't name, or that can't go to other processes.

    Raises:
        ConfigProblemsError: A setting can't be used.
        ConfigError: Its factory isn't found by its name, or a default that is set means another
            run than the same default that isn't.
    """
    config = subject.config()
    again = from_text(config.text(), plugins=config.plugins)
    if again.text() != config.text():
        raise unfit(subject.name, f"has a config that is read back as another:\n{again.text()}")
    written = config.with_values(_defaults(subject, config))
    if digest(written) != digest(config):
        raise unfit(subject.name, "is another run where a config says the defaults that it has")
    try:
        pickle.loads(pickle.dumps(config.build()))  # noqa: S301  # what was pickled just now
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise unfit(
            subject.name,
            f"can't be sent to another process ({error}); expected a def or a class at the top "
            "level of its module, and settings of plain values",
        ) from error


def _defaults(subject: Subject, config: Config) -> dict[str, Any]:
    """Those defaults of the component that a config can write, by the settings' names."""
    its_own = {b.parameter for b in config.bindings.values() if b.component == subject.name}
    found = {}
    for parameter in subject.entry.parameters:
        if parameter.name in its_own or parameter.default is None:
            continue
        try:
            found[f"{subject.name}.{parameter.name}"] = literal(parameter.default)
        except ValueError:  # a name or a call, which only its module knows
            continue
    return found
