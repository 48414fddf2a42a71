"""Ranges of numbers, declared with a parameter: ``lr: PositiveFloat``, ``Annotated[int, Ge(2)]``.

From the declaration come what ``check`` refuses, what ``show`` prints and what the reference
says. The bounds are those of annotated-types; ``pydantic.Field(ge=0)`` says the same.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeAlias

import annotated_types
from annotated_types import Ge, Gt, Interval, Le, Lt

from cifarzoo.components.python_source import literal

PositiveInt: TypeAlias = Annotated[int, Ge(1)]
NonNegativeInt: TypeAlias = Annotated[int, Ge(0)]
FiniteFloat: TypeAlias = Annotated[float, Gt(-math.inf), Lt(math.inf)]
PositiveFloat: TypeAlias = Annotated[float, Gt(0), Lt(math.inf)]
NonNegativeFloat: TypeAlias = Annotated[float, Ge(0), Lt(math.inf)]
Probability: TypeAlias = Annotated[float, Ge(0), Le(1)]
Fraction: TypeAlias = Annotated[float, Ge(0), Lt(1)]  # such as a momentum: 1 would forget nothing

MARKERS = ("Ge", "Gt", "Le", "Lt", "Interval", "MultipleOf", "MinLen", "MaxLen", "Len")
OF_FIELDS = {  # what pydantic's Field calls them
    "ge": "Ge",
    "gt": "Gt",
    "le": "Le",
    "lt": "Lt",
    "multiple_of": "MultipleOf",
    "min_length": "MinLen",
    "max_length": "MaxLen",
}


@dataclass(frozen=True, kw_only=True)
class Range:
    """Where a number may lie.

    Attributes:
        low: Lower end; minus infinity: none.
        high: Upper end; infinity: none.
        is_above: Whether the lower end itself is outside.
        is_below: Whether the upper end itself is outside.
    """

    low: float = -math.inf
    high: float = math.inf
    is_above: bool = False
    is_below: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.is_above else value >= self.low
        below = value < self.high if self.is_below else value <= self.high
        return above and below

    @property
    def words(self) -> str:
        """The range as ``show`` prints it, such as ``0 to below 1``."""
        low, high = f"{self.low:.16g}", f"{self.high:.16g}"
        if math.isinf(self.high):
            if math.isinf(self.low):
                return "finite" if self.is_below or self.is_above else "any"
            return f"above {low}" if self.is_above else f"at least {low}"
        if math.isinf(self.low):
            return f"below {high}" if self.is_below else f"at most {high}"
        return f"{'above ' * self.is_above}{low} to {'below ' * self.is_below}{high}"

    @property
    def expected(self) -> str:
        """The range as errors name it; of finite numbers that is said."""
        if not (math.isinf(self.high) and self.is_below):
            return self.words
        if self.words == "finite":
            return "a finite number"
        return f"a number {'of ' * (not self.is_above)}{self.words}"


def range_of(bounds: Iterable[Any]) -> Range | None:
    """The range that the bounds of an annotation leave; None: there are none among them."""
    found = Range()
    for bound in _parts(bounds):
        end: Any = getattr(bound, type(bound).__name__.lower(), None)
        match bound:
            case Gt() | Ge():
                found = replace(found, low=end, is_above=isinstance(bound, Gt))
            case Lt() | Le():
                found = replace(found, high=end, is_below=isinstance(bound, Lt))
    return found if found != Range() else None


def _parts(bounds: Iterable[Any]) -> Iterator[Any]:
    for bound in bounds:
        if isinstance(bound, Interval):
            yield from bound
        elif isinstance(getattr(bound, "metadata", None), list):  # pydantic's Field
            yield from bound.metadata
        else:
            yield bound


def read_bounds(node: ast.expr) -> list[Any]:
    """The bounds that a part of ``Annotated[...]`` is; a text or a number there is none.

    Raises:
        LookupError: It is something else, which only running it could tell.
    """
    if isinstance(node, ast.Constant):
        return []
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=args):
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            if name == "Field" and not args and given.keys() <= OF_FIELDS.keys():
                marked = ((OF_FIELDS[str(key)], value) for key, value in given.items())
                return [_made(marker, [value], {}) for marker, value in marked]
            if name in MARKERS and None not in given:
                return [_made(name, args, {str(key): value for key, value in given.items()})]
    raise LookupError(ast.unparse(node))


def _made(marker: str, args: list[ast.expr], given: dict[str, ast.expr]) -> Any:
    by_name = {name: _number(node) for name, node in given.items()}
    try:
        return getattr(annotated_types, marker)(*map(_number, args), **by_name)
    except TypeError as error:
        raise LookupError(str(error)) from None


def _number(node: ast.expr) -> Any:
    if ast.unparse(node) in ("math.inf", "inf", "float('inf')", "-math.inf", "-inf"):
        return -math.inf if isinstance(node, ast.UnaryOp) else math.inf
    try:
        value = literal(node)
        float(value)
    except (ValueError, TypeError, OverflowError):
        raise LookupError(ast.unparse(node)) from None
    return value


class _Plain(ast.NodeTransformer):
    """Replaces each ``Annotated[...]`` by its type, and keeps the ranges that it says."""

    def __init__(self) -> None:
        self.ranges: list[str] = []

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:  # ast's name
        match node:
            case ast.Subscript(
                value=ast.Name(id="Annotated") | ast.Attribute(attr="Annotated"),
                slice=ast.Tuple(elts=[plain, *rest]),
            ):
                with_bounds: list[Any] = []
                for part in rest:
                    try:
                        with_bounds += read_bounds(part)
                    except LookupError:
                        continue
                if found := range_of(with_bounds):
                    self.ranges.append(found.words)
                visited: ast.expr = self.visit(plain)
                return visited
        self.generic_visit(node)
        return node


def taken_apart(annotation: str) -> tuple[str, str]:
    """The type in the text of an annotation, and the ranges that it declares, in words."""
    if "Annotated" not in annotation:
        return annotation, ""
    plain = _Plain()
    tree = plain.visit(ast.parse(annotation, mode="eval"))
    return ast.unparse(tree), ", ".join(dict.fromkeys(plain.ranges))
