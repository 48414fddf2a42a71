"""Whether a folder holds the run that a config describes.

A run is the values that decide its numbers, the code of its plugins, and its data. The first two
are compared here, before anything is built; the data, which are read last, by ``engine.resume``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifarzoo.components.plugin_files import read_plugins
from cifarzoo.components.plugins import plugin_provenance
from cifarzoo.components.registry import SESSION
from cifarzoo.config import Config
from cifarzoo.config.effective import (
    EffectiveValue,
    decides_numbers,
    effective_values,
    is_same,
    read_values,
    resolved_text,
    run_first,
)
from cifarzoo.config.values import written
from cifarzoo.errors import UsageError
from cifarzoo.run_folders.folder import CONFIG, PLUGINS, RESOLVED, RunFolder, holds_run
from cifarzoo.run_folders.provenance import own_code

SHORT = 12  # hexadecimal digits of a SHA-256 in a message
SESSION_PREFIX = f"{SESSION}."  # of the origins of what a script or notebook registered
Plugin = Mapping[str, str]  # an entry of ``plugin_provenance``


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A run that exists, compared with a config.

    Attributes:
        values: Differences in values that decide numbers, a phrase each.
        plugins: Plugins whose code differs: the run's own and the config's, None where one
            hasn't it.
        unknown: Parameters that one of the two doesn't know, a line each.
    """

    values: tuple[str, ...]
    plugins: tuple[tuple[Plugin | None, Plugin | None], ...]
    unknown: tuple[str, ...]

    @property
    def differences(self) -> str:
        """What makes them two runs, to follow the folder's path; nothing: they are one."""
        what = "another config" if self.values else "other plugin code"
        return f"holds a run of {what}: {'; '.join(self.phrases)}" if self.phrases else ""

    @property
    def phrases(self) -> list[str]:
        """What makes them two runs, a phrase each, with both sides."""
        return [*self.values, *(_in_words(old, new) for old, new in self.plugins)]


def compare(
    folder: RunFolder, config: Config, *, counts: Callable[[str], bool] = decides_numbers
) -> Comparison:
    """Compare the run in ``folder`` with ``config``, defaults counted.

    Args:
        folder: Folder of the run.
        config: Config that it is compared with.
        counts: Whether a difference in the value of that name is one.

    Raises:
        UsageError: Its files can't be read, or an older cifarzoo wrote them and ``config`` lacks
            components that it needs.
    """
    values: list[str] = []
    unknown: list[str] = []
    for is_known, phrase in _differing(_recorded(folder, config), effective_values(config), counts):
        (values if is_known else unknown).append(phrase)
    there, here = folder.record.get("plugins"), plugin_provenance(config.components())
    plugins = [] if there is None else [*_differing_plugins(there, here)]
    return Comparison(values=tuple(values), plugins=tuple(plugins), unknown=tuple(unknown))


def check_same_run(folder: RunFolder, config: Config) -> list[str]:
    """Refuse to go on in ``folder`` with what isn't its run.

    Returns:
        What may not be meant, a line each: parameters that came or went, other code of cifarzoo.

    Raises:
        UsageError: The values or the plugins are others: which, with both sides.
    """
    found = compare(folder, config)
    if found.differences:
        raise UsageError(f"{folder.path} {found.differences}; {_way_on(folder, found)}")
    notes = [*found.unknown, *_other_code(folder.record)]
    if folder.has_begun and folder.resolved_text is None:
        notes.append(
            f"{folder.path} was begun by a cifarzoo that kept no defaults: today's are taken for "
            "those it began with"
        )
    return notes


def trained_otherwise(folder: RunFolder, config: Config) -> list[str]:
    """What a network that is loaded by ``config`` has otherwise than in training, a line each."""
    found = compare(folder, config)
    return [f"{folder.path} was trained otherwise: {phrase}" for phrase in found.phrases]


def holds(path: Path, config: Config) -> bool:
    """Whether ``path`` holds a run of ``config``; False: of none.

    Raises:
        UsageError: It holds another run, or is no path of a folder.
    """
    if not holds_run(path):
        return False
    check_same_run(RunFolder(path), config)
    return True


def keep_identity(folder: RunFolder, config: Config) -> None:
    """Write what makes the run beside its config, if that isn't there.

    Raises:
        UsageError: The folder cannot be written to.
    """
    if not folder.has_begun:
        folder.keep_plugins(config.plugin_files())
    if folder.resolved_text is None:
        folder.keep_resolved(resolved_text(config))


def _recorded(folder: RunFolder, config: Config) -> dict[str, Any]:
    """The values that the run in ``folder`` began with, by name."""
    if (text := folder.resolved_text) is not None:
        return read_values(text)
    if folder.config_text != config.text():
        config = config.reread(folder.config_text, str(folder.path / CONFIG))
    return {name: value.value for name, value in effective_values(config).items()}


def _differing(
    there: Mapping[str, Any], here: Mapping[str, EffectiveValue], counts: Callable[[str], bool]
) -> Iterator[tuple[bool, str]]:
    """Differing values, a phrase each, after whether both sides know the parameter.

    What only one side has of a component that the other doesn't use is no difference of its own.
    """
    shared = {_holder(name) for name in there} & {_holder(name) for name in here}
    for name in sorted({*there, *here}, key=run_first):
        if not counts(name) or _holder(name) not in shared:
            continue
        if name not in here:
            yield False, f"{name} was {written(there[name])} when this run began and is gone here"
            continue
        value = here[name]
        own = f"{value.source} here{f' ({value.origin})' * value.is_default}"
        if name in there:
            if not is_same(there[name], value.value):
                yield True, f"{name} is {written(there[name])} there and {own}"
        elif value.is_default:
            yield False, f"{name} was not known when this run began and is {own}"
        else:
            yield True, f"{name} is not known there and {own}"


def _holder(name: str) -> str:
    return name.rpartition(".")[0]


def _differing_plugins(
    there: Sequence[Plugin], here: Sequence[Plugin]
) -> Iterator[tuple[Plugin | None, Plugin | None]]:
    """Plugins whose code differs, by name; one that has moved or has a new name doesn't."""
    kept = {plugin_code(plugin) for plugin in there} & {plugin_code(plugin) for plugin in here}
    before = {plugin_name(plugin): plugin for plugin in there if plugin_code(plugin) not in kept}
    after = {plugin_name(plugin): plugin for plugin in here if plugin_code(plugin) not in kept}
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        can_tell = old is None or new is None or ("sha256" in old and "sha256" in new)
        if can_tell or (old and new and old["origin"] != new["origin"]):
            yield old, new


def _in_words(old: Plugin | None, new: Plugin | None) -> str:
    if old and new:
        return f"{_shown(old)} there and {_shown(new)} here"
    if old:
        return f"{plugin_name(old)} is part of it there and not here"
    return f"{plugin_name(new)} is part of it here and not there" if new else ""


def plugin_code(plugin: Plugin) -> str:
    """What tells the code of a plugin: its digest; of an installed one, name and version."""
    return plugin.get("sha256", plugin["origin"])


def plugin_name(plugin: Plugin) -> str:
    """What a plugin is known by: a file's name, a distribution's without its version."""
    if "path" in plugin:
        return Path(plugin["path"]).name
    return plugin["origin"].removeprefix(SESSION_PREFIX).partition(" ")[0]


def _shown(plugin: Plugin) -> str:
    name = (
        plugin_name(plugin) if "path" in plugin else plugin["origin"].removeprefix(SESSION_PREFIX)
    )
    return f"{name} has SHA-256 {plugin['sha256'][:SHORT]}…" if "sha256" in plugin else name


def _way_on(folder: RunFolder, found: Comparison) -> str:
    """How to go on with the run that is there, or to have the other one."""
    another = "choose another --run-dir for a run of its own"
    copies = {plugin.sha256 for plugin in read_plugins(folder.plugins, variable="")}
    files = [plugin for plugin in folder.record.get("plugins", ()) if "path" in plugin]
    if any(plugin["sha256"] not in copies for plugin in files):
        return f"put back what the run wrote to {folder.path / PLUGINS}, or {another}"
    if not all(old and "path" in old for old, _ in found.plugins):
        return f"bring back the code that it began with, or {another}"
    if found.values:
        options = "".join(f" -p {path}" for path in folder.plugins)
        config = folder.path / (CONFIG if folder.resolved_text is None else RESOLVED)
        command = f"cifarzoo run {config} --run-dir {folder.path}{options}"
        return f"{another}; {command} goes on with its own values"
    return f"cifarzoo resume {folder.path} goes on with its own copy; or {another}"


def _other_code(record: Mapping[str, Any]) -> list[str]:
    """That cifarzoo itself is another one than that of the last attempt, in one line."""
    before = record.get("cifarzoo")
    if before is None:
        return []
    here = own_code()
    if before["sha256"] == here["sha256"]:
        return []
    old, new = (f"{code['version']} (code {code['sha256'][:SHORT]}…)" for code in (before, here))
    return [
        f"this run was trained by cifarzoo {old} and goes on with {new}: bits may differ from here "
        "on"
    ]
