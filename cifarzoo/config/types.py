"""Types of parameters, from the text of their annotations, and what doesn't fit them.

The text is taken apart and never evaluated, since a plugin may have written it.
"""

from __future__ import annotations

import ast
import typing
from collections import abc
from collections.abc import Callable, Mapping
from typing import Any

from cifarzoo.components.kinds import FACTORIES, KINDS
from cifarzoo.components.plugins import Catalogue
from cifarzoo.components.spelling import near
from cifarzoo.config.values import Reference, abbreviated

TYPES: dict[str, Any] = {
    **{t.__name__: t for t in (bool, int, float, complex, str, bytes, list, tuple, dict, object)},
    **{name: getattr(abc, name) for name in ("Sequence", "Mapping", "Iterable", "Collection")},
    **{name: getattr(typing, name) for name in ("Any", "Optional", "Union", "Literal")},
}
# pydantic's kinds of error, and what was expected then
EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "True or False",
    "string_type": "a text in quotes",
    "list_type": "a list in square brackets",
    "tuple_type": "a tuple in round brackets",
    "dict_type": "a dict",
    "mapping_type": "a dict",
    "is_instance_of": "a list in square brackets",
    "sequence_str": "a list in square brackets",
    "none_required": "None",
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


def _to_type(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value) if value is None or value is ...:
            return value
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return names[name]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return typing.Union[_to_type(left, names), _to_type(right, names)]  # noqa: UP007
        case ast.Subscript(value=ast.Name(id="Literal") | ast.Attribute(attr="Literal")):
            choices = ast.literal_eval(node.slice)
            return typing.Literal[choices]
        case ast.Subscript(value=base, slice=ast.Tuple(elts=arguments)):
            return _to_type(base, names)[tuple(_to_type(a, names) for a in arguments)]
        case ast.Subscript(value=base, slice=argument):
            return _to_type(base, names)[_to_type(argument, names)]
    raise LookupError(ast.unparse(node))


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


def misfit(value: Any, annotation: str, adapter: Callable[[str], Any]) -> str | None:
    """What of ``value`` doesn't fit ``annotation``, to follow the parameter's name, or None.

    Args:
        value: Value of the parameter, its macros replaced.
        annotation: Source text of the annotation, its aliases spelled out.
        adapter: Maker of a pydantic ``TypeAdapter`` from it; it gives None where it isn't
            understood.
    """
    from pydantic import ValidationError

    fits = adapter(annotation)
    if fits is None:
        return None
    try:
        fits.validate_python(value, strict=True)
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False)
    else:
        return None
    places = [tuple(i for i in error["loc"] if isinstance(i, int)) for error in errors]
    place = max(places, key=len)  # of a union, the member that fits best
    expected = dict.fromkeys(
        _expected(error) for error, its in zip(errors, places, strict=True) if its == place
    )
    if not place and annotation.endswith("| None"):
        expected["None"] = None
    for index in place:
        value = value[index]
    where = "".join(f"[{index}]" for index in place)
    return f"{where} is {abbreviated(value)}; expected {' or '.join(expected)}"


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


def _expected(error: Any) -> str:
    if error["type"] == "component":
        return str(error["msg"])
    if error["type"] == "literal_error":
        return str(error["ctx"]["expected"])
    message = str(error["msg"]).removeprefix("Input should be ")
    return EXPECTED.get(error["type"], message)
