"""Runs the modules of plugins from the bytes that were read, under private names.

The files of a plugin folder import each other by their own names, as scripts do that lie side by
side, or as a package does; whatever else is called so stays apart.
"""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from types import ModuleType

from cifarzoo.components.plugin_files import PluginFile
from cifarzoo.components.plugin_folders import PluginFolder, read_folder
from cifarzoo.errors import PluginError

DIGEST = "__sha256__"  # attribute of a plugin's module: of the bytes that were run


def run(file: PluginFile) -> None:
    """Run a plugin file as a module, unless the same bytes were run under its name before.

    Raises:
        PluginError: Its folder has changed since it was read.
    """
    if file.folder is None:
        _run_alone(file)
        return
    folder = file.folder
    if getattr(sys.modules.get(folder.module), DIGEST, None) != _identity(folder):
        # Its modules come from the bytes; what they read beside themselves comes from the disk.
        if read_folder(folder.path, folder.module).sha256 != folder.sha256:
            raise PluginError(
                f"{folder.path} has changed since it was read; give the command again"
            )
        _FINDER.take(folder)
    importlib.import_module(file.module)


def _run_alone(file: PluginFile) -> None:
    if getattr(sys.modules.get(file.module), DIGEST, None) == file.sha256:
        return
    spec = importlib.util.spec_from_file_location(file.module, file.path)
    if spec is None:
        raise PluginError(f"{file.path}: expected a file whose name ends in .py")
    module = importlib.util.module_from_spec(spec)
    vars(module)[DIGEST] = file.sha256
    sys.modules[file.module] = module  # before it runs: dataclasses and pickle look there
    try:
        # The bytes that were scanned, and not by its loader, which would read the file again, leave
        # a __pycache__ beside it and trust that by its date.
        exec(compile(file.content, str(file.path), "exec"), vars(module))  # noqa: S102  # is its purpose
    except BaseException:
        del sys.modules[file.module]
        raise


def _identity(folder: PluginFolder) -> str:
    """The bytes, and where they lie: a copy of the folder reads what is beside itself."""
    return f"{folder.sha256} {folder.path.resolve()}"


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of plugin folders, by their private names."""

    def __init__(self) -> None:
        self._folders: dict[str, PluginFolder] = {}

    def take(self, folder: PluginFolder) -> None:
        """Find the modules of ``folder`` from now on, in the place of those of its last version."""
        if not self._folders:
            sys.meta_path.insert(0, self)  # or Python's own would read the files again
        self._folders[folder.module] = folder
        for name in [*sys.modules]:
            if name == folder.module or name.startswith(f"{folder.module}."):
                del sys.modules[name]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module called ``fullname``, if it is one of a plugin folder."""
        del path, target
        folder = self._folders.get(fullname.partition(".")[0])
        if folder is None:
            return None
        inside = fullname.split(".")[1:]
        base, files = "/".join(inside), dict(folder.files)
        names = (f"{base}.py", f"{base}/__init__.py".lstrip("/"))
        name = next((name for name in names if name in files), None)
        is_package = name is None or name.endswith("__init__.py")
        if name is None and inside and not any(each.startswith(f"{base}/") for each in files):
            if any(f"{base}{suffix}" in files for suffix in EXTENSION_SUFFIXES):
                return None
            # Python's own finder would take what lies in the folder and is no part of the plugin:
            # no run would keep it, and no digest covers it.
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        spec = ModuleSpec(fullname, _Loader(folder, name), is_package=is_package)
        if name is not None:
            spec.origin = str(folder.path / name)
            spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [str(folder.path.joinpath(*inside))]
        return spec


class _Loader(importlib.abc.Loader):
    """Runs one file of a plugin folder; without a name, the package of a folder without a file."""

    def __init__(self, folder: PluginFolder, name: str | None) -> None:
        self._folder = folder
        self._name = name

    def exec_module(self, module: ModuleType) -> None:
        """Run the file's bytes as ``module``."""
        vars(module)[DIGEST] = _identity(self._folder)
        if self._name is None:
            return
        path = str(self._folder.path / self._name)
        tree = _BetweenSiblings(self._folder).visit(
            ast.parse(dict(self._folder.files)[self._name], path)
        )
        code = compile(ast.fix_missing_locations(tree), path, "exec")
        exec(code, vars(module))  # noqa: S102  # is its purpose


class _BetweenSiblings(ast.NodeTransformer):
    """Has imports of what lies in the same folder find it under its private name."""

    def __init__(self, folder: PluginFolder) -> None:
        self._module = folder.module
        tops = {name.partition("/")[0] for name, _ in folder.files if name.endswith(".py")}
        self._siblings = {top.removesuffix(".py") for top in tops}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:  # ast's name
        if node.level == 0 and self._is_sibling(node.module or ""):
            node.module = f"{self._module}.{node.module}"
        return node

    def visit_Import(self, node: ast.Import) -> ast.stmt:  # ast's name
        node.names = [new for alias in node.names for new in self._renamed(alias)]
        return node

    def _renamed(self, alias: ast.alias) -> list[ast.alias]:
        if not self._is_sibling(alias.name):
            return [alias]
        top = alias.name.partition(".")[0]
        private = ast.alias(f"{self._module}.{alias.name}", alias.asname or alias.name)
        if alias.asname or alias.name == top:
            return [private]
        # ``import a.b`` binds a, of which b is then an attribute.
        return [
            ast.alias(f"{self._module}.{alias.name}", f"_{top}"),
            ast.alias(f"{self._module}.{top}", top),
        ]

    def _is_sibling(self, name: str) -> bool:
        return name.partition(".")[0] in self._siblings


_FINDER = _Finder()
