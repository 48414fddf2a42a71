"""Which copies of plugins in runs' folders are run without being asked for.

A run's folder may come from somebody else, and its plugins are code. The digests of plugins that
runs of this user's own began with are kept, an own file each, so that processes on any number of
hosts add to them at once. What is named by ``--plugin`` is trusted by being named.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cifarzoo.components.plugin_folders import PluginFolder, not_covered
from cifarzoo.components.user_paths import expanded
from cifarzoo.errors import UntrustedPluginError, UsageError

if TYPE_CHECKING:
    from cifarzoo.components.index import Entry
    from cifarzoo.components.plugin_files import Plugin

VARIABLE = "CIFARZOO_STATE"
KNOWN = "plugins"  # folder of the digests
OPTION = "--trust-plugins (in Python trust_plugins=True)"
SHORT = 12  # hexadecimal digits of a SHA-256 in a message
OF_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def state_folder() -> Path:
    """Where cifarzoo keeps what it knows of this user from one run to the next.

    Raises:
        UsageError: ``CIFARZOO_STATE`` isn't set, and there is no home folder.
    """
    if given := os.environ.get(VARIABLE):
        return expanded(given).absolute()
    of_desktop = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not of_desktop.is_absolute():  # as its specification has it
        of_desktop = expanded("~/.local/state")
    return of_desktop / "cifarzoo"


def is_known(plugin: Plugin) -> bool:
    """Whether a run of this user's own began with a plugin of these bytes, and of no others."""
    if isinstance(plugin, PluginFolder) and not_covered(plugin):
        return False
    try:
        with _opened(state_folder() / KNOWN) as folder:
            return _is_noted(plugin, folder)
    except (OSError, UsageError):
        return False


def remember(plugins: Iterable[Plugin]) -> str:
    """Note that this user runs plugins; the copies that runs keep of them are known from then on.

    Returns:
        Why they can't be, in a line; nothing: they are.
    """
    plugins = list(plugins)
    if not plugins:
        return ""
    try:
        folder = state_folder()
        for each in (folder, folder / KNOWN):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _opened(folder / KNOWN) as descriptor:
            for plugin in plugins:
                _note(plugin, descriptor)
    except OSError as error:
        problem = f"{error.filename or state_folder()}: {error.strerror}"
    except UsageError as error:
        problem = str(error)
    else:
        return ""
    return (
        f"the run's plugins cannot be noted as yours ({problem}): what continues or tests it will "
        f"need {OPTION}; {VARIABLE} names a folder that can be written to"
    )


def check_trusted(entries: Iterable[Entry]) -> None:
    """Refuse components of a run's own copies that nobody has vouched for.

    Raises:
        UntrustedPluginError: There are any.
    """
    found = shown(entry for entry in entries if not entry.is_trusted)
    if found:
        raise UntrustedPluginError(
            f"{' and '.join(found)} came with the run, and no run of yours is known to have begun "
            f"with {'it' if len(found) == 1 else 'them'}; it is code: read it, then give {OPTION}"
        )


def shown(entries: Iterable[Entry]) -> list[str]:
    """The plugin files and folders of components, in words, with what they take the place of."""
    replaced: dict[Plugin, list[str]] = {}
    for entry in entries:
        if entry.file:
            names = replaced.setdefault(entry.file.plugin, [])
            names += [entry.name] * (entry.overridden is not None)
    return [_in_words(plugin, names) for plugin, names in replaced.items()]


def _in_words(plugin: Plugin, replaced: list[str]) -> str:
    facts = [f"SHA-256 {plugin.sha256[:SHORT]}…"]
    if replaced:
        facts.append(f"replaces {', '.join(replaced)}")
    if isinstance(plugin, PluginFolder) and (name := not_covered(plugin)):
        facts.append(f"beside {name}, which no run keeps")
    return f"{plugin.path} ({', '.join(facts)})"


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """A descriptor of ``folder``, if it is this user's alone.

    Raises:
        OSError: It isn't, or isn't there.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = os.fstat(descriptor)
        if not _is_own(found) or found.st_mode & OF_OTHERS:
            raise PermissionError(0, "others can write to it; expected a folder of yours, mode 700",
                                  str(folder))  # fmt: skip
        yield descriptor
    finally:
        os.close(descriptor)


def _note(plugin: Plugin, folder: int) -> None:
    with suppress(FileExistsError):
        file = os.open(plugin.sha256, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
        with open(file, "w", encoding="utf-8", errors="replace") as text:  # noqa: PTH123  # a descriptor
            text.write(f"{plugin.path.absolute()}\n")  # for who looks; the name is what counts
    if not _is_noted(plugin, folder):
        path = state_folder() / KNOWN / plugin.sha256
        raise PermissionError(0, "it is no file of yours; delete it", str(path))


def _is_noted(plugin: Plugin, folder: int) -> bool:
    try:
        found = os.stat(plugin.sha256, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and _is_own(found)


def _is_own(found: os.stat_result) -> bool:
    """Whether it belongs to this user, or to root, who can do anything here anyway."""
    return found.st_uid in (os.geteuid(), 0)
