"""What a function or class takes, read from its source.

Of a class: from its ``__init__`` or its dataclass fields, also those of base classes in the
same file. What it inherits from elsewhere is not seen; ``loading.import_components`` finds out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from cifarzoo.components.annotations import Source
from cifarzoo.components.ranges import taken_apart

Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Parameter:
    """What a config can set of a component.

    Attributes:
        name: Name of the argument, as in ``component.name = value``.
        annotation: Source text of its annotation, aliases spelled out; None: it has none.
        default: Source text of its default; None: it has to be set.
    """

    name: str
    annotation: str | None
    default: str | None

    @property
    def type(self) -> str | None:
        """The annotation without the ranges that it declares."""
        return self.annotation and taken_apart(self.annotation)[0]

    @property
    def range(self) -> str:
        """The ranges that the annotation declares, in words; empty: none."""
        return taken_apart(self.annotation)[1] if self.annotation else ""


MAX_BASES = 100  # of a class; torch's deepest have 6
# With how it is passed, as a signature writes it: "" by name, "/" by position only, "*", "**".
Read = list[tuple[Parameter, str]]


def parameters(node: Definition, source: Source) -> Read:
    """What ``node`` takes, in order."""
    if isinstance(node, ast.FunctionDef):
        return _signature(node, source, skip=0)
    _lineage(node, source)  # which refuses what would take too long
    return _class_parameters(node, source, {})


def defined_names(node: Definition, source: Source) -> frozenset[str]:
    """What the class of a component defines: methods, and attributes of its body.

    Of a function the class is that which all its ``return`` statements call; of the class's
    bases those of the same file count.
    """
    if isinstance(node, ast.ClassDef):
        return _names_in(node, source)
    returned = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
    made = {ast.unparse(value.func) if isinstance(value, ast.Call) else "" for value in returned}
    cls = source.classes.get(made.pop()) if len(made) == 1 else None
    return _names_in(cls, source) if cls else frozenset()


def _names_in(cls: ast.ClassDef, source: Source) -> frozenset[str]:
    return frozenset(name for each in _lineage(cls, source) for name in _own_names(each))


def _lineage(cls: ast.ClassDef, source: Source) -> list[ast.ClassDef]:
    """``cls`` and all its base classes in the same file, each once."""
    found = {cls.name: cls}
    waiting = [cls]
    while waiting:
        new = {base.name: base for base in _bases(waiting.pop(), source) if base.name not in found}
        found |= new
        waiting += new.values()
        if len(found) > MAX_BASES:
            problem = f"{cls.name} has more than {MAX_BASES} base classes; expected at most so many"
            raise source.problem(cls, problem)
    return list(found.values())


def _bases(cls: ast.ClassDef, source: Source) -> list[ast.ClassDef]:
    """The base classes of ``cls`` in the same file."""
    found = (source.classes.get(ast.unparse(base)) for base in cls.bases)
    return [base for base in found if base is not None]


def _own_names(cls: ast.ClassDef) -> Iterator[str]:
    for item in cls.body:
        match item:
            case ast.FunctionDef(name=name):
                yield name
            case (
                ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                | ast.Assign(targets=[ast.Name(id=name)], value=value)
            ) if not _is_false(value):
                yield name


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def _class_parameters(node: ast.ClassDef, source: Source, known: dict[str, Read]) -> Read:
    """What a class takes; what its base classes do is in ``known`` after the first time."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _signature(item, source, skip=1)
    read: dict[str, tuple[Parameter, str]] = {}
    known[node.name] = []  # where classes are each other's bases
    for base in reversed(_bases(node, source)):
        if base.name not in known:
            known[base.name] = _class_parameters(base, source, known)
        read |= {parameter.name: (parameter, how) for parameter, how in known[base.name]}
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        fields = (item for item in node.body if isinstance(item, ast.AnnAssign))
        for parameter in filter(None, (_field(item, source) for item in fields)):
            read[parameter.name] = (parameter, "")
    return list(read.values())


def _field(item: ast.AnnAssign, source: Source) -> Parameter | None:
    """The argument that a field of a dataclass makes, if it makes one."""
    written = ast.unparse(item.annotation)
    if not isinstance(item.target, ast.Name) or "ClassVar" in written or "KW_ONLY" in written:
        return None
    default = item.value
    if isinstance(default, ast.Call) and ast.unparse(default.func).rpartition(".")[2] == "field":
        options = {keyword.arg: keyword.value for keyword in default.keywords}
        if "init" in options and _is_false(options["init"]):
            return None
        default = options.get("default")
        if default is None and "default_factory" in options:
            default = ast.Call(options["default_factory"], [], [])
    return _parameter(item.target.id, item.annotation, default, source)


def _signature(node: ast.FunctionDef, source: Source, skip: int) -> Read:
    of = node.args
    places = [*((a, "/") for a in of.posonlyargs), *((a, "") for a in of.args)]
    defaults: list[ast.expr | None] = [None] * (len(places) - len(of.defaults)) + [*of.defaults]
    read = [
        (_parameter(a.arg, a.annotation, default, source), how)
        for (a, how), default in zip(places, defaults, strict=True)
    ]
    if of.vararg:
        read.append((Parameter(of.vararg.arg, None, None), "*"))
    for a, default in zip(of.kwonlyargs, of.kw_defaults, strict=True):
        read.append((_parameter(a.arg, a.annotation, default, source), ""))
    if of.kwarg:
        read.append((Parameter(of.kwarg.arg, None, None), "**"))
    return read[skip:]


def _parameter(
    name: str, annotation: ast.expr | None, default: ast.expr | None, source: Source
) -> Parameter:
    return Parameter(
        name,
        source.spelled_out(annotation) if annotation else None,
        source.written(default) if default else None,
    )
