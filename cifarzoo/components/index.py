"""What components there are, read from source without running any of it.

A component is a top-level ``def`` or ``class`` under ``@register.<kind>``, or a top-level
``NAME = register.preset(FAMILY, ...)``, where ``register`` was imported from cifarzoo.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from cifarzoo.components.annotations import BLOCKS, Reading, Source
from cifarzoo.components.kinds import KINDS
from cifarzoo.components.preset_calls import PresetCall, preset_calls
from cifarzoo.components.presets import preset_problem
from cifarzoo.components.python_source import read, within_reason
from cifarzoo.components.registry import name_problem, signature_problem
from cifarzoo.components.root import ROOT
from cifarzoo.components.signatures import (
    Definition,
    Parameter,
    defined_names,
    parameters,
)
from cifarzoo.components.spelling import near
from cifarzoo.errors import PluginError

if TYPE_CHECKING:
    from cifarzoo.components.plugin_files import PluginFile

__all__ = ["Entry", "Parameter", "root", "scan"]
REGISTERS = (
    "cifarzoo.register",
    "cifarzoo.components.registry.register",
    "cifarzoo.registry.register",  # as it was once called: importing it then says so
)
MAX_GENERATIONS = 10  # of presets of presets; the zoo has 2
EXPECTED = "expected @register.<kind> on a top-level def or class"


@dataclass(frozen=True)
class PresetOf:
    """What makes a component a preset.

    Attributes:
        family: Entry of the component that it calls.
        bound: Parameters of the family that are bound, each with its value as default.
        num_parameters: Parameters of the network at 10 classes, as claimed.
    """

    family: Entry
    bound: tuple[Parameter, ...]
    num_parameters: int | None


@dataclass(frozen=True)
class Entry:
    """A component, as its source describes it.

    Attributes:
        kind: Name of its kind, of ``cifarzoo.components.kinds.KINDS``; ``run`` for the root.
        name: Name in configs.
        doc: Whole docstring, cleaned.
        parameters: Parameters that a config can set, in the order of the signature.
        injected: Names of the arguments that the engine gives.
        module: Name of the module that it is imported from.
        origin: Provider: ``cifarzoo``, ``distribution version`` or a file.
        path: Path of its file.
        line: Line of its ``def`` or ``class``, from 1.
        override: Whether it is registered to take the place of another.
        overridden: Component that it takes the place of, where that was found.
        file: Plugin file that it comes from; None: a package.
        preset: Family and bound arguments of a preset; None: it is none.
        defines: Methods and attributes of the class that it makes, as far as source shows them.
        is_trusted: Whether its code may be run; False: it is of a copy that lies in a run's folder,
            and this user isn't known to have run it.
    """

    kind: str
    name: str
    doc: str
    parameters: tuple[Parameter, ...]
    injected: tuple[str, ...]
    module: str
    origin: str
    path: Path
    line: int
    override: bool = False
    overridden: Entry | None = None
    file: PluginFile | None = None
    preset: PresetOf | None = None
    defines: frozenset[str] = frozenset()
    is_trusted: bool = True

    @property
    def summary(self) -> str:
        """The first line of the docstring, with the number of parameters where one is claimed."""
        line = self.doc.partition("\n")[0]
        if self.preset is None or self.preset.num_parameters is None:
            return line
        return f"{line.removesuffix('.')}: {self.preset.num_parameters / 1e6:.3g} M parameters."

    def family_with(self, parameter: str) -> Entry | None:
        """The family in which ``parameter``, which this preset binds, can be set; None: it isn't.

        A preset of a preset may bind what the other one does.
        """
        entry: Entry | None = self
        while entry is not None and parameter not in {p.name for p in entry.parameters}:
            entry = entry.preset.family if entry.preset else None
        return entry if entry is not self else None

    @property
    def source(self) -> str:
        """``path:line``."""
        return f"{self.path}:{self.line}"


@cache
def root() -> Entry:
    """The dataclass ``Run``: what a config describes, under the gin name ``run``."""
    path = Path(__file__).with_name("run.py")
    source = Source(path, "cifarzoo.components.run", path.read_bytes())
    [node] = [n for n in source.tree.body if isinstance(n, ast.ClassDef) and n.name == "Run"]
    takes = tuple(parameter for parameter, _ in parameters(node, source))
    doc = ast.get_docstring(node) or ""
    return Entry(ROOT, ROOT, doc, takes, (), source.module, "cifarzoo", path, node.lineno)


def scan(
    path: Path,
    module: str,
    origin: str,
    content: bytes | None = None,
    *,
    reading: Reading | None = None,
    check: Callable[[ast.Module], None] | None = None,
) -> list[Entry]:
    """The components that the file at ``path`` registers.

    Args:
        path: Path of a file of Python.
        module: Name of the module that it is imported as.
        origin: Provider of its components.
        content: Bytes of the file, where they were read; None: they weren't.
        reading: What was read of the same plugin before, and is added to; None: nothing.
        check: What else refuses a file, by its syntax tree.

    Raises:
        PluginError: It can't be read or isn't Python, what it registers can't be used, or the
            plugin has too much to read.
    """
    try:
        text = read(path) if content is None else content
        with within_reason(path):
            source = Source(path, module, text, reading or Reading())
            if check:
                check(source.tree)
            return _Reader(origin).entries(source)
    except OSError as error:
        raise PluginError(f"{path}: it cannot be read: {error.strerror}") from error
    except SyntaxError as error:
        where = f"{path}:{error.lineno}" if error.lineno else f"{path}"
        raise PluginError(f"{where}: {error.msg}") from error


class _Reader:
    """Reads files, and those that presets take their families from, each once."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._read: dict[Path, list[Entry]] = {}

    def entries(self, source: Source) -> list[Entry]:
        """The components that ``source`` registers, presets behind the others."""
        if source.path in self._read:
            return self._read[source.path]
        found = self._read[source.path] = []
        top = {id(node) for node in source.tree.body}
        for node in _definitions(source.tree):
            for kind, override in _registrations(node, source):
                if id(node) not in top:
                    problem = f"{node.name} is registered inside a block; move it to the top level"
                    raise source.problem(node, problem)
                found.append(_entry(node, source, kind, override=override, origin=self._origin))
        _refuse_calls(source)
        for call in preset_calls(source, {f"{register}.preset" for register in REGISTERS}):
            entry = self._preset(call, source)
            found.append(entry)  # one by one: the next may be a preset of this one
        return found

    def _preset(self, call: PresetCall, source: Source) -> Entry:
        """The entry of the family with what the call changes."""
        family = self._family(call, source)
        if _generations(family) > MAX_GENERATIONS:
            deep = f"{call.name} is a preset of presets, more than {MAX_GENERATIONS} of them"
            raise source.problem(call.node, f"{deep}; expected at most so many")
        problem = name_problem(call.name) or preset_problem(
            call.name,
            family.name,
            [parameter.name for parameter in family.parameters],
            injected=family.injected,
            bound=call.bound,
            defaults=call.defaults,
        )
        if problem:
            raise source.problem(call.node, f"{call.name}: {problem}")
        parameters = [
            replace(p, default={**call.bound, **call.defaults}.get(p.name, p.default))
            for p in family.parameters
        ]
        return replace(
            family,
            name=call.name,
            doc=call.doc,
            parameters=tuple(p for p in parameters if p.name not in call.bound),
            module=source.module,
            origin=self._origin,
            path=source.path,
            line=call.node.lineno,
            override=call.override,
            preset=PresetOf(
                family=family,
                bound=tuple(p for p in parameters if p.name in call.bound),
                num_parameters=call.num_parameters,
            ),
        )

    def _family(self, call: PresetCall, source: Source) -> Entry:
        home = source.home(call.family)
        found = self.entries(home[1]) if home else []
        for entry in found:
            if home and entry.name == home[0]:
                return entry
        problem = f"{call.name}: no component {call.family!r} is defined in this file, or imported"
        raise source.problem(
            call.node, f"{problem} from a file of its own package or of cifarzoo that registers it"
        )


def _generations(entry: Entry) -> int:
    """How many presets there are from ``entry`` to what is none."""
    number = 0
    while entry.preset is not None:
        entry, number = entry.preset.family, number + 1
    return number


def _entry(node: Definition, source: Source, kind: str, *, override: bool, origin: str) -> Entry:
    read = parameters(node, source)
    problem = signature_problem(kind, node.name, [(p.name, how) for p, how in read])
    if problem:
        raise source.problem(node, problem)
    return Entry(
        kind=kind,
        name=node.name,
        doc=ast.get_docstring(node) or "",
        parameters=tuple(p for p, _ in read if p.name not in KINDS[kind].injected),
        injected=tuple(p.name for p, _ in read if p.name in KINDS[kind].injected),
        module=source.module,
        origin=origin,
        path=source.path,
        line=node.lineno,
        override=override,
        defines=defined_names(node, source),
    )


def _definitions(tree: ast.AST) -> Iterator[Definition]:
    """Every function and class that importing the file defines, also in ``if`` and ``try``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Definition):
            yield node
        elif isinstance(node, BLOCKS):
            yield from _definitions(node)


def _registrations(node: Definition, source: Source) -> Iterator[tuple[str, bool]]:
    """(kind, override) of each ``@register.<kind>`` on ``node``."""
    for decorator in node.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = source.origin(target) or ""
        holder, _, kind = name.rpartition(".")
        if name in REGISTERS:
            problem = f"{node.name} is registered as nothing; {EXPECTED}"
            raise source.problem(node, f"{problem}, the kind one of {', '.join(KINDS)}")
        if holder not in REGISTERS:
            continue
        if kind not in KINDS:
            close = near(kind, KINDS) or f"; the kinds are {', '.join(KINDS)}"
            raise source.problem(node, f"no component kind {kind!r}{close}")
        yield kind, isinstance(decorator, ast.Call) and _override(node, source, decorator)


def _refuse_calls(source: Source) -> None:
    """Refuse ``register.<kind>(...)`` that is no decorator: only running it would tell the name.

    Raises:
        PluginError: There is one at the top level.
    """
    for node in source.tree.body:
        match node:
            case ast.Expr(value=ast.Call() as call) | ast.Assign(value=ast.Call() as call):
                called = call.func.func if isinstance(call.func, ast.Call) else call.func
                holder, _, kind = (source.origin(called) or "").rpartition(".")
                if holder in REGISTERS and kind in KINDS:
                    written = f"register.{kind}({', '.join(map(ast.unparse, call.args))})"
                    ours = "; settings under a name of their own are a register.preset"
                    problem = f"{written} is no decorator; {EXPECTED}{ours}"
                    raise source.problem(node, problem)


def _override(node: Definition, source: Source, call: ast.expr) -> bool:
    match call:
        case ast.Call(args=[], keywords=[]):
            return False
        case ast.Call(
            args=[], keywords=[ast.keyword(arg="override", value=ast.Constant(value=bool(value)))]
        ):
            return value
    expected = "expected @register.<kind> or @register.<kind>(override=True)"
    problem = f"{expected}; the component's name is that of its definition, {node.name}"
    raise source.problem(node, problem)
