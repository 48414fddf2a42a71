"""Reads a config and what it includes into one binding for each key, each with its place.

Of bindings for one key the last counts: a file may change what it includes, and ``--set``
what the files say. Twice in one file is a mistake, and so is an include that undoes a line
before it. A file that is included twice is read once, where it is included first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cifarzoo.config.files import displayed, find_config, hides_recipe, read
from cifarzoo.config.grammar import DEEP, Assignment, Include, SyntaxMistake, statements
from cifarzoo.config.limits import MAX_BYTES, MAX_INCLUDES, MAX_PROBLEMS
from cifarzoo.config.python_values import from_python
from cifarzoo.config.values import written
from cifarzoo.errors import ConfigError

MAX_TEXT = 2 * MAX_BYTES  # of a config's own ``text()``, where names are longer than as written
AT_MOST = "expected at most so many"


@dataclass(frozen=True)
class Binding:
    """A value for a parameter, or for a macro, and where it was set.

    As it was read, its value may hold macros; in a checked config they are replaced, and
    selectors are ``kind.name``.

    Attributes:
        scope: Uses of the component that it holds for; nothing: all of them.
        selector: Name of the component, as ``name`` or ``kind.name``; or of the macro.
        parameter: Name of the parameter; nothing: it sets a macro.
        value: A literal that may hold references and macros.
        location: ``file:line``, or the setting beside the files that it comes from.
        order: Position among all that was read.
        counts: Whether it has to have an effect: it is of the file that was named, or set
            beside the files. An include may set what a run doesn't use.
        macros: `` (%NAME: file:line)`` of each macro that was in the value, or nothing.
    """

    scope: str
    selector: str
    parameter: str
    value: Any
    location: str
    order: int
    counts: bool
    macros: str = ""

    @property
    def component(self) -> str:
        """Name of the component, without its kind."""
        return self.selector.rpartition(".")[2]

    @property
    def key(self) -> str:
        """``scope/component.parameter``; the same for every way to write it."""
        name = f"{self.component}.{self.parameter}" if self.parameter else self.selector
        return f"{self.scope}/{name}" if self.scope else name

    @property
    def full_name(self) -> str:
        """``scope/selector.parameter``, as ``Config.text()`` has it."""
        return f"{self.scope}{'/' * bool(self.scope)}{self.selector}.{self.parameter}"

    @property
    def written_name(self) -> str:
        """``key``, with the kind where it was written."""
        name = f"{self.selector}.{self.parameter}" if self.parameter else self.selector
        return f"{self.scope}/{name}" if self.scope else name

    @property
    def source(self) -> str:
        """The value as gin reads it."""
        return written(self.value)


@dataclass
class Reader:
    """Reads what a config is made of, one thing after another.

    Attributes:
        bindings: What was read so far, by key.
        problems: What can't be used, in words, each with its place among all that was read.
        hiding: Files that were read in the place of packaged recipes of the same name.
        before: What was read before settings beside the files; None: there are none.
    """

    bindings: dict[str, Binding] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)
    hiding: list[Path] = field(default_factory=list)
    before: dict[str, Binding] | None = None
    _count: int = 0
    _read: set[Path] = field(default_factory=set)
    _length: int = 0  # of all files
    _includes: int = 0

    def __post_init__(self) -> None:
        self._count = max((binding.order for binding in self.bindings.values()), default=0)

    def file(self, name: str | Path) -> Path:
        """Read the config called ``name`` and all that it includes.

        Returns:
            The file that was meant.

        Raises:
            ConfigError: There is no such file.
        """
        path = self._find(name, None)
        self._file(path, ())
        return path

    def text(self, text: str, shown_as: str) -> None:
        """Read a config from memory, which errors call ``shown_as``."""
        if len(text) > MAX_TEXT:
            self._problem(f"{shown_as}: it has more than {MAX_TEXT:,} characters; {AT_MOST}")
            return
        self._statements(text, shown_as, None, (Path(shown_as),))

    def override(
        self,
        *,
        sets: Sequence[str] = (),
        values: Mapping[str, Any],
        location: str | None = None,
    ) -> None:
        """Read settings beside the files, which may leave what these set without effect.

        Args:
            sets: ``NAME=VALUE`` each, in gin's words.
            values: Python's values by name; see ``cifarzoo.config.load``.
            location: Place of the values that errors name; None: ``set['NAME']``.
        """
        if sets or values:
            self.before = dict(self.bindings)
        for text in sets:
            self._set(text)
        for name, value in values.items():
            self._value(name, value, location or f"set[{name!r}]")

    def _set(self, text: str) -> None:
        location = f"--set {text!r}"
        match list(statements(text)):
            case [Assignment() as assignment]:
                self._bind(assignment, location, counts=True)
            case [SyntaxMistake(problem=problem), *_] if "=" in text:
                self._problem(f"{location}: {problem}")
            case _:
                self._problem(f"{location}: expected NAME=VALUE, such as run.epochs=3")

    def _value(self, name: str, value: Any, location: str) -> None:
        # Names are read by the grammar that they have in files.
        is_name = isinstance(name, str) and name.isprintable() and not set(name) & set("=#:\\")
        match list(statements(f"{name} = None")) if is_name else []:
            case [Assignment() as assignment]:
                pass
            case _:
                self._problem(f"{location}: expected a name such as 'run.epochs' or 'sgd.lr'")
                return
        try:
            plain = from_python(value)
        except ConfigError as error:
            self._problem(f"{location}{error}")
        except RecursionError:
            self._problem(f"{location}: {DEEP}")
        else:
            self._bind(replace(assignment, value=plain), location, counts=True)

    def _file(self, path: Path, inside: tuple[Path, ...]) -> None:
        self._read.add(path.resolve())
        try:
            text = read(path)
        except ConfigError as error:
            self._problem(str(error))
            return
        shown = str(displayed(path))
        self._length += len(text)
        if self._length > MAX_BYTES:
            many = f"with it the config has more than {MAX_BYTES:,} characters"
            self._problem(f"{shown}: {many}, all that it includes counted; {AT_MOST}")
            return
        self._statements(text, shown, path.parent, (*inside, path.resolve()))

    def _statements(
        self, text: str, file: str, folder: Path | None, inside: tuple[Path, ...]
    ) -> None:
        own: dict[str, Binding] = {}
        for statement in statements(text):
            if len(self.problems) > MAX_PROBLEMS:
                return
            location = f"{file}:{statement.line}"
            match statement:
                case SyntaxMistake(problem=problem):
                    self._problem(f"{location}: {problem}")
                case Include(name=name):
                    self._include(name, location, folder, inside)
                case Assignment():
                    binding = self._bind(statement, location, counts=len(inside) == 1)
                    first = own.setdefault(binding.key, binding)
                    if first is not binding:
                        again = f"is set twice, first on line {first.location.rpartition(':')[2]}"
                        self._problem(f"{location}: {binding.key} {again}")

    def _include(
        self, name: str, location: str, folder: Path | None, inside: tuple[Path, ...]
    ) -> None:
        self._count += 1
        self._includes += 1
        if self._includes > MAX_INCLUDES:
            if self._includes == MAX_INCLUDES + 1:
                many = f"more than {MAX_INCLUDES} lines of this config include a file"
                self._problem(f"{location}: {many}; {AT_MOST}")
            return
        try:
            path = self._find(name, folder)
        except ConfigError as error:
            self._problem(f"{location}: {error}")
            return
        if path.resolve() in inside:
            chain = [other.name for other in (*inside[inside.index(path.resolve()) :], path)]
            self._problem(f"{location}: {name!r} includes itself ({' > '.join(chain)})")
        elif path.resolve() not in self._read:
            before = dict(self.bindings)
            self._file(path, inside)
            for key, old in before.items():
                new = self.bindings[key]
                if new is not old and old.counts:
                    undone = f"{old.key} changes nothing: {new.location}, which is included after"
                    self._problem(f"{old.location}: {undone} it, sets it again", old.order)

    def _find(self, name: str | Path, beside: Path | None) -> Path:
        path = find_config(name, beside=beside)
        if hides_recipe(path, name):
            self.hiding.append(displayed(path))
        return path

    def _bind(self, assignment: Assignment, location: str, *, counts: bool) -> Binding:
        self._count += 1
        binding = Binding(
            assignment.scope,
            assignment.selector,
            assignment.parameter,
            assignment.value,
            location,
            self._count,
            counts,
        )
        self.bindings[binding.key] = binding
        return binding

    def _problem(self, text: str, order: int | None = None) -> None:
        self._count += 1
        self.problems.append((self._count if order is None else order, text))
