"""What a function or class takes, read from its source.

Of a class: from its ``__init__`` or its dataclass fields, also those of base classes in the
same file. What it inherits from elsewhere is not seen; ``loading.import_components`` finds out.
"""

from __future__ import annotations

import ast
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


# With how it is passed, as a signature writes it: "" by name, "/" by position only, "*", "**".
Read = list[tuple[Parameter, str]]


def parameters(node: Definition, source: Source) -> Read:
    """What ``node`` takes, in order."""
    if isinstance(node, ast.FunctionDef):
        return _signature(node, source, skip=0)
    classes = {n.name: n for n in source.tree.body if isinstance(n, ast.ClassDef)}
    return _class_parameters(node, source, classes)


def defined_names(node: Definition, source: Source) -> frozenset[str]:
    """What the class of a component defines: methods, and attributes of its body.

    Of a function the class is that which all its ``return`` statements call; of the class's
    bases those of the same file count.
    """
    classes = {n.name: n for n in source.tree.body if isinstance(n, ast.ClassDef)}
    if isinstance(node, ast.ClassDef):
        return _names_in(node, classes)
    returned = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
    made = {ast.unparse(value.func) if isinstance(value, ast.Call) else "" for value in returned}
    cls = classes.get(made.pop()) if len(made) == 1 else None
    return _names_in(cls, classes) if cls else frozenset()


def _names_in(cls: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> frozenset[str]:
    found = {item.name for item in cls.body if isinstance(item, ast.FunctionDef)}
    for item in cls.body:
        match item:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case _:
                continue
        if ast.unparse(value) != "False":
            found.add(name)
    bases = (classes.get(ast.unparse(base)) for base in cls.bases)
    inherited = (_names_in(base, classes) for base in bases if base and base is not cls)
    return frozenset(found).union(*inherited)


def _class_parameters(node: ast.ClassDef, source: Source, classes: dict[str, ast.ClassDef]) -> Read:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _signature(item, source, skip=1)
    read: dict[str, tuple[Parameter, str]] = {}
    for base in reversed(node.bases):
        parent = classes.get(ast.unparse(base))
        if parent is not None and parent is not node:
            inherited = _class_parameters(parent, source, classes)
            read |= {parameter.name: (parameter, how) for parameter, how in inherited}
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
        if "init" in options and ast.unparse(options["init"]) == "False":
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
        ast.unparse(source.spelled_out(annotation)) if annotation else None,
        source.written(default) if default else None,
    )
