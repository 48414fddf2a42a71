"""What users call a run: a name and tags, kept in run.json. They are no part of what it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cifarzoo.errors import UsageError
from cifarzoo.escaping import visible_line
from cifarzoo.files.real_folder import RealFolder
from cifarzoo.run_folders.folder import MOST_RECORD, RECORD, RunFolder
from cifarzoo.run_folders.schemas import LabelFacts, entries

NAME, TAGS = "name", "tags"  # in run.json
LONGEST = 100  # letters of a name or tag
MOST_TAGS = 50
TAKEN = frozenset({"latest", ".", "..", "~"})  # mean another run, or a folder


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What a user calls a run.

    Attributes:
        name: Name of the run; None: it has none, or the one that it had.
        tags: Words to find it by, beside those that it had.
    """

    name: str | None = None
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for what, label in [("name", self.name), *(("tag", tag) for tag in self.tags)]:
            if label is not None and (problem := _problem(label)):
                raise UsageError(f"the {what} {label[:LONGEST]!r} {problem}")
        if len(self.tags) > MOST_TAGS:
            raise UsageError(f"there are {len(self.tags)} tags; expected at most {MOST_TAGS}")

    def keep(self, folder: RunFolder) -> None:
        """Note them in the record of a run, whose lock this process holds."""
        record = folder.record
        tags = list(dict.fromkeys([*record.get(TAGS, ()), *self.tags]))[-MOST_TAGS:]
        folder.update(**{NAME: self.name or record.get(NAME), TAGS: tags})


UNLABELLED = Labels()


def recorded_name(run: Path) -> str | None:
    """The name in the record of a run; None: it has none, or can't be read."""
    try:
        name = entries(LabelFacts, RealFolder(run).read(RECORD, at_most=MOST_RECORD)).get(NAME)
    except (OSError, ValueError):
        return None
    return str(name) if name else None


def _problem(label: str) -> str | None:
    if not label.strip() or label != label.strip():
        return "is empty, or has blanks around it"
    if len(label) > LONGEST:
        return f"has {len(label):,} letters; expected at most {LONGEST}"
    if label != visible_line(label):
        return "has letters that can't be seen"
    if label.startswith("-") or "/" in label:
        return "begins with - or has a /, and would be taken for an option or a path"
    if label in TAKEN:
        return "means something else already"
    return None
