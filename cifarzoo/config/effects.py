"""What a run lacks, and what is set without effect; each problem with its place in the reading."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from cifarzoo.components.index import Entry
from cifarzoo.components.kinds import KINDS
from cifarzoo.components.root import ROOT
from cifarzoo.components.spelling import closest, near
from cifarzoo.config.reader import Binding
from cifarzoo.config.resolution import Resolution, references
from cifarzoo.config.types import a, kind_in, some

LAST = 1 << 62  # the place of what has none
Problem = tuple[int, str]


def missing(
    resolution: Resolution, entries: Mapping[str, Entry], misnamed: Collection[str]
) -> Iterator[Problem]:
    """Parameters without a default that nothing sets.

    Args:
        resolution: Uses of components that the config leads to.
        entries: Entries of all components, and of ``run``, by name.
        misnamed: Components to leave out: what they lack is there under another name.
    """
    for (name, scope), bound in resolution.uses.items():
        holder = resolution.holders[name, scope]
        for parameter in entries[name].parameters:
            if parameter.default is None and parameter.name not in bound and name not in misnamed:
                kind = kind_in(parameter.annotation)
                names = sorted(entry.name for entry in entries.values() if entry.kind == kind)
                expected = f"; expected {a(kind)}{some(names)}" if kind else ""
                full = "/".join([*scope, f"{name}.{parameter.name}"])
                line = f"{full} is not set{expected}"
                yield _at(holder, line) if holder else (LAST, line)


def unused(
    resolution: Resolution, bindings: Iterable[Binding], entries: Mapping[str, Entry]
) -> Iterator[Problem]:
    """Bindings that have to have an effect and have none, or lead in a circle."""
    for binding in resolution.cycles:
        yield _at(binding, f"{binding.key} leads back to {binding.component} itself")
    used = resolution.used()
    for binding in bindings:
        if binding.counts and binding.key not in used and binding.component in entries:
            yield _at(binding, f"{binding.key} changes nothing: {_why(binding, resolution)}")


def unused_macros(
    resolution: Resolution,
    macros: Mapping[str, Binding],
    macros_in: Mapping[str, Collection[str]],
    entries: Mapping[str, Entry],
) -> Iterator[Problem]:
    """Macros that have to have an effect and have none."""
    everywhere = {name for names in macros_in.values() for name in names}
    useful = {name for key in resolution.used() for name in macros_in[key]}
    for name, macro in macros.items():
        if macro.counts and name not in everywhere:
            hint = _meant(name, resolution, entries)
            yield _at(macro, f"{name} is set but no value is %{name}{hint}")
        elif macro.counts and name not in useful:
            yield _at(macro, f"{name} changes nothing: no value that this run uses has %{name}")


def twice(resolution: Resolution, entries: Mapping[str, Entry]) -> Iterator[Problem]:
    """Lists that hold what their run may have once only, as far as source shows it."""
    for name, binding in resolution.uses.get((ROOT, ()), {}).items():
        if not isinstance(binding.value, list | tuple):
            continue
        names = [each.name for each in references(binding.value)]
        averaging = [each for each in names if "average" in entries[each].defines]
        if name == KINDS["regularizer"].run_field and len(averaging) > 1:
            these = f"has {len(averaging)} that average weights (@{', @'.join(averaging)})"
            yield _at(binding, f"{binding.key} {these}; expected at most one")
        for each in dict.fromkeys(names):
            times = names.count(each)
            if times > 1 and "at_most_once" in entries[each].defines:
                yield _at(binding, f"{binding.key} {repeated(each, times)}")


def repeated(name: str, times: int) -> str:
    """What to say of a list that has a component several times which may be there once."""
    return f"has @{name} {times} times; expected it at most once"


def _why(binding: Binding, resolution: Resolution) -> str:
    scopes = resolution.scopes(binding.component)
    if not scopes:
        return f"this run has no @{binding.component}"
    holds = [scope for scope in scopes if f"{scope}/".startswith(f"{binding.scope}/")]
    if holds or not binding.scope:
        return f"each @{binding.component} here has a value of its own scope"
    named = sorted(filter(None, scopes))
    close = near(binding.scope, named, f"did you mean {{}}/{binding.component}?")
    return f"this run has no @{binding.scope}/{binding.component}{close}"


def _meant(macro: str, resolution: Resolution, entries: Mapping[str, Entry]) -> str:
    """What the name of a macro that nothing uses may have been meant for."""
    name = macro.rpartition("/")[2]
    if name in entries and name != ROOT:
        return f"; did you mean a parameter, {name}.…, or {ROOT}.… = @{name}?"
    used = {used: entries[used] for used, _ in resolution.uses}  # run first
    every = {p.name: f"{used}.{p.name}" for used, e in reversed(used.items()) for p in e.parameters}
    found = closest(name, every)
    return f"; did you mean {every[found]}?" if found else ""


def _at(binding: Binding, problem: str) -> Problem:
    return binding.order, f"{binding.location}: {problem}"
