"""Finds everything that is wrong with a config, from the index: no component is imported."""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Any

from cifarzoo.components.index import Entry, root
from cifarzoo.components.kinds import FACTORIES
from cifarzoo.components.plugins import Catalogue
from cifarzoo.components.python_source import literal
from cifarzoo.components.root import ROOT
from cifarzoo.components.session import registered_unnamed
from cifarzoo.components.spelling import near
from cifarzoo.config.bare_words import bare_words, constant, meant, short
from cifarzoo.config.effects import Problem, missing, twice, unused, unused_macros
from cifarzoo.config.fitting import Fit
from cifarzoo.config.limits import MAX_BYTES, MAX_COMPONENTS, MAX_DEPTH, MAX_PROBLEMS
from cifarzoo.config.reader import AT_MOST, Binding, Reader
from cifarzoo.config.resolution import Resolution, resolve
from cifarzoo.config.types import component_of, kind_in, some, to_type
from cifarzoo.config.values import Bare, Macro, Reference, written
from cifarzoo.errors import ConfigProblemsError

QUOTES = "a text takes quotes, a component an @"
PLAIN = frozenset(string.ascii_letters + string.digits + "_./@=-")  # what no shell changes


class Check:
    """One pass over what was read; ``problems`` fills up on the way.

    Attributes:
        catalogue: Every component there is.
        entries: Entries of all components, and of ``run``, by name.
        macros: Bindings of macros by name.
        macros_in: Names of the macros in each binding's value, by the binding's key.
        misnamed: Components of which a parameter was set that they don't have.
        resolution: Uses of components that ``run`` leads to.
        without_effect: Settings that change nothing, in words, likewise.
        problems: Mistakes in words, each with its position among all that was read.
    """

    def __init__(self, reader: Reader, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.entries = {**catalogue.entries, ROOT: root()}
        self.problems = list(reader.problems)
        read = reader.bindings.values()
        self.macros = {binding.key: binding for binding in read if not binding.parameter}
        self.macros_in: dict[str, set[str]] = {}
        self.misnamed: set[str] = set()
        self._fit = cache(self._make_fit)
        self._length = 0  # of the values so far, macros written out
        checked = list(self._all_checked(binding for binding in read if binding.parameter))
        bindings = [binding for binding in checked if binding is not None]
        self.resolution = resolve(bindings)
        self.without_effect: list[Problem] = []
        if excess := self.resolution.excess:
            many = f"more than {MAX_COMPONENTS:,} components, or {MAX_DEPTH} in one another"
            self._say(excess, f"{excess.key} leads to {many}; {AT_MOST}")
            return
        self.without_effect += islice(unused(self.resolution, bindings, self.entries), MAX_PROBLEMS)
        self.without_effect += islice(
            unused_macros(self.resolution, self.macros, self.macros_in, self.entries), MAX_PROBLEMS
        )
        if not reader.problems and len(bindings) == len(checked):
            # Else much of what is missing or without effect only follows from other problems.
            self.problems += missing(self.resolution, self.entries, self.misnamed)
            self.problems += twice(self.resolution, self.entries)
            self.problems += self._not_overridden(reader)

    def _not_overridden(self, reader: Reader) -> list[Problem]:
        """What is without effect, but for what had one before ``--set`` took it away."""
        if not self.without_effect or reader.before is None:
            return self.without_effect
        files = Check(Reader(dict(reader.before)), self.catalogue)
        alone = {order for order, _ in files.without_effect}
        read = {binding.order for binding in reader.before.values()}
        return [each for each in self.without_effect if each[0] in alone or each[0] not in read]

    def raise_if_any(self) -> None:
        """Raise all problems at once, in the order of the lines.

        Raises:
            ConfigProblemsError: There are any.
        """
        if self.problems:
            lines = [text for _, text in sorted(self.problems, key=lambda problem: problem[0])]
            unique = list(dict.fromkeys(lines))
            more = [f"there are more than {MAX_PROBLEMS} problems; these come first"]
            raise ConfigProblemsError(unique[:MAX_PROBLEMS] + more[: len(unique) // MAX_PROBLEMS])

    def _places(self, key: str) -> str:
        """`` (%LR: c.gin:3)``: the places of the macros in a binding's value, or nothing."""
        macros = sorted(self.macros_in[key])
        places = ", ".join(f"%{name}: {self.macros[name].location}" for name in macros)
        return f" ({places})" * bool(places)

    def _say(self, binding: Binding, problem: str) -> None:
        self.problems.append((binding.order, f"{binding.location}: {problem}"))

    def _all_checked(self, bindings: Iterable[Binding]) -> Iterator[Binding | None]:
        """Each of ``bindings`` checked; what comes after very many problems is left."""
        for binding in bindings:
            if len(self.problems) > MAX_PROBLEMS or self._length > MAX_BYTES:
                return
            yield self._checked(binding)

    def _checked(self, binding: Binding) -> Binding | None:
        """``binding`` with macros replaced and selectors whole; None: its value can't be used."""
        used = self.macros_in[binding.key] = set()
        value, fine = self._expand(binding.value, binding, used, ())
        entry = self._entry(binding.selector, binding)
        if words := bare_words(value):
            self._say_meant(words[0], value, binding, entry)
            fine = False
        selector = binding.selector
        if entry is not None:
            self._check_parameter(entry, binding, value, fine=fine)
            selector = ROOT if entry.name == ROOT else f"{entry.kind}.{entry.name}"
        macros = binding.macros or (self._places(binding.key) if fine else "")
        return replace(binding, selector=selector, value=value, macros=macros) if fine else None

    def _check_parameter(self, entry: Entry, binding: Binding, value: Any, *, fine: bool) -> None:
        """That ``entry`` has the parameter, and that ``value`` is of its type."""
        parameters = {parameter.name: parameter for parameter in entry.parameters}
        if binding.parameter in entry.injected:
            self._say(binding, f"{binding.key} is given by the engine; configs can't set it")
        elif binding.parameter not in parameters:
            self.misnamed.add(entry.name)
            self._say(binding, self._misnamed(entry, binding))
        elif fine:
            annotation = parameters[binding.parameter].annotation
            fit = self._fit(annotation) if annotation else None
            why = fit and fit.misfit(value)
            if fit and why:
                gap = "" if why.place else " "
                hint = "" if why.place else _another_form(value, fit, self.catalogue.entries)
                self._say(binding, f"{binding.key}{gap}{why}{hint}{self._places(binding.key)}")

    def _say_meant(self, word: str, value: Any, binding: Binding, entry: Entry | None) -> None:
        """Say what a word that is no value was meant to be, where it was written."""
        written_in = [binding, *(self.macros[name] for name in self.macros_in[binding.key])]
        holder = next(each for each in written_in if word in bare_words(each.value))
        problem = f"{word!r} is not a value"
        parameters = {p.name: p for p in entry.parameters} if entry else {}
        annotation = getattr(parameters.get(binding.parameter), "annotation", None)
        fit = self._fit(annotation) if annotation else None
        if fit is None or not (holder is binding or isinstance(binding.value, Macro)):
            guess = constant(word)
            advice = f"did you mean {guess}?" if guess else QUOTES
        elif found := meant(value, self.catalogue.entries, lambda read: fit.misfit(read) is None):
            as_set = holder.location.startswith("--set ") and holder is binding
            whole = _quoted(f"{binding.written_name}={found}")
            advice = f"did you mean {f'-s {whole}' if as_set else found}?"
        else:
            why = fit.misfit(word)
            advice = why.problem.partition("; ")[2] if why else QUOTES
        self._say(holder, f"{problem}; {advice}")

    def _misnamed(self, entry: Entry, binding: Binding) -> str:
        """What to say of a parameter that can't be set, and where it can."""
        name = binding.parameter
        if family := entry.family_with(name):
            instead = f"use @{family.name} and {family.name}.{name}"
            return f"{entry.name}.{name} is fixed by the preset; {instead}"
        problem = f"{entry.name} has no parameter {name!r}"
        for parameter in entry.parameters:  # it may be one of what another one holds
            kind = kind_in(parameter.annotation)
            held = [e for e in self.catalogue.entries.values() if e.kind == kind]
            names = sorted(e.name for e in held if name in {p.name for p in e.parameters})
            if names:
                holder = f"{entry.name}.{parameter.name}"
                how = f"write {holder} = @NAME and NAME.{name}"
                return f"{problem}; {holder} has it: {how}{some(names)}"
        parameters = [parameter.name for parameter in entry.parameters]
        return problem + (near(name, parameters) or f"; it has {', '.join(parameters) or 'none'}")

    def _expand(
        self, value: Any, holder: Binding, used: set[str], inside: tuple[str, ...], depth: int = 0
    ) -> tuple[Any, bool]:
        """``value`` with macros replaced and selectors whole; and whether all of it was fine."""
        if not self._takes(value, holder, depth):
            return None, False

        def expanded(part: Any) -> tuple[Any, bool]:
            return self._expand(part, holder, used, inside, depth + 1)

        match value:
            case Macro():
                return self._macro(value.name, holder, used, inside, depth)
            case Reference():
                return self._reference(value, holder)
            case list() | tuple():
                items = list(map(expanded, value))
                return type(value)(item for item, _ in items), all(fine for _, fine in items)
            case dict():
                if any(isinstance(key, Reference | Macro | Bare) for key in value):
                    self._say(holder, "a key of a dict is a text or a number")
                items = list(map(expanded, value.values()))
                whole = dict(zip(value, (item for item, _ in items), strict=True))
                return whole, all(fine for _, fine in items)
        return value, True

    def _takes(self, value: Any, holder: Binding, depth: int) -> bool:
        """Whether there is room for ``value``; that there isn't is said once."""
        if self._length > MAX_BYTES:
            return False
        if depth > MAX_DEPTH:
            self._say(
                holder, f"brackets and macros are more than {MAX_DEPTH} in one another; {AT_MOST}"
            )
            return False
        # As short as it can be written, with what is between it and the next.
        self._length += 2 + (len(value) if isinstance(value, str | bytes) else 0)
        if self._length > MAX_BYTES:
            many = f"with this value those of the config have more than {MAX_BYTES:,} characters"
            self._say(holder, f"{many}, macros written out; {AT_MOST}")
        return self._length <= MAX_BYTES

    def _macro(
        self, name: str, holder: Binding, used: set[str], inside: tuple[str, ...], depth: int
    ) -> tuple[Any, bool]:
        macro = self.macros.get(name)
        if macro is None or name in inside:
            why = f"nothing sets %{name}{near(name, self.macros)}"
            self._say(holder, f"%{name} refers to itself" if macro else why)
            return None, False
        used.add(name)
        return self._expand(macro.value, macro, used, (*inside, name), depth + 1)

    def _reference(self, reference: Reference, holder: Binding) -> tuple[Any, bool]:
        entry = self._entry(reference.selector, holder)
        if reference.called:
            name = f"@{reference.scope}{'/' * bool(reference.scope)}{reference.selector}"
            self._say(holder, f"write {name} without (); the engine makes the component")
        if entry is None:
            return reference, False
        if entry.name == ROOT:
            self._say(holder, f"@{ROOT} is the whole config and no component")
            return reference, False
        return Reference(reference.scope, f"{entry.kind}.{entry.name}"), True

    def _entry(self, selector: str, binding: Binding) -> Entry | None:
        kind, _, name = selector.rpartition(".")
        entry = self.entries.get(name)
        if entry and (not kind or (kind == entry.kind and name != ROOT)):
            return entry
        if entry and name != ROOT:
            close = f"; did you mean {entry.kind}.{name}?"
        elif place := registered_unnamed(name):
            close = f"; {place}"
        else:
            close = near(name, self.entries) or "; cifarzoo ls lists them"
        broken = "".join(
            f"; the plugin {origin} is broken: {why}" for origin, why in self.catalogue.broken
        )
        self._say(binding, f"no component {selector!r}{close}{broken}")
        return None

    def _make_fit(self, annotation: str) -> Fit | None:
        """What an annotation asks for; None: only the component's own module knows the type."""
        asked = [(name, kind) for name, kind in FACTORIES.items() if name in annotation]
        kinds = {name: component_of(kind, self.catalogue) for name, kind in asked}
        try:
            return Fit(to_type(annotation, kinds))
        except (LookupError, TypeError, ValueError, SyntaxError):
            return None


def _another_form(value: Any, fit: Fit, entries: Mapping[str, Entry]) -> str:
    """``; did you mean …?`` with a value in brackets, or a number without quotes, that fits."""
    forms: list[Any] = [[value]]
    if isinstance(value, str):
        with suppress(ValueError):
            forms.append(literal(value))
        forms += [
            [Reference("", f"{e.kind}.{e.name}")] for e in entries.values() if e.name == value
        ]
    found = next((form for form in forms if fit.misfit(form) is None), None)
    return "" if found is None else f"; did you mean {written(short(found))}?"


def _quoted(setting: str) -> str:
    """A setting as a shell takes it."""
    return setting if set(setting) <= PLAIN else f'"{setting}"'


def check(reader: Reader, catalogue: Catalogue) -> Resolution:
    """What a config that was read amounts to, and that nothing is wrong with it.

    Args:
        reader: Reader of the config.
        catalogue: Every component there is.

    Raises:
        ConfigProblemsError: Anything is wrong with it.
    """
    checked = Check(reader, catalogue)
    checked.raise_if_any()
    return checked.resolution
