"""What groups of runs are called: for people, and for commands that are given a name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from cifarzoo.config.effective import run_first

FEW = 3  # settings in a name, if they tell groups apart


def group_names(
    configs: Sequence[str],
    identities: Sequence[Mapping[str, str]],
    folders: Sequence[Sequence[Path]],
) -> list[str]:
    """A name for each group, which tells it from the others.

    It is the config's. Where several groups have that, it is the name of the folder that a group's
    runs lie in, if no other group's do; and else the config's with the settings that differ.

    Args:
        configs: Name of each group's config.
        identities: What decides each group's numbers, as text by name.
        folders: Folders of each group's runs.
    """
    places = _folders_of_their_own(folders)
    of_config = Counter(configs)
    names = [
        config if of_config[config] == 1 else place
        for config, place in zip(configs, places, strict=True)
    ]
    taken = Counter(names)
    told = {config: _told_apart(config, configs, identities) for config in of_config}
    return [
        name if name and taken[name] == 1 else told[config].pop(number, config)
        for number, (name, config) in enumerate(zip(names, configs, strict=True))
    ]


def _folders_of_their_own(folders: Sequence[Sequence[Path]]) -> list[str]:
    """The name of the folder that a group's runs lie in; empty: they don't, or others' do too."""
    within = defaultdict(set)  # which groups have a run below a folder
    for number, paths in enumerate(folders):
        for path in paths:
            for above in path.absolute().parents:
                within[above].add(number)
    found = []
    for number, paths in enumerate(folders):
        parents = {path.absolute().parent for path in paths}
        parent = parents.pop()
        found.append("" if parents or within[parent] != {number} else parent.name)
    return found


def _told_apart(
    config: str, configs: Sequence[str], identities: Sequence[Mapping[str, str]]
) -> dict[int, str]:
    """The name of a config with the settings in which its groups differ, by their numbers."""
    alike = {n: identities[n] for n, other in enumerate(configs) if other == config}
    names = {name for identity in alike.values() for name in identity}
    differing = sorted(
        (n for n in names if len({identity.get(n) for identity in alike.values()}) > 1),
        key=run_first,
    )
    for length in range(min(FEW, len(differing)), len(differing) + 1):
        shown = {
            number: ", ".join(f"{_short(n)}={identity.get(n, '-')}" for n in differing[:length])
            for number, identity in alike.items()
        }
        if len(set(shown.values())) == len(alike):
            break
    more = ", …" * (length < len(differing))
    return {number: f"{config} ({text}{more})" for number, text in shown.items() if text}


def _short(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[2] or name
