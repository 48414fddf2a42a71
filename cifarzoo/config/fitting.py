"""Whether a value fits a type, element by element, and where it doesn't."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from cifarzoo.config.conversion import MEMBER, checkable, is_converted
from cifarzoo.config.values import abbreviated, written

if TYPE_CHECKING:
    from pydantic import TypeAdapter

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
    "model_type": "a dict",
    "sequence_str": "a list in square brackets",
    "none_required": "None",
}


@dataclass(frozen=True)
class Misfit:
    """What of a value doesn't fit.

    Attributes:
        place: Place inside of the value, such as ``['a'][1]``; empty: all of it.
        problem: What is wrong there, in words.
        is_range: Whether its type is right and its range isn't.
    """

    place: str
    problem: str
    is_range: bool

    def __str__(self) -> str:
        return f"{self.place} {self.problem}" if self.place else self.problem


class Fit:
    """What a type asks for.

    Attributes:
        hint: The type, as an annotation evaluates to.
        converts: Whether a value may become something else.

    Raises:
        TypeError: No value can be compared with it.
    """

    def __init__(self, hint: Any) -> None:
        from pydantic import ConfigDict, TypeAdapter
        from pydantic.errors import PydanticUserError

        self.hint = hint
        self.converts = is_converted(hint)
        options = ConfigDict(arbitrary_types_allowed=True)
        try:
            # In a holder, or a class of pydantic's own kinds would take no options.
            held: Any = tuple[checkable(hint)]  # type: ignore[misc]  # made at run time
            self._adapter: TypeAdapter[Any] = TypeAdapter(held, config=options)
        except (PydanticUserError, NameError, TypeError, RecursionError) as error:
            name = getattr(hint, "__name__", hint)
            raise TypeError(f"{name} is no type that a value can be held to") from error

    def misfit(self, value: Any, *, shown: Any = None) -> Misfit | None:
        """What of ``value`` doesn't fit; None: nothing.

        Args:
            value: Value of a parameter.
            shown: The same value as words name it; None: ``value`` itself.
        """
        from pydantic import ValidationError

        try:
            self._adapter.validate_python((value,), strict=True)
        except ValidationError as invalid:
            errors = invalid.errors(include_url=False)
            return _worded(errors, value if shown is None else shown, self.hint)
        return None

    def converted(self, value: Any) -> Any:
        """What ``value``, which fits, becomes."""
        return self._adapter.validate_python((value,), strict=True)[0] if self.converts else value


@cache
def fit(hint: Any) -> Fit:
    """What ``hint`` asks for; see ``Fit``."""
    return Fit(hint)


def _worded(errors: list[Any], value: Any, hint: Any) -> Misfit:
    found = [_located(error, value) for error in errors]
    depth = max(len(steps) for steps, _, _ in found)  # of a union, the member that fits best
    best = [(steps, at, error) for steps, at, error in found if len(steps) == depth]
    steps, at, first = best[0]
    place = "".join(f"[{written(step)}]" for step in steps)
    is_range = all(error["type"] in ("range", "none_required") for _, _, error in best)
    if first["type"] in ("missing", "key", "refused"):
        return Misfit(place, str(first["msg"]), is_range=first["type"] == "refused")
    same = (error for its, _, error in best if its == steps)
    expected = dict.fromkeys(map(_expected, same))
    if not steps and type(None) in typing.get_args(hint):
        expected["None"] = expected.pop("None", None)
    return Misfit(place, f"is {abbreviated(at)}; expected {' or '.join(expected)}", is_range)


def _located(error: Any, value: Any) -> tuple[list[Any], Any, Any]:
    """The steps into ``value`` that lead to an error, what is there, and the error."""
    steps: list[Any] = []
    at, last = value, None
    for item in error["loc"][1:]:
        last = item
        if isinstance(item, str) and item.startswith(MEMBER):
            continue
        if isinstance(at, list | tuple) and isinstance(item, int) and item < len(at):
            at = at[item]
            steps.append(item)
        elif isinstance(at, dict) and (key := _key(at, item)) is not None:
            at = at[key]
            steps.append(key)
    if last == "[key]":
        problem = f"is a key; expected {_expected(error)}"
        error = {"type": "key", "msg": problem}
    elif error["type"] == "missing":
        error = {"type": "missing", "msg": f"lacks {last!r}"}
    return steps, at, error


def _key(value: dict[Any, Any], item: Any) -> Any:
    """The key of ``value`` that pydantic calls ``item``."""
    return next((key for key in value if key == item or str(key) == item), None)


def _expected(error: Any) -> str:
    if error["type"] in ("component", "range", "member"):
        return str(error["msg"])
    if error["type"] == "literal_error":
        return str(error["ctx"]["expected"])
    if error["type"] == "is_instance_of":
        name = error["ctx"]["class"]
        return "a list in square brackets" if name == "Sequence" else f"an instance of {name}"
    if error["type"] in ("too_short", "too_long"):
        least = error["ctx"].get("min_length")
        limit = (
            f"at least {least}" if least is not None else f"at most {error['ctx']['max_length']}"
        )
        return f"{limit} of them"
    message = str(error["msg"]).removeprefix("Input should be ")
    return EXPECTED.get(error["type"], message)
