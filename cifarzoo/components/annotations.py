"""What the names in an annotation stand for, read from source.

A component may say ``Variant`` where its module, or another one of its package, says
``Variant = Literal["paper", "flax2020"]``. Here such names are replaced by what they stand
for, so that an annotation can be understood without importing anything. Classes are left.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cifarzoo.components.kinds import FACTORIES
from cifarzoo.components.python_source import (
    MAX_BYTES,
    MAX_TYPE_DEPTH,
    MAX_TYPE_PARTS,
    parse,
    read,
)
from cifarzoo.errors import PluginError

# Statements whose bodies run where they stand: importing the file defines what is in them.
BLOCKS = (ast.If, ast.Try, ast.ExceptHandler, ast.With, ast.For, ast.While)
PACKAGE = Path(__file__).parents[1]
OURS = "cifarzoo"
PLUGIN = "cifarzoo_plugin_"  # what the private names of plugins' modules begin with


@dataclass
class Reading:
    """What was read of one plugin so far.

    Attributes:
        files: Files that names in others led to, by path; None: they can't be read.
        num_bytes: Bytes of all files, and of the types that they declare, written out.
    """

    files: dict[Path, Source | None] = field(default_factory=dict)
    num_bytes: int = 0

    def count(self, path: Path, num_bytes: int) -> None:
        """Count what is read next, where it isn't cifarzoo's own.

        Raises:
            PluginError: With it the plugin has too much to read.
        """
        self.num_bytes += num_bytes * (not path.is_relative_to(PACKAGE))
        if self.num_bytes > MAX_BYTES:
            raise PluginError(
                f"{path}: up to here the plugin has more than {MAX_BYTES:,} bytes of Python to "
                "read for components, types written out; expected at most so many: register "
                "components in modules of their own, and name these"
            )


@dataclass
class Source:
    """One file of Python.

    Attributes:
        path: Path of the file.
        module: Name of the module that it is imported as.
        content: Bytes of the file.
        reading: What was read of the same plugin before, and is added to.
        tree: Syntax tree of the file.
        classes: Classes at the top level of the file, by name.

    Raises:
        SyntaxError: It isn't Python.
        PluginError: With it the plugin has too much source.
    """

    path: Path
    module: str
    content: bytes
    reading: Reading = field(default_factory=Reading, repr=False)

    def __post_init__(self) -> None:
        self.reading.count(self.path, len(self.content))
        self.tree = parse(self.content, self.path)
        self.classes = {n.name: n for n in self.tree.body if isinstance(n, ast.ClassDef)}
        self._lines = self.content.splitlines()
        self._assigned = dict(_assignments(self.tree))
        self._imported = dict(_imports(self.tree))
        self._modules = dict(_modules(self.tree))
        self._origins: dict[str, str | None] = {}
        definitions = (ast.FunctionDef, ast.ClassDef)
        self._defined = {node.name for node in self.tree.body if isinstance(node, definitions)}

    def written(self, node: ast.expr) -> str:
        """``node`` as it stands in the file; on one line."""
        start, end = getattr(node, "lineno", 0), getattr(node, "end_lineno", -1)
        if start != end:
            return ast.unparse(node)
        return self._lines[start - 1][node.col_offset : node.end_col_offset].decode(
            errors="replace"
        )

    def problem(self, node: ast.stmt | ast.expr, text: str) -> PluginError:
        """What to raise where ``node`` can't be used."""
        return PluginError(f"{self.path}:{node.lineno}: {text}")

    def spelled_out(self, annotation: ast.expr) -> str:
        """The text of ``annotation`` with every name of a type alias replaced by its value.

        Raises:
            PluginError: It is too long then: an alias that names another one twice doubles it.
        """
        try:
            text = ast.unparse(_SpellOut(self, _Length(), ()).visit(annotation))
        except _TooLongError as error:
            problem = f"the type, its aliases written out, {error}; expected at most so many"
            raise self.problem(annotation, problem) from None
        self.reading.count(self.path, len(text))
        return text

    def meaning(self, name: str) -> tuple[ast.expr, Source] | None:
        """The expression that ``name`` is an alias of, and the file that holds it."""
        name, source = self._defining(name)
        return (source._assigned[name], source) if name in source._assigned else None  # noqa: SLF001

    def home(self, name: str) -> tuple[str, Source] | None:
        """The name that ``name`` has where it is defined or assigned, and that file."""
        name, source = self._defining(name)
        return (name, source) if source._has(name) else None  # noqa: SLF001

    def _has(self, name: str) -> bool:
        return name in self._assigned or name in self._defined

    def _defining(self, name: str) -> tuple[str, Source]:
        """What imports make of ``name``, and the last file that they lead to."""
        source, seen = self, set()
        while not source._has(name) and name in source._imported:
            module, original = source._imported[name]
            other = source._open(module)
            if other is None or (other.path, original) in seen:  # files that import each other
                break
            seen.add((other.path, original))
            name, source = original, other
        return name, source

    def origin(self, expression: ast.expr) -> str | None:
        """The dotted name of what ``expression`` is, where it was imported; None: it wasn't.

        ``cz.register`` is ``cifarzoo.register`` after ``import cifarzoo as cz``; other modules of
        this file's own package are followed.
        """
        match expression:
            case ast.Attribute(value=value, attr=name):
                holder = self.origin(value)
                return f"{holder}.{name}" if holder else None
            case ast.Name(id=name):
                if name not in self._origins:
                    self._origins[name] = None  # a circle ends here
                    self._origins[name] = self._origin_of_name(name)
                return self._origins[name]
        return None

    def _origin_of_name(self, name: str) -> str | None:
        if name in self._modules:
            return self._modules[name]
        if name in self._imported:
            module, original = self._imported[name]
            other = None if module.partition(".")[0] == OURS else self._open(module)
            known = other.origin(ast.Name(original)) if other else None
            return known or f"{module}.{original}"
        return self.origin(self._assigned[name]) if name in self._assigned else None

    def _open(self, module: str) -> Source | None:
        path = self._find(module)
        if path is None:
            return None
        known = _OURS if path.is_relative_to(PACKAGE) else self.reading.files
        if path not in known:
            known[path] = None  # an import cycle ends here
            try:
                known[path] = Source(path, module, read(path), self.reading)
            except (OSError, SyntaxError):
                return None
        return known[path]

    def _find(self, module: str) -> Path | None:
        """The file of another module of cifarzoo, or of this file's own package."""
        if module.startswith("."):
            name = module.lstrip(".")
            root = self.path.parents[len(module) - len(name) - 1]
            inside = name.split(".") if name else []
        else:
            top, *inside = module.split(".")
            depth = self.module.count(".") + (self.path.name == "__init__.py")
            if top == OURS:
                root = PACKAGE
            elif not depth:
                return None
            else:
                root = self.path.parents[depth - 1]
                if top != self.module.partition(".")[0]:
                    # The files of a plugin folder know each other without its name.
                    inside = [top, *inside] if self.module.startswith(PLUGIN) else []
                    if not inside:
                        return None
        base = root.joinpath(*inside)
        candidates = (base.with_suffix(".py"), base / "__init__.py")
        return next((path for path in candidates if path.is_file()), None)


_OURS: dict[Path, Source | None] = {}  # files of cifarzoo, which every plugin may lead to


class _TooLongError(Exception):
    """A type has too many parts, its aliases written out."""


@dataclass
class _Length:
    """How long a type is so far, and how deep in it the part is that is looked at."""

    num_parts: int = 0
    depth: int = 0

    def enter(self) -> None:
        self.num_parts += 1
        self.depth += 1
        if self.num_parts > MAX_TYPE_PARTS:
            raise _TooLongError(f"has more than {MAX_TYPE_PARTS:,} parts")
        if self.depth > MAX_TYPE_DEPTH:
            raise _TooLongError(f"has more than {MAX_TYPE_DEPTH} parts in one another")


class _SpellOut(ast.NodeTransformer):
    def __init__(
        self, source: Source, length: _Length, inside: tuple[tuple[Path, str], ...]
    ) -> None:
        self._source = source
        self._length = length
        self._inside = inside

    def visit(self, node: ast.AST) -> Any:
        self._length.enter()
        visited = super().visit(node)
        self._length.depth -= 1
        return visited

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:  # ast's name
        name = ast.unparse(node.value).rpartition(".")[2]
        if name == "Literal":
            return node  # what looks like a name in it is a text
        if name == "Annotated" and isinstance(node.slice, ast.Tuple):
            plain, *rest = node.slice.elts
            noted = [note if isinstance(note, ast.Constant) else self.visit(note) for note in rest]
            return ast.Subscript(node.value, ast.Tuple([self.visit(plain), *noted]), node.ctx)
        return ast.Subscript(self.visit(node.value), self.visit(node.slice), node.ctx)

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if not isinstance(node.value, str):
            return node
        try:
            text = ast.parse(node.value, mode="eval").body
        except (SyntaxError, ValueError):
            return node
        spelled: ast.expr = self.visit(text)
        return spelled

    def visit_Name(self, node: ast.Name) -> ast.expr:
        # What stands for a kind of component is left as it is.
        found = None if node.id in FACTORIES else self._source.meaning(node.id)
        if found is None:
            return node
        value, home = found
        here = (home.path, node.id)
        if here in self._inside:
            return node
        spelled: ast.expr = _SpellOut(home, self._length, (*self._inside, here)).visit(value)
        return spelled


def _assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value


def _imports(tree: ast.AST) -> Iterator[tuple[str, tuple[str, str]]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                yield alias.asname or alias.name, (module, alias.name)
        elif isinstance(node, BLOCKS):
            yield from _imports(node)


def _modules(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Each name that ``import`` gives, and the module that it stands for."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield alias.asname or top, alias.name if alias.asname else top
        elif isinstance(node, BLOCKS):
            yield from _modules(node)
