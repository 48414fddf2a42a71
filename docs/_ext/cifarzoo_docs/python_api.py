"""The pages of what Python code uses, from the names that the modules call public.

These import torch, since Sphinx reads the docstrings of the objects themselves.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from textwrap import indent
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx

from cifarzoo.components.reference import parse_docstring
from cifarzoo_docs.markdown import block, code, page, prose

MODULES = {
    "python": ("cifarzoo", "Python API"),
    "protocols": ("cifarzoo.protocols", "Contracts of components"),
    "testing": ("cifarzoo.testing", "Tests of components"),
}

_MODULES = re.compile(r"\b(?:collections\.abc|typing|cifarzoo(?:\.\w+)*)\.")  # before a name


def pages() -> dict[str, str]:
    """A page of directives of autodoc for each module."""
    return {name: _page(*module) for name, module in MODULES.items()}


def _page(name: str, title: str) -> str:
    module = importlib.import_module(name)
    said = f"{code(f'import {name}')}. " + prose(
        (inspect.getdoc(module) or "").partition("\n\n")[0]
    )
    directives = [_directive(f"{name}.{public}", value) for public, value in _public(module)]
    results = [_directive(path, value) for path, value in _results(module)]
    here = f".. py:currentmodule:: {name}"
    return page(title, said, block("{eval-rst}", "\n\n".join([here, *directives, *results])))


def _public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name in module.__all__:
        value = getattr(module, name)
        if not (name.startswith("_") or inspect.ismodule(value)):  # these have pages of their own
            yield name, value


def _results(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """The classes of ours that public functions return and that aren't public themselves."""
    known = {id(value) for _, value in _public(module)}
    for _, function in _public(module):
        result = _returned(function) if inspect.isfunction(function) else None
        if inspect.isclass(result) and id(result) not in known:
            known.add(id(result))
            if result.__module__.startswith("cifarzoo."):
                yield f"{result.__module__}.{result.__qualname__}", result


def _returned(function: Any) -> Any:
    """What the function's annotation names, also where only type checkers import it."""
    name = inspect.get_annotations(function).get("return")
    home = importlib.import_module(function.__module__)
    if not isinstance(name, str):
        return name
    if name in vars(home):
        return vars(home)[name]
    nodes = ast.walk(ast.parse(inspect.getsource(home)))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    homes = [node.module for node in imports if name in {found.name for found in node.names}]
    return getattr(importlib.import_module(homes[0]), name) if homes else None


def _directive(path: str, value: Any) -> str:
    if inspect.isclass(value):
        called = "\n   :special-members: __call__" if "__call__" in vars(value) else ""
        return f".. autoclass:: {path}\n   :members:{called}"
    is_ours = type(value).__module__.startswith("cifarzoo.")  # an object, as register is
    if inspect.isfunction(value) or (is_ours and callable(value)):
        return f".. autofunction:: {path}"
    if is_ours:
        said = parse_docstring(inspect.getdoc(value) or "").text
        return f".. py:data:: {path.rpartition('.')[2]}\n\n{indent(said, '   ')}"
    return f".. py:data:: {path.rpartition('.')[2]}\n   :value: {_MODULES.sub('', str(value))}"


def without_constructor(
    _app: Sphinx, _what: str, _name: str, value: Any, _options: object, *_: object
) -> tuple[str, None] | None:
    """A protocol isn't constructed: it has no signature."""
    return ("", None) if getattr(value, "_is_protocol", False) else None
