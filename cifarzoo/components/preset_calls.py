"""Calls of ``register.preset``, read from source."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from cifarzoo.components.annotations import Source
from cifarzoo.components.presets import SHAPE, documented
from cifarzoo.components.python_source import literal

OPTIONS = ("defaults", "num_parameters", "override")


@dataclass(frozen=True, kw_only=True)
class PresetCall:
    """What one call says; values are source text.

    Attributes:
        node: Statement that it stands in.
        name: Name that it is assigned to.
        doc: Text below it, cleaned.
        family: Name of the family, as this file has it.
        bound: Values of the arguments that are bound.
        defaults: Other defaults of arguments that can still be set.
        num_parameters: Parameters of the network, as claimed.
        override: Whether it takes the place of another component of its name.
    """

    node: ast.stmt
    name: str
    doc: str
    family: str
    bound: dict[str, str]
    defaults: dict[str, str]
    num_parameters: int | None
    override: bool


def preset_calls(source: Source, presets: Collection[str]) -> Iterator[PresetCall]:
    """Every call in the file, in order.

    Args:
        source: A file.
        presets: Dotted names of what makes one.

    Raises:
        PluginError: A call isn't assigned to a name at the top level, or its values are no
            literals.
    """
    if b"preset" not in source.content:  # walking through every file would take its time
        return
    calls = [
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and source.origin(node.func) in presets
    ]
    statements = {id(node.value): (node, doc) for node, doc in documented(source.tree)}
    for call in calls:
        node, doc = statements.get(id(call), (None, ""))
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield _read(source, node, call, name=name, doc=doc)
            case _:
                raise source.problem(call, f"expected {SHAPE}, at the top level of the file")


def _read(source: Source, node: ast.stmt, call: ast.Call, *, name: str, doc: str) -> PresetCall:
    if len(call.args) != 1 or not isinstance(call.args[0], ast.Name):
        problem = f"{name}: expected the family's own name, and nothing else by position"
        raise source.problem(call, problem)
    given: dict[str, ast.expr] = {}
    for keyword in call.keywords:
        if keyword.arg is None or not _is_literal(keyword.value):
            problem = f"{name}: {keyword.arg or '**'} is no literal; presets are read from source"
            raise source.problem(keyword.value, problem)
        given[keyword.arg] = keyword.value
    options = {key: literal(given.pop(key)) for key in OPTIONS if key in given}
    return PresetCall(
        node=node,
        name=name,
        doc=doc,
        family=call.args[0].id,
        bound={key: source.written(value) for key, value in given.items()},
        defaults={key: repr(value) for key, value in options.get("defaults", {}).items()},
        num_parameters=options.get("num_parameters"),
        override=options.get("override", False),
    )


def _is_literal(node: ast.expr) -> bool:
    try:
        literal(node)
    except ValueError:
        return False
    return True
