"""Components that a script or a notebook registered itself: read from the live functions.

They stand in ``__main__``, which the index can't read: a notebook has no file, and a script's
may have changed since it was started. Running a cell again replaces what it registered before.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import linecache
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FunctionType
from typing import Any

from cifarzoo.components import protocols, regularizers
from cifarzoo.components.index import Entry
from cifarzoo.components.kinds import FACTORIES, KINDS
from cifarzoo.components.registry import SESSION, Component, register
from cifarzoo.components.signatures import Parameter


def session_entries() -> list[Entry]:
    """The components that ``__main__`` of this process registered."""
    return [entry_of(each) for (module, _), each in register.known.items() if module == SESSION]


def is_of_session(entry: Entry) -> bool:
    """Whether ``entry`` was registered by a script or a notebook, and other processes lack it."""
    return entry.module == SESSION


def registered_unnamed(name: str) -> str:
    """What to say of a component that only a module imported by this process registered.

    Returns:
        Where, and how configs get to know it, to follow a semicolon; nothing: there is none.
    """
    for (module, registered), component in register.known.items():
        if registered == name and module != SESSION:
            path = component.source.rpartition(":")[0]
            return (
                f"{component.source} registered it, in a module that was imported; configs know "
                f"the components of files that are named: plugins=[{path!r}]"
            )
    return ""


def source_digest(entry: Entry) -> str | None:
    """SHA-256 (hex) of the source text of a component of this session; None: it has none.

    The text is that of its function or class alone; what they call may change without it.
    """
    component = register.known.get((entry.module, entry.name))
    text = _source(component.factory) if component else None
    return hashlib.sha256(text.encode()).hexdigest() if text else None


def entry_of(component: Component) -> Entry:
    """A registered component as the index describes one, from its live function."""
    kind = KINDS[component.kind]
    takes = inspect.signature(component.factory).parameters.values()
    path, _, line = component.source.rpartition(":")
    return Entry(
        kind=component.kind,
        name=component.name,
        doc=inspect.getdoc(component.factory) or "",
        parameters=tuple(_parameter(p) for p in takes if p.name not in kind.injected),
        injected=tuple(p.name for p in takes if p.name in kind.injected),
        module=component.module,
        origin=component.module,
        path=Path(path or component.module),
        line=int(line) if line.isdecimal() else 0,
        override=component.override,
    )


def _parameter(parameter: inspect.Parameter) -> Parameter:
    has_default = parameter.default is not inspect.Parameter.empty
    return Parameter(
        parameter.name,
        _annotation(parameter.annotation),
        repr(parameter.default) if has_default else None,
    )


def _annotation(annotation: Any) -> str | None:
    """The source text of an annotation, the types of components' factories by their names."""
    if annotation is inspect.Parameter.empty:
        return None
    if isinstance(annotation, str):
        return annotation
    contracts = {**vars(protocols), **vars(regularizers)}
    for alias in FACTORIES:
        if annotation == contracts[alias]:
            return alias
    return inspect.formatannotation(annotation)


def _source(factory: Callable[..., Any]) -> str | None:
    plain = inspect.unwrap(factory)
    try:
        return inspect.getsource(plain)
    except (OSError, TypeError):
        return _source_of_class(plain) if isinstance(plain, type) else None


def _source_of_class(cls: type) -> str | None:
    """The source of a class of a notebook, which Python looks for in a file of ``__main__``."""
    methods: Iterable[FunctionType] = (m for m in vars(cls).values() if inspect.isfunction(m))
    for file in dict.fromkeys(method.__code__.co_filename for method in methods):
        text = "".join(linecache.getlines(file))
        try:
            found = [
                node
                for node in ast.walk(ast.parse(text))
                if isinstance(node, ast.ClassDef) and node.name == cls.__name__
            ]
        except SyntaxError:  # a cell with a command of IPython's
            continue
        if found:
            return ast.get_source_segment(text, found[-1])
    return None
