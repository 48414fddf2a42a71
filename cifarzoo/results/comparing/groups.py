"""Finished runs in groups that are equal but for their seeds.

What makes two runs the same is what ``api.identity`` goes by: the values that decide numbers, the
plugins' code and the data. Here the seed is left out of it. The run folders are all that is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from cifarzoo.api.identity import SHORT, plugin_code, plugin_name
from cifarzoo.components.user_paths import expanded
from cifarzoo.config.effective import canonical, decides_numbers, read_values, run_first
from cifarzoo.errors import UsageError
from cifarzoo.results.comparing.group_names import group_names
from cifarzoo.run_folders.finding import find_run, runs_in
from cifarzoo.run_folders.folder import CONFIG, RESOLVED, SCHEMA, RunFolder, check_length
from cifarzoo.run_folders.liveness import NEW, current_status
from cifarzoo.run_folders.resolved import settings
from cifarzoo.run_folders.sweep_record import in_order

SEED, SEEDS = "run.seed", re.compile(r"[0-9]{1,100}")
MOST_NOTES = 10  # lines of what was left out, for people

Metric: TypeAlias = Literal["test_error", "tta_test_error", "validation_error"]
METRICS: tuple[Metric, ...] = ("test_error", "tta_test_error", "validation_error")


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A run that is done.

    Attributes:
        folder: Folder of the run.
        name: Name of its config.
        seed: Seed of the run.
        number: Metric that is compared, in percent.
        identity: What decides its numbers beside the seed, as text by name.
        code: SHA-256 (hex) of the code of cifarzoo that trained it; nothing: not known.
        begun: When it was begun, as its record has it.
    """

    folder: RunFolder
    name: str
    seed: int
    number: float
    identity: Mapping[str, str]
    code: str
    begun: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """Finished runs that differ in their seeds alone.

    Attributes:
        name: Name of the group, for people.
        identity: What decides their numbers beside the seed, as text by name.
        runs: Run of each seed.
    """

    name: str
    identity: Mapping[str, str]
    runs: Mapping[int, Finished]

    @property
    def numbers(self) -> dict[int, float]:
        """The metric of each seed, in percent."""
        return {seed: run.number for seed, run in sorted(self.runs.items())}

    @property
    def places(self) -> set[Path]:
        """The folders of the runs, where links lead."""
        return {run.folder.path.resolve() for run in self.runs.values()}


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """All groups, the baseline first.

    Attributes:
        groups: Groups in the order in which they were named, but for the baseline.
        notes: What was left out and why, a line each.
    """

    groups: tuple[Group, ...]
    notes: tuple[str, ...]

    @property
    def differing(self) -> dict[str, list[str | None]]:
        """The settings that differ, with each group's value; None: it uses no such component."""
        names = sorted({name for group in self.groups for name in group.identity}, key=run_first)
        values = {name: [group.identity.get(name) for group in self.groups] for name in names}
        return {name: each for name, each in values.items() if len(set(each)) > 1}

    def beginning_with(self, name: str) -> Grouping:
        """The same, with the group of that name first."""
        groups = sorted(self.groups, key=lambda group: group.name != name)
        return replace(self, groups=tuple(groups))


def group_runs(
    names: Sequence[str], root: Path, metric: Metric, baseline: str | None = None
) -> Grouping:
    """The runs that are named, and all in the folders that are, in groups.

    Args:
        names: Runs, as ``finding.find_run`` takes them, or folders of runs.
        root: Folder that runs are in.
        metric: Number of a run that is compared.
        baseline: Name of the group that comes first, or of the folder that its runs lie in; or a
            run, or a folder of runs, of that group, which need not be among ``names``; None: it is
            that of the first run.

    Raises:
        UsageError: A name means no run, none of those that are meant is done, or they are of
            several datasets; or ``baseline`` means no group, or several.
    """
    found = _grouped(_folders(names, root), metric)
    if baseline is None:
        return found
    if (called := _called(baseline, found.groups)) is not None:
        return found.beginning_with(called)
    its = _of_baseline(baseline, root, found)
    found = _grouped(_folders([*names, baseline], root), metric)
    meant = [group.name for group in found.groups if its & group.places]
    if len(meant) != 1:
        which = ", ".join(meant) or "none of them is finished"
        raise UsageError(f"the baseline {baseline} has runs of {len(meant)} groups: {which}")
    return found.beginning_with(meant[0])


def _called(name: str, groups: Sequence[Group]) -> str | None:
    """The name of the group that is called ``name``, or that alone has runs in such a folder."""
    if any(group.name == name for group in groups):
        return name
    inside = [g.name for g in groups if name in {place.parent.name for place in g.places}]
    return inside[0] if len(inside) == 1 else None


def _of_baseline(baseline: str, root: Path, found: Grouping) -> set[Path]:
    """The folders of the runs that a baseline which is no group's name means."""
    try:
        return {folder.path.resolve() for folder in _folders([baseline], root)}
    except UsageError as error:
        groups = ", ".join(group.name for group in found.groups)
        raise UsageError(f"the baseline is none of the groups, {groups}, and {error}") from error


def _grouped(folders: Iterable[RunFolder], metric: Metric) -> Grouping:
    notes: list[str] = []
    finished: list[Finished] = []
    for folder in folders:
        try:
            finished.append(_finished(folder, metric))
        except UsageError as error:
            is_gone = not (folder.path / CONFIG).is_file()
            why = f"{folder.path} is gone: it was moved or deleted meanwhile" if is_gone else error
            notes.append(f"left out: {why}")
    if not finished:
        more = len(notes) - MOST_NOTES
        said = [*notes[:MOST_NOTES], *[f"and {more:,} more such lines"] * (more > 0)]
        raise UsageError(*(said or ["there are no runs to compare"]))
    groups: dict[tuple[tuple[str, str], ...], dict[int, Finished]] = {}
    for run in finished:
        runs = groups.setdefault(tuple(sorted(run.identity.items())), {})
        other = runs.get(run.seed)
        if other is not None:
            older, newer = sorted((run, other), key=lambda each: each.begun)
            notes.append(
                f"left out: {older.folder.path} is of seed {run.seed} as {newer.folder.path}, "
                "which is newer"
            )
            run = newer  # noqa: PLW2901
        runs[run.seed] = run
    data = {each.identity["data"]: each.folder.path for each in reversed(finished)}
    if len(data) > 1:
        of = "; ".join(f"{title} (such as {data[title]})" for title in sorted(data))
        raise UsageError(
            f"these runs are of {len(data)} datasets, {of}; errors on them can't be compared"
        )
    identities = [dict(identity) for identity in groups]
    first = [next(iter(runs.values())) for runs in groups.values()]
    paths = [[run.folder.path for run in runs.values()] for runs in groups.values()]
    names = group_names([run.name for run in first], identities, paths)
    named = tuple(
        Group(name=name, identity=identity, runs=runs)
        for name, identity, runs in zip(names, identities, groups.values(), strict=True)
    )
    notes += [note for group in named if (note := _of_several_codes(group))]
    return Grouping(groups=named, notes=tuple(notes))


def _folders(names: Sequence[str], root: Path) -> Iterator[RunFolder]:
    seen: set[Path] = set()
    for name in names:
        path = expanded(name)
        check_length(path)
        inside = in_order(runs_in(path), path) if path.is_dir() else []
        found = [RunFolder(each) for each in inside] or [find_run(name, root)]
        for folder in found:
            if folder.path.resolve() not in seen:
                seen.add(folder.path.resolve())
                yield folder


def _finished(folder: RunFolder, metric: Metric) -> Finished:
    try:
        record = folder.record
    except UsageError:
        if folder.newer_words:
            raise UsageError(f"{folder.path / folder.newer_words}") from None
        raise
    if record.get("schema", SCHEMA) > SCHEMA:
        raise UsageError(f"{folder.path / folder.newer_words}")
    host = record.get("process", {}).get("host")
    status = current_status(folder.path, record.get("status", NEW), host)
    if status != "done":
        raise UsageError(f"{folder.path} is {status}, not done")
    number = record.get(metric)
    if number is None:
        there = ", ".join(each for each in METRICS if record.get(each) is not None)
        raise UsageError(f"{folder.path} has no {metric}; it has {there or 'none'}")
    text = folder.resolved_text
    if text is None:
        raise UsageError(f"{folder.path} was trained by a cifarzoo that kept no defaults")
    rest, seed = _without_seed(text)
    if not SEEDS.fullmatch(seed):
        raise UsageError(f"{folder.path / RESOLVED} has no {SEED}; put back what the run wrote")
    return Finished(
        folder=folder,
        name=record.get("config") or folder.path.name,
        seed=int(seed),
        number=100 * float(number),
        identity=_identity(_settings(rest), record),
        code=record.get("cifarzoo", {}).get("sha256", ""),
        begun=str(record.get("started", "")),
    )


def _without_seed(text: str) -> tuple[str, str]:
    """The values of a run without the line of its seed, and that seed as text."""
    lines = text.splitlines(keepends=True)
    its_own = [line for line in lines if line.startswith(f"{SEED} = ")]
    rest = [line for line in lines if not line.startswith(f"{SEED} = ")]
    seed = [setting.source for setting in settings("".join(its_own))]
    return "".join(rest), seed[0] if seed else ""


@lru_cache(maxsize=1000)
def _settings(text: str) -> Mapping[str, str]:
    """The values that decide numbers, as text; of a group's runs they are parsed once."""
    values = read_values(text).items()
    return {
        name: canonical(value) for name, value in values if decides_numbers(name) and name != SEED
    }


def _identity(values: Mapping[str, str], record: Mapping[str, Any]) -> dict[str, str]:
    found = dict(values)
    data = record.get("data", {})
    found["data"] = f"{data.get('title', 'unknown')}, {data.get('sha256', 'unknown')[:SHORT]}…"
    for plugin in record.get("plugins") or ():
        code = plugin_code(plugin)
        found[f"plugin {plugin_name(plugin)}"] = f"{code[:SHORT]}…" if "sha256" in plugin else code
    return found


def _of_several_codes(group: Group) -> str | None:
    codes = {run.code for run in group.runs.values() if run.code}
    if len(codes) < 2:
        return None
    return f"the runs of {group.name} were trained by {len(codes)} versions of cifarzoo's code"
