"""The config door: .gin text to a located, checked ``Config`` to a frozen ``Run``.

gin gives the grammar, the scopes and the registry; it opens no file, and nothing of it is
left once a ``Run`` is built. What a config means is its ``text()``: that is saved, hashed,
compared, resumed from and given to other processes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cifarzoo.components.index import Entry, root
from cifarzoo.components.plugins import Catalogue, catalogue
from cifarzoo.components.plugins import load as load_modules
from cifarzoo.components.registry import ROOT
from cifarzoo.config.check import check
from cifarzoo.config.files import recipes
from cifarzoo.config.reader import Reading
from cifarzoo.config.resolution import references
from cifarzoo.config.values import written
from cifarzoo.errors import ConfigError, ConfigProblemsError

if TYPE_CHECKING:
    from cifarzoo.components.run import Run

__all__ = ["Bound", "Config", "from_text", "load", "recipes"]


@dataclass(frozen=True)
class Bound:
    """What a config sets.

    Attributes:
        component: Name of the component, without kind and scope; or ``run``.
        parameter: Of that component.
        value: As literals and references; macros are replaced.
        location: ``file:line``, or the ``--set`` that it comes from.
        macros: `` (%NAME: file:line)`` of each macro in the value, or nothing.
    """

    component: str
    parameter: str
    value: Any
    location: str
    macros: str = ""

    @property
    def source(self) -> str:
        """The value as gin reads it."""
        return written(self.value)


@dataclass(frozen=True)
class Config:
    """A config that was read and checked, and nothing of it imported.

    Attributes:
        name: What it is called: the stem of its file.
        bindings: What it sets, of all that its run uses, by ``scope/kind.name.parameter``.
        catalogue: The components there are.
        plugins: The plugin files that it was checked with.
    """

    name: str
    bindings: Mapping[str, Bound]
    catalogue: Catalogue
    plugins: tuple[Path, ...]
    _components: tuple[Entry, ...]

    def text(self) -> str:
        """All that the run is, as sorted gin: no includes, no macros, nothing unused."""
        return "".join(f"{key} = {bound.source}\n" for key, bound in self.bindings.items())

    def digest(self) -> str:
        """The SHA-256 of ``text()``, in hexadecimal."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def components(self) -> tuple[Entry, ...]:
        """The components that the run uses, by name."""
        return self._components

    def location(self, component: str, parameter: str) -> str | None:
        """Where ``component.parameter`` is set: ``file:line``; None: nowhere.

        A component that is used in several scopes may have several such places.
        """
        places = [bound.location for bound in self._set(component, parameter)]
        return " or ".join(dict.fromkeys(places)) or None

    def _set(self, component: str, parameter: str) -> list[Bound]:
        its = (component, parameter)
        return [b for b in self.bindings.values() if (b.component, b.parameter) == its]

    def _use(self, component: str) -> str | None:
        """Where ``component`` itself is named: ``file:line``; None: nowhere."""
        places = [
            bound.location
            for bound in self.bindings.values()
            if any(reference.name == component for reference in references(bound.value))
        ]
        return " or ".join(dict.fromkeys(places)) or None

    def locate(self, error: ConfigError) -> None:
        """Complete an ``error`` of a factory, or of ``run`` itself, with its place."""
        made = self.catalogue.entries.get(error.component or "")
        its_own = {parameter.name for parameter in made.parameters} if made else set()
        if error.parameter in {parameter.name for parameter in root().parameters} - its_own:
            error.component = ROOT  # whatever was made just then, it is about the run around it
        if error.location is None and error.component:
            if error.parameter is None:
                error.location = self._use(error.component)
                return
            error.location = self.location(error.component, error.parameter)
            macros = [bound.macros for bound in self._set(error.component, error.parameter)]
            error.problem += "".join(dict.fromkeys(macros))

    @contextmanager
    def locating(self) -> Iterator[None]:
        """While components are made: errors of theirs name the line that is to blame."""
        try:
            yield
        except ConfigError as error:
            self.locate(error)
            raise

    def build(self) -> Run:
        """The run that this describes, with the modules of its components imported.

        Raises:
            PluginError: A plugin can't be imported.
            ConfigError: ``run`` refuses a value.
        """
        from cifarzoo.components.run import Run
        from cifarzoo.config.freeze import frozen

        load_modules(self._components)
        with self.locating():
            return Run(**frozen(self.text()))


def load(
    name: str | Path, *, sets: Sequence[str] = (), plugins: Sequence[str | Path] = ()
) -> Config:
    """Find, read and check a config.

    Args:
        name: A path, or the name of a packaged recipe.
        sets: ``NAME=VALUE`` each, in gin's words, which override what the file says.
        plugins: Plugin files, beside installed ones and those of ``CIFARZOO_PLUGINS``.

    Raises:
        ConfigProblemsError: Anything is wrong with it: all problems, a line each.
        PluginError: A plugin file can't be used.
    """
    reading = Reading()
    try:
        path = reading.file(name)
    except ConfigError as error:
        raise ConfigProblemsError([str(error)]) from error
    for text in sets:
        reading.setting(text)
    return _checked(path.stem, reading, catalogue(plugins))


def from_text(
    text: str,
    *,
    plugins: Sequence[str | Path] = (),
    name: str = "config",
    shown_as: str | None = None,
) -> Config:
    """A config from memory, such as another's ``text()``.

    Args:
        text: A config; what it includes is looked for as in a file of the current folder.
        plugins: All the plugin files that it may use. ``CIFARZOO_PLUGINS`` isn't asked: what
            it names may have changed since the text was written.
        name: What it is called.
        shown_as: The file that errors name; None: ``name.gin``.

    Raises:
        ConfigProblemsError: Anything is wrong with it.
        PluginError: A plugin file can't be used.
    """
    reading = Reading()
    reading.text(text, shown_as or f"{name}.gin")
    return _checked(name, reading, catalogue(plugins, ask_environment=False))


def _checked(name: str, reading: Reading, found: Catalogue) -> Config:
    checked = check(reading, found)
    bindings = {}
    for key, binding in checked.resolution.used().items():
        kind = "" if binding.name == ROOT else f"{found.entries[binding.name].kind}."
        scope = f"{binding.scope}/" if binding.scope else ""
        whole = f"{scope}{kind}{binding.name}.{binding.parameter}"
        value, place = checked.values[key], binding.location
        macros = checked.set_by(key)
        bindings[whole] = Bound(binding.name, binding.parameter, value, place, macros)
    components = tuple(checked.components())
    return Config(name, dict(sorted(bindings.items())), found, found.files, components)
