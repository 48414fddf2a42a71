"""The pages of what Python code uses, from the names that the modules call public.

These import torch, since Sphinx reads the docstrings of the objects themselves.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any, get_type_hints

from sphinx.application import Sphinx

from cifarzoo_docs.markdown import block, page, prose

MODULES = {
    "python": ("cifarzoo", "Python API: `cifarzoo`"),
    "protocols": ("cifarzoo.protocols", "Contracts of components: `cifarzoo.protocols`"),
}


def pages() -> dict[str, str]:
    """A page of directives of autodoc for each module."""
    return {name: _page(*module) for name, module in MODULES.items()}


def _page(name: str, title: str) -> str:
    module = importlib.import_module(name)
    said = prose((inspect.getdoc(module) or "").partition("\n\n")[0])
    directives = [_directive(f"{name}.{public}", value) for public, value in _public(module)]
    results = [_directive(path, value) for path, value in _results(module)]
    return page(title, said, block("{eval-rst}", "\n\n".join(directives + results)))


def _public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name in module.__all__:
        if not name.startswith("_"):
            yield name, getattr(module, name)


def _results(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """The classes of ours that public functions return and that aren't public themselves."""
    known = {id(value) for _, value in _public(module)}
    for _, function in _public(module):
        result = get_type_hints(function).get("return") if inspect.isfunction(function) else None
        if inspect.isclass(result) and id(result) not in known:
            known.add(id(result))
            if result.__module__.startswith("cifarzoo."):
                yield f"{result.__module__}.{result.__qualname__}", result


def _directive(path: str, value: Any) -> str:
    if inspect.isclass(value):
        called = "\n   :special-members: __call__" if "__call__" in vars(value) else ""
        return f".. autoclass:: {path}\n   :members:{called}"
    if inspect.isfunction(value):
        return f".. autofunction:: {path}"
    if type(value).__module__.startswith("cifarzoo."):  # an object of ours, as register is
        return f".. autodata:: {path}\n   :no-value:"
    return f".. py:data:: {path}\n   :value: {value}"


def without_constructor(
    _app: Sphinx, _what: str, _name: str, value: Any, _options: object, *_: object
) -> tuple[str, None] | None:
    """A protocol isn't constructed: it has no signature."""
    return ("", None) if getattr(value, "_is_protocol", False) else None
