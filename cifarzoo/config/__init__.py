"""The config door: .gin text to a located, checked ``Config`` to a frozen ``Run``.

gin gives the grammar, and components are registered with it; its bindings, which are global to a
process, are never touched. What a config sets is its ``text()``: that is saved and resumed from.
What it means, defaults counted, is in ``effective``: that is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cifarzoo.components.index import Entry, root
from cifarzoo.components.loading import import_components
from cifarzoo.components.plugins import Catalogue, catalogue
from cifarzoo.components.root import ROOT
from cifarzoo.components.trust import remember
from cifarzoo.config.check import check
from cifarzoo.config.files import STDIN, recipes, standard_input
from cifarzoo.config.reader import Binding, Reader
from cifarzoo.config.resolution import Use, references
from cifarzoo.errors import ConfigError, ConfigProblemsError

if TYPE_CHECKING:
    from cifarzoo.components.plugin_files import Plugin
    from cifarzoo.components.run import Run

__all__ = ["Binding", "Config", "from_text", "load", "recipes"]


@dataclass(frozen=True)
class Config:
    """A config that was read and checked, and nothing of it imported; it can be pickled.

    Attributes:
        name: Name of the config: the stem of its file.
        bindings: Everything that is set of what the run uses, by ``scope/kind.name.parameter``.
        uses: The same bindings, by parameter, for each use of a component.
        catalogue: Every component there is.
        hiding: Files that were read in the place of packaged recipes of the same name.
    """

    name: str
    bindings: Mapping[str, Binding]
    uses: Mapping[Use, Mapping[str, Binding]]
    catalogue: Catalogue
    hiding: tuple[Path, ...] = ()

    @property
    def plugins(self) -> tuple[Path, ...]:
        """The plugin files and folders that the config was checked with."""
        return tuple(file.path for file in self.catalogue.files)

    def plugin_files(self) -> tuple[Plugin, ...]:
        """The plugin files and folders that the run uses; others that were named are left out."""
        used = {entry.file.plugin for entry in self.components() if entry.file}
        return tuple(file for file in self.catalogue.files if file in used)

    def text(self) -> str:
        """All that the run is, as sorted gin: no includes, no macros, nothing unused."""
        return "".join(f"{key} = {binding.source}\n" for key, binding in self.bindings.items())

    def components(self) -> tuple[Entry, ...]:
        """The components that the run uses, by name."""
        names = sorted({name for name, _ in self.uses if name != ROOT})
        return tuple(self.catalogue.entries[name] for name in names)

    def untrusted(self) -> tuple[Entry, ...]:
        """The components that ``build`` refuses to import: see ``components.trust``."""
        return tuple(entry for entry in self.components() if not entry.is_trusted)

    def trusting(self, warn: Callable[[str], None]) -> Config:
        """This config, whose run's own copies of plugins may be run, here and by later commands.

        Args:
            warn: Receives why later commands will have to be told again.
        """
        asked = {entry.file.plugin for entry in self.untrusted() if entry.file}
        if problem := remember(asked):
            warn(problem)
        entries = {
            name: replace(entry, is_trusted=True)
            if entry.file and entry.file.plugin in asked
            else entry
            for name, entry in self.catalogue.entries.items()
        }
        return replace(self, catalogue=replace(self.catalogue, entries=entries))

    def with_values(
        self, values: Mapping[str, Any], *, sets: Sequence[str] = (), location: str | None = None
    ) -> Config:
        """This config with other values for some settings; nothing is read again.

        Args:
            values: Python's values by name; see ``load``. What is set in a file but not used
                by this config is gone.
            sets: Settings in gin's words, ``NAME=VALUE`` each.
            location: Place that errors name; None: ``set['NAME']``.

        Raises:
            ConfigProblemsError: A value doesn't fit, or changes nothing.
        """
        reader = Reader(
            {binding.key: binding for binding in self.bindings.values()}, hiding=[*self.hiding]
        )
        reader.override(sets=sets, values=values, location=location)
        return _checked(self.name, reader, self.catalogue)

    def reread(self, text: str, shown_as: str) -> Config:
        """The config of another ``text()``, which has the components of this one to choose from.

        Args:
            text: Text of a config.
            shown_as: File that errors name.

        Raises:
            ConfigProblemsError: Anything is wrong with it.
        """
        reader = Reader()
        reader.text(text, shown_as)
        return _checked(self.name, reader, self.catalogue)

    def notes(self) -> list[str]:
        """What a user may not expect of this config, a line each."""
        return [f"{path} is read, and not the packaged recipe of that name" for path in self.hiding]

    def location(self, component: str, parameter: str) -> str | None:
        """Where ``component.parameter`` is set: ``file:line``; None: nowhere.

        A component that is used in several scopes may have several such places.
        """
        places = [binding.location for binding in self._set(component, parameter)]
        return " or ".join(dict.fromkeys(places)) or None

    def _set(self, component: str, parameter: str) -> list[Binding]:
        its = (component, parameter)
        return [b for b in self.bindings.values() if (b.component, b.parameter) == its]

    def _use(self, component: str) -> str | None:
        """Where ``component`` itself is named: ``file:line``; None: nowhere."""
        places = [
            binding.location
            for binding in self.bindings.values()
            if any(reference.name == component for reference in references(binding.value))
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
            macros = [binding.macros for binding in self._set(error.component, error.parameter)]
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
            UntrustedPluginError: A run's own copy of a plugin may be somebody else's code.
            PluginError: A plugin can't be imported.
            ConfigError: ``run`` refuses a value.
        """
        from cifarzoo.components.run import Run
        from cifarzoo.config.freeze import frozen

        components = self.components()
        factories = import_components(components)
        with self.locating():
            entries = {entry.name: entry for entry in components}
            return Run(**frozen(self.uses, factories, entries))

    def checked_at_run(self) -> dict[str, str]:
        """What is set whose type only the code of a component knows: annotations by name.

        ``build`` imports that code and checks it.
        """
        from cifarzoo.config.freeze import checked_at_run

        entries = {entry.name: entry for entry in self.components()}
        return checked_at_run(self.uses, entries)


def load(
    source: str | Path,
    *,
    sets: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
    plugins: Sequence[str | Path] = (),
) -> Config:
    """Find, read and check a config; one in a run's folder knows the plugins that the run kept.

    Args:
        source: A path; the name of a packaged recipe, with or without ``.gin``; ``-``, what is
            read from standard input; or a config's text, which has a line break and a ``=`` or
            an ``include``.
        sets: Settings, ``NAME=VALUE`` each in gin's words, which override what the file says.
        values: Settings with Python's values, by name: ``{"sgd.lr": 0.1, "run.regularizers":
            ["@mixup"]}``. Texts that start with ``@`` refer to components. They come last.
        plugins: Plugin files, beside installed ones and those of ``CIFARZOO_PLUGINS``.

    Raises:
        ConfigProblemsError: Anything is wrong with it: all problems, a line each.
        PluginError: A plugin file can't be used.
    """
    reader = Reader()
    kept: list[Path] = []
    if isinstance(source, str) and _is_text(source):
        name = "config"
        reader.text(source, f"<{name}>")
    else:
        try:
            if str(source) == "-":
                name = "stdin"
                reader.text(standard_input(), STDIN)
            else:
                path = reader.file(source)
                of_file = path.stem if path.is_file() else "stdin"  # the name of a pipe is a number
                name, kept = _of_a_run(path) or (of_file, [])
        except ConfigError as error:
            raise ConfigProblemsError([str(error)]) from error
    reader.override(sets=sets, values=values or {})
    return _checked(name, reader, catalogue(plugins, kept=kept))


def from_text(
    text: str,
    *,
    plugins: Sequence[str | Path] = (),
    kept: Sequence[Path] = (),
    name: str = "config",
    shown_as: str | None = None,
) -> Config:
    """A config from another one's ``text()``, such as a run's folder keeps.

    Args:
        text: Text of a config; what it includes is looked for as in a file of the current folder.
        plugins: All the plugin files that it may use, beside ``kept``. ``CIFARZOO_PLUGINS``
            isn't asked: what it names may have changed since the text was written.
        kept: A run's copies of its plugins, which are run if this user is known to have run them.
        name: Name of the config.
        shown_as: The file that errors name; None: ``name.gin``.

    Raises:
        ConfigProblemsError: Anything is wrong with it.
        PluginError: A plugin file can't be used.
    """
    reader = Reader()
    reader.text(text, shown_as or f"{name}.gin")
    return _checked(name, reader, catalogue(plugins, kept=kept, ask_environment=False))


def _of_a_run(path: Path) -> tuple[str, list[Path]] | None:
    """The name of the run's config and its plugins, if ``path`` is a file of a run's folder."""
    from cifarzoo.run_folders.folder import CONFIG, RECORD, RESOLVED, RunFolder

    if path.name not in (CONFIG, RESOLVED) or not path.with_name(RECORD).is_file():
        return None
    folder = RunFolder(path.parent)
    folder.check()
    return folder.record.get("config", path.stem), folder.plugins


def _is_text(source: str) -> bool:
    return "\n" in source and ("=" in source or "include" in source)


def _checked(name: str, reader: Reader, found: Catalogue) -> Config:
    uses = check(reader, found).uses
    bindings = {b.full_name: b for by_parameter in uses.values() for b in by_parameter.values()}
    hiding = tuple(dict.fromkeys(reader.hiding))
    return Config(name, dict(sorted(bindings.items())), uses, found, hiding)
