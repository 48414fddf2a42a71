"""Presets: a component under a name of its own, some of its arguments bound.

``resnet20 = register.preset(resnet, depth=20)`` at the top level of a module. The index reads
such a line from source; what is here is what running it makes.
"""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from types import CodeType, FrameType
from typing import Any, Generic, TypeVar

from cifarzoo.components.making import Making
from cifarzoo.errors import PluginError

T = TypeVar("T")
SHAPE = "NAME = register.preset(FAMILY, argument=value, ...)"


@dataclass(frozen=True)
class CallSite:
    """Where a preset is made.

    Attributes:
        name: Name that it is assigned to.
        module: Name of the module.
        path: Path of its file.
        line: Line of the call, from 1.
    """

    name: str
    module: str
    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class Preset(Generic[T]):
    """A factory that calls its family with some arguments bound, and other defaults of the rest.

    Attributes:
        family: Factory that is called.
        bound: Arguments that can't be set any more.
        defaults: Arguments that can, with the values that they have otherwise.
        num_parameters: Parameters of the network at 10 classes, as claimed.
        site: Place of the call that made it.

    Raises:
        PluginError: The family has no such parameters, or they can't be bound.
    """

    def __init__(
        self,
        family: Callable[..., T],
        *,
        site: CallSite,
        bound: Mapping[str, Any],
        defaults: Mapping[str, Any],
        num_parameters: int | None = None,
        injected: Collection[str] = (),
    ) -> None:
        takes = inspect.signature(family).parameters
        problem = preset_problem(
            site.name,
            family.__name__,
            [parameter for parameter in takes if parameter not in injected],
            injected=[parameter for parameter in takes if parameter in injected],
            bound=bound,
            defaults=defaults,
        )
        if problem:
            raise PluginError(f"{site}: {site.name}: {problem}")
        self.__name__ = self.__qualname__ = site.name
        self.__module__ = site.module
        self.__signature__ = _signature(family, bound, defaults, injected)
        self.family = family
        self.bound = dict(bound)
        self.defaults = dict(defaults)
        self.num_parameters = num_parameters
        self.site = site

    def __call__(self, *args: Any, **kwargs: Any) -> T:
        """What the family makes.

        Raises:
            TypeError: An argument is bound, unknown or missing.
        """
        for name in self.bound.keys() & kwargs:
            raise TypeError(f"{fixed(self.__name__, name)}; call {self.family.__name__}")
        given = self.__signature__.bind(*args, **kwargs).arguments
        return Making(self.family, **self.defaults, **self.bound)(**given)

    def __reduce__(self) -> str:
        return self.__name__  # pickled as a function is: by its module and name

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v!r}" for k, v in {**self.bound, **self.defaults}.items())
        return f"<preset {self.__name__}: {self.family.__name__}({settings})>"

    @property
    def source(self) -> str:
        """``file:line`` of the call that made it."""
        return str(self.site)

    @property
    def __doc__(self) -> str:  # type: ignore[override]  # of the preset, not of this class
        """The text below the call, where its source can be read."""
        try:
            tree = ast.parse("".join(linecache.getlines(self.site.path)))
        except SyntaxError:
            return ""
        texts = {node.lineno: text for node, text in documented(tree)}
        return texts.get(self.site.line, "")


def fixed(preset: str, parameter: str) -> str:
    """What to say where a bound argument is set, before what to do."""
    return f"{preset}.{parameter} is fixed by the preset"


def documented(tree: ast.Module) -> list[tuple[ast.Assign | ast.AnnAssign, str]]:
    """Each assignment at the top level of a module, with the text that stands right below it."""
    return [
        (node, _text(after))
        for node, after in zip_longest(tree.body, tree.body[1:])
        if isinstance(node, ast.Assign | ast.AnnAssign)
    ]


def _text(node: ast.stmt | None) -> str:
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return inspect.cleandoc(text)
    return ""


def preset_problem(
    name: str,
    family: str,
    parameters: Collection[str],
    *,
    injected: Collection[str],
    bound: Collection[str],
    defaults: Collection[str],
) -> str | None:
    """Why a preset of ``family`` can't bind these arguments, or None.

    Args:
        name: Name of the preset.
        family: Name of the family.
        parameters: Parameters of the family that can be set.
        injected: Parameters of the family that the engine gives.
        bound: Names of the arguments that are bound.
        defaults: Names of those that get another default.
    """
    if name == family:
        return f"the name {name!r} is its family's; pick another"
    for argument in [*bound, *defaults]:
        if argument in injected:
            return f"{argument} is given by the engine; a preset can't set it"
        if argument not in parameters:
            its = ", ".join(parameters) or "none"
            return f"{family} has no parameter {argument!r} to bind; it has {its}"
        if argument in bound and argument in defaults:
            return f"{argument} is both bound and among the defaults; expected one of them"
    if not bound and not defaults:
        return f"it sets nothing: it would be {family} under a second name"
    return None


def call_site(frame: FrameType) -> CallSite:
    """Where the call stands that ``frame`` is in, and the global name that gets its value.

    The name is taken from the instruction behind the call: a module that was typed into a
    console has no source to read.

    Raises:
        PluginError: No name gets it, or none at the top level of a module.
    """
    path, line = frame.f_code.co_filename, frame.f_lineno
    behind = (each for each in _instructions(frame.f_code) if each.offset > frame.f_lasti)
    stores = next(behind, None)
    is_global = frame.f_locals is frame.f_globals
    if not (is_global and stores and stores.opname in ("STORE_NAME", "STORE_GLOBAL")):
        raise PluginError(f"{path}:{line}: expected {SHAPE}, at the top level of a module")
    return CallSite(str(stores.argval), str(frame.f_globals["__name__"]), path, line)


@lru_cache(maxsize=1)  # for a module that makes many
def _instructions(code: CodeType) -> list[dis.Instruction]:
    return [each for each in dis.get_instructions(code) if each.opname != "EXTENDED_ARG"]


def _signature(
    family: Callable[..., Any],
    bound: Mapping[str, Any],
    defaults: Mapping[str, Any],
    injected: Collection[str],
) -> inspect.Signature:
    """The family's, without what is bound; what can be set is passed by name."""
    signature = inspect.signature(family)
    takes = [p for name, p in signature.parameters.items() if name not in bound]
    by_place = [
        p
        for p in takes
        if p.name in injected and p.default is p.empty and p.kind is not p.KEYWORD_ONLY
    ]
    by_name = [
        p.replace(kind=p.KEYWORD_ONLY, default=defaults.get(p.name, p.default))
        for p in takes
        if p not in by_place
    ]
    return signature.replace(parameters=[*by_place, *by_name])
