"""Finds everything that is wrong with a config, from the index: no component is imported."""

from __future__ import annotations

from functools import cache
from typing import Any

from cifarzoo.aliases import FACTORIES
from cifarzoo.config.annotations import a, component_of, kind_in, misfit, some, to_type
from cifarzoo.config.reach import Reach, Use, reach
from cifarzoo.config.reader import Binding, Reading
from cifarzoo.config.values import Macro, Reference
from cifarzoo.errors import ConfigProblemsError
from cifarzoo.index import Entry, near, root
from cifarzoo.plugins import Catalogue
from cifarzoo.registry import ROOT


class Check:
    """One pass over what was read; ``problems`` fills up on the way.

    Attributes:
        entries: Every component, and ``run``.
        values: The value of each component's binding by key: macros replaced, and selectors
            as ``kind.name``. A value that can't be used is missing.
        reach: What ``run`` leads to.
        problems: In words, each with its place among all that was read.
    """

    def __init__(self, reading: Reading, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.entries = {**catalogue.entries, ROOT: root()}
        self.problems = list(reading.problems)
        bindings = reading.bindings.values()
        self.macros = {binding.key: binding for binding in bindings if not binding.parameter}
        self.bindings = [binding for binding in bindings if binding.parameter]
        self.macros_in: dict[str, set[str]] = {}
        self.values: dict[str, Any] = {}
        self.misnamed: set[str] = set()
        self._adapter = cache(self._make_adapter)
        for binding in self.bindings:
            self._check_binding(binding)
        self.reach = reach(self.bindings, self.values)
        if not reading.problems and len(self.values) == len(self.bindings):
            self._check_reach()  # else much of what it would find only follows from the rest

    def raise_if_any(self) -> None:
        """Raise all problems at once, in the order of the lines.

        Raises:
            ConfigProblemsError: There are any.
        """
        if self.problems:
            lines = [text for _, text in sorted(self.problems, key=lambda problem: problem[0])]
            raise ConfigProblemsError(list(dict.fromkeys(lines)))

    def _say(self, binding: Binding, problem: str) -> None:
        self.problems.append((binding.order, f"{binding.location}: {problem}"))

    def _check_binding(self, binding: Binding) -> None:
        """Names and type."""
        used = self.macros_in[binding.key] = set()
        value, fine = self._expand(binding.value, binding, used, ())
        if fine:
            self.values[binding.key] = value
        entry = self._entry(binding.selector, binding)
        if entry is None:
            return
        parameters = {parameter.name: parameter for parameter in entry.parameters}
        if binding.parameter in entry.injected:
            self._say(binding, f"{binding.key} is given by the engine; configs can't set it")
        elif binding.parameter not in parameters:
            self.misnamed.add(entry.name)
            its = ", ".join(parameters) or "none"
            has = near(binding.parameter, parameters) or f"; it has {its}"
            self._say(binding, f"{entry.name} has no parameter {binding.parameter!r}{has}")
        elif fine:
            annotation = parameters[binding.parameter].annotation
            why = misfit(value, annotation, self._adapter) if annotation else None
            if why:
                self._say(binding, binding.key + why)

    def _expand(
        self, value: Any, holder: Binding, used: set[str], inside: tuple[str, ...]
    ) -> tuple[Any, bool]:
        """``value`` with macros replaced and selectors whole; and whether all of it was fine."""
        match value:
            case Macro():
                return self._macro(value.name, holder, used, inside)
            case Reference():
                return self._reference(value, holder)
            case list() | tuple():
                items = [self._expand(item, holder, used, inside) for item in value]
                return type(value)(item for item, _ in items), all(fine for _, fine in items)
            case dict():
                if any(isinstance(key, Reference | Macro) for key in value):
                    self._say(holder, "a key of a dict is a text or a number")
                items = [self._expand(item, holder, used, inside) for item in value.values()]
                whole = dict(zip(value, (item for item, _ in items), strict=True))
                return whole, all(fine for _, fine in items)
        return value, True

    def _macro(
        self, name: str, holder: Binding, used: set[str], inside: tuple[str, ...]
    ) -> tuple[Any, bool]:
        macro = self.macros.get(name)
        if macro is None or name in inside:
            why = f"nothing sets %{name}{near(name, self.macros)}"
            self._say(holder, f"%{name} refers to itself" if macro else why)
            return None, False
        used.add(name)
        return self._expand(macro.value, macro, used, (*inside, name))

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
        else:
            close = near(name, self.entries) or "; cifarzoo ls lists them"
        broken = "".join(
            f"; the plugin {origin} is broken: {why}" for origin, why in self.catalogue.broken
        )
        self._say(binding, f"no component {selector!r}{close}{broken}")
        return None

    def _make_adapter(self, annotation: str) -> Any:
        from pydantic import TypeAdapter

        asked = [(name, kind) for name, kind in FACTORIES.items() if name in annotation]
        kinds = {name: component_of(kind, self.catalogue) for name, kind in asked}
        try:
            return TypeAdapter(to_type(annotation, kinds))
        except (LookupError, TypeError, ValueError, SyntaxError):
            return None  # only the component's own module knows the type

    def _check_reach(self) -> None:
        """What is missing, and what has no effect."""
        for binding in self.reach.cycles:
            self._say(binding, f"{binding.key} leads back to {binding.name} itself")
        for use in self.reach.uses:
            self._check_complete(use)
        used = self.reach.used()
        useful = {macro for key in used for macro in self.macros_in[key]}
        for binding in self.bindings:
            if binding.counts and binding.key not in used and binding.name in self.entries:
                self._say(binding, f"{binding.key} changes nothing: {self._why_not(binding)}")
        for macro in self.macros.values():
            if macro.counts and macro.key not in useful:
                self._say(macro, self._unused_macro(macro))

    def _check_complete(self, use: Use) -> None:
        name, scope = use
        if name in self.misnamed:
            return  # what is missing is there under another name
        for parameter in self.entries[name].parameters:
            if parameter.default is not None or parameter.name in self.reach.uses[use]:
                continue
            kind = kind_in(parameter.annotation)
            names = sorted(e.name for e in self.entries.values() if e.kind == kind)
            expected = f"; expected {a(kind)}{some(names)}" if kind else ""
            full = "/".join([*scope, f"{name}.{parameter.name}"])
            holder = self.reach.holders[use]
            if holder is None:
                self.problems.append((1 << 62, f"{full} is not set{expected}"))
            else:
                self._say(holder, f"{full} is not set{expected}")

    def _why_not(self, binding: Binding) -> str:
        scopes = self.reach.scopes(binding.name)
        if not scopes:
            return f"this run has no @{binding.name}"
        here = [scope for scope in scopes if f"{scope}/".startswith(f"{binding.scope}/")]
        if here or not binding.scope:
            return f"each @{binding.name} here has a value of its own scope"
        named = sorted(filter(None, scopes))
        close = near(binding.scope, named, f"did you mean {{}}/{binding.name}?")
        return f"this run has no @{binding.scope}/{binding.name}{close}"

    def _unused_macro(self, macro: Binding) -> str:
        name = macro.key.rpartition("/")[2]
        if any(macro.key in macros for macros in self.macros_in.values()):
            return f"{macro.key} changes nothing: no value that this run uses has %{macro.key}"
        fields = [parameter.name for parameter in self.entries[ROOT].parameters]
        meant = near(name, fields, f"did you mean {ROOT}.{{}}?")
        if name in self.catalogue.entries:
            meant = f"; did you mean a parameter, {name}.…, or {ROOT}.… = @{name}?"
        return f"{macro.key} is set but no value is %{macro.key}{meant}"


def check(reading: Reading, catalogue: Catalogue) -> tuple[Reach, dict[str, Any], list[Entry]]:
    """What ``reading`` amounts to.

    Args:
        reading: Of a config.
        catalogue: Every component there is.

    Returns:
        What it reaches; its bindings' values by key; the components that it uses.

    Raises:
        ConfigProblemsError: Anything is wrong with it.
    """
    checked = Check(reading, catalogue)
    checked.raise_if_any()
    names = sorted({name for name, _ in checked.reach.uses if name != ROOT})
    return checked.reach, checked.values, [catalogue.entries[name] for name in names]
