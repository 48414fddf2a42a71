"""Finished runs in groups that are equal but for their seeds.

What makes two runs the same is what ``api.identity`` goes by: the values that decide numbers, the
plugins' code and the data. Here the seed is left out of it. The run folders are all that is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from cifarzoo.config.effective import canonical, decides_numbers, read_values, run_first
from cifarzoo.errors import UsageError
from cifarzoo.run_folders.finding import find_run, runs_in
from cifarzoo.run_folders.folder import RunFolder

SEED = "run.seed"
MOST_SHOWN = 3  # settings in a group's name
SHORT = 12  # hexadecimal digits of a SHA-256

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


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """All groups, the first one's runs being those that were named first.

    Attributes:
        groups: Groups in the order in which they were named.
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


def group_runs(names: Sequence[str], root: Path, metric: Metric) -> Grouping:
    """The runs that are named, and all in the folders that are, in groups.

    Args:
        names: Runs, as ``finding.find_run`` takes them, or folders of runs.
        root: Folder that runs are in.
        metric: Number of a run that is compared.

    Raises:
        UsageError: A name means no run, none of those that are meant is done, or they are of
            several datasets.
    """
    notes: list[str] = []
    finished: list[Finished] = []
    for folder in _folders(names, root):
        try:
            finished.append(_finished(folder, metric))
        except UsageError as error:
            notes.append(f"left out: {error}")
    if not finished:
        raise UsageError(*(notes or ["there are no runs to compare"]))
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
    data = {each.identity["data"] for each in finished}
    if len(data) > 1:
        raise UsageError(
            f"these runs are of {len(data)} datasets, {'; '.join(sorted(data))}; "
            "errors on them can't be compared"
        )
    named = _named([Group(name="", identity=dict(k), runs=runs) for k, runs in groups.items()])
    notes += [note for group in named if (note := _of_several_codes(group))]
    return Grouping(groups=tuple(named), notes=tuple(notes))


def _folders(names: Sequence[str], root: Path) -> Iterator[RunFolder]:
    seen: set[Path] = set()
    for name in names:
        path = Path(name).expanduser()
        inside = sorted(runs_in(path)) if path.is_dir() else []
        found = [RunFolder(each) for each in inside] or [find_run(name, root)]
        for folder in found:
            if folder.path.resolve() not in seen:
                seen.add(folder.path.resolve())
                yield folder


def _finished(folder: RunFolder, metric: Metric) -> Finished:
    record = folder.record
    status = record.get("status", "new")
    if status != "done":
        raise UsageError(f"{folder.path} is {status}, not done")
    number = record.get(metric)
    if number is None:
        there = ", ".join(each for each in METRICS if record.get(each) is not None)
        raise UsageError(f"{folder.path} has no {metric}; it has {there or 'none'}")
    text = folder.resolved_text
    if text is None:
        raise UsageError(f"{folder.path} was trained by a cifarzoo that kept no defaults")
    values = read_values(text)
    return Finished(
        folder=folder,
        name=record.get("config") or folder.path.name,
        seed=int(values[SEED]),
        number=100 * float(number),
        identity=_identity(values, record),
        code=record.get("cifarzoo", {}).get("sha256", ""),
        begun=str(record.get("started", "")),
    )


def _identity(values: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, str]:
    found = {
        name: canonical(value)
        for name, value in values.items()
        if decides_numbers(name) and name != SEED
    }
    data = record.get("data", {})
    found["data"] = f"{data.get('title', 'unknown')}, {data.get('sha256', 'unknown')[:SHORT]}…"
    for plugin in record.get("plugins") or ():
        code = plugin.get("sha256")
        name = Path(plugin["path"]).name if "path" in plugin else plugin["origin"]
        found[f"plugin {name}"] = f"{code[:SHORT]}…" if code else "installed"
    return found


def _named(groups: list[Group]) -> list[Group]:
    """Groups under names that tell them apart: their config's, and in what they differ then."""
    configs = [next(iter(group.runs.values())).name for group in groups]
    named = []
    for group, config in zip(groups, configs, strict=True):
        alike = [g for g, other in zip(groups, configs, strict=True) if other == config]
        named.append(replace(group, name=config + _told_apart(group, alike)))
    return named


def _told_apart(group: Group, alike: Sequence[Group]) -> str:
    """In which values a group differs from others of the same config."""
    if len(alike) == 1:
        return ""
    names = {name for each in alike for name in each.identity}
    differing = [n for n in names if len({each.identity.get(n) for each in alike}) > 1]
    shown = [
        f"{n.rpartition('/')[2].partition('.')[2] or n}={group.identity.get(n, '-')}"
        for n in sorted(differing, key=run_first)[:MOST_SHOWN]
    ]
    more = ", …" * (len(differing) > MOST_SHOWN)
    return f" ({', '.join(shown)}{more})"


def _of_several_codes(group: Group) -> str | None:
    codes = {run.code for run in group.runs.values() if run.code}
    if len(codes) < 2:
        return None
    return f"the runs of {group.name} were trained by {len(codes)} versions of cifarzoo's code"
