"""The copies of plugins in a run's folder: where each lies, and which are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cifarzoo.components.plugin_files import Plugin, PluginFile, read_plugins
from cifarzoo.files.real_folder import FILE, FOLDER, RealFolder


def copies(plugins: Iterable[Plugin], *, kept: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """The files of plugins that a run has to keep: the place of each in its folder, and its bytes.

    Args:
        plugins: Plugins of the run.
        kept: Those that lie there already.
    """
    there = {plugin.sha256 for plugin in read_plugins(kept, variable="")}
    taken: dict[str, int] = {}
    for plugin in plugins:
        if plugin.sha256 in there:
            continue
        name = plugin.path.resolve().name
        # A folder of its own, with a number, for another plugin of the same name.
        number = taken[name] = taken.get(name, int(name.isdecimal())) + 1
        place = f"{number}/{name}" if number > 1 else name
        if isinstance(plugin, PluginFile):
            yield place, plugin.content
        else:
            yield from ((f"{place}/{inside}", content) for inside, content in plugin.files)


def paths(folder: RealFolder) -> list[Path]:
    """The plugins in ``folder``, and in its folders that are numbers.

    Raises:
        OddFileError: There is a link, a pipe or the like among them.
    """
    found: list[Path] = []
    for name in _plugins_in(folder):
        numbered = folder.below(name)
        inside = _plugins_in(numbered) if name.isdecimal() else None
        found += [folder.path / name] if inside is None else [numbered.path / n for n in inside]
    return found


def _plugins_in(folder: RealFolder) -> list[str]:
    """The names of the files and folders in ``folder`` that are plugins."""
    _check_all(folder)
    names = folder.names()
    return [name for name in names if name.endswith(".py") or folder.kind(name) == FOLDER]


def _check_all(folder: RealFolder) -> None:
    """Refuse a folder that holds a link, a pipe or the like, however deep."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        for name in here.names():
            if here.kind(name) == FOLDER:
                waiting.append(here.below(name))
            else:
                here.check(name, FILE)
