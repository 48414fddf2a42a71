"""Types of parameters, from the text of their annotations.

The text is taken apart and never evaluated, since a plugin may have written it.
"""

from __future__ import annotations

import ast
import typing
from collections import abc
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from cifarzoo.components.kinds import FACTORIES, KINDS
from cifarzoo.components.plugins import Catalogue
from cifarzoo.components.python_source import literal
from cifarzoo.components.ranges import read_bounds
from cifarzoo.components.spelling import near
from cifarzoo.config.values import Reference

TYPES: dict[str, Any] = {
    **{t.__name__: t for t in (bool, int, float, complex, str, bytes, list, tuple, dict, object)},
    **{t.__name__: t for t in (set, frozenset, Path, PurePath)},
    **{name: getattr(abc, name) for name in ("Sequence", "Mapping", "Iterable", "Collection")},
    **{name: getattr(abc, name) for name in ("Set", "MutableSequence", "MutableMapping")},
    **{name: getattr(typing, name) for name in ("Any", "Optional", "Union", "Literal")},
    "AbstractSet": abc.Set,
    **{t.__name__.title(): t for t in (list, tuple, dict)},
    "FrozenSet": frozenset,
}


def to_type(annotation: str, factories: Mapping[str, Any]) -> Any:
    """The type that ``annotation`` stands for.

    Args:
        annotation: Source text of the annotation, its aliases spelled out.
        factories: Types to take for ``ArchitectureFactory`` and its like, by name.

    Raises:
        LookupError: It holds something else than plain types.
    """
    return _to_type(ast.parse(annotation, mode="eval").body, {**TYPES, **factories})


def _to_type(node: ast.expr, names: Mapping[str, Any]) -> Any:  # noqa: PLR0911  # a case a form
    match node:
        case ast.Constant(value=value) if value is None or value is ...:
            return value
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return names[name]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return typing.Union[_to_type(left, names), _to_type(right, names)]  # noqa: UP007
        case ast.Subscript(value=ast.Name(id="Literal") | ast.Attribute(attr="Literal")):
            choices = literal(node.slice)
            return typing.Literal[choices]
        case ast.Subscript(
            value=ast.Name(id="Annotated") | ast.Attribute(attr="Annotated"),
            slice=ast.Tuple(elts=[plain, *rest]),
        ):
            bounds = [bound for part in rest for bound in read_bounds(part)]
            return _bounded(_to_type(plain, names), bounds)
        case ast.Call(
            func=ast.Name(id="NewType") | ast.Attribute(attr="NewType"), args=[_, supertype]
        ):
            return _to_type(supertype, names)
        case ast.Subscript(value=base, slice=ast.Tuple(elts=arguments)):
            return _to_type(base, names)[tuple(_to_type(a, names) for a in arguments)]
        case ast.Subscript(value=base, slice=argument):
            return _to_type(base, names)[_to_type(argument, names)]
    raise LookupError(ast.unparse(node))


def _bounded(plain: Any, bounds: list[Any]) -> Any:
    return typing.Annotated[(plain, *bounds)] if bounds else plain


def component_of(kind: str, catalogue: Catalogue) -> Any:
    """A type whose only values are references to components of ``kind``."""
    from pydantic import AfterValidator
    from pydantic_core import PydanticCustomError

    names = sorted(entry.name for entry in catalogue.entries.values() if entry.kind == kind)

    def check(value: Any) -> Any:
        name = value.name if isinstance(value, Reference) else None
        entry = catalogue.entries.get(name) if name else None
        if name is None or (entry is not None and entry.kind != kind):
            meant = near(value, names, "did you mean @{}?") if isinstance(value, str) else ""
            raise PydanticCustomError("component", "{a}", {"a": a(kind) + (meant or some(names))})
        return value  # that there is no such component was said before

    return typing.Annotated[Any, AfterValidator(check)]


def a(kind: str) -> str:
    """``kind`` with its article, where it is a word for one."""
    if KINDS[kind].plural == kind:
        return kind
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def some(names: list[str]) -> str:
    """``, such as @one, @two``: the first few of ``names``."""
    if not names:
        return ""
    return f" (@{', @'.join(names[:6])}{', …' * (len(names) > 6)})"


def kind_in(annotation: str | None) -> str | None:
    """The kind of component that ``annotation`` asks for, if any."""
    return next((kind for name, kind in FACTORIES.items() if name in (annotation or "")), None)
