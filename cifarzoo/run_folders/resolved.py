"""The lines of ``resolved.gin``: every value of a run, each with where it is from.

They are read without gin: a folder of ten thousand runs has a million of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

HEADER = "# Every value of this run, defaults included; config.gin has what was set."
NAME = "# Config: "
NAMED = re.compile(rf"^{NAME}(.+)$", re.MULTILINE)
LINE = re.compile(r"(# )?(\S+\.\w+) = (.*)  # ([^#]*)")
KIND = re.compile(r"@((?:\w+/)*)\w+\.")  # of a component, which its name tells
OF_COMPONENT = ("default of ", "fixed by ")  # begin the origin of what no config sets
# An option, or Python's argument; by a macro too, whose value stands in a line of a file.
BESIDE = re.compile(r"(?:-|set\[).*|.* \(%\w+: (?:-|set\[).*")
PLACE = re.compile(r".*:[0-9]+(?: .*)?")  # a line of a file


@dataclass(frozen=True)
class Setting:
    """One value of a run.

    Attributes:
        name: Name ``kind.component.parameter``, or ``run.parameter``, after its scope.
        source: Value as gin reads it.
        origin: Place where it was set, ``file:line``; or in words, whose default it is.
        is_comment: Whether no config can set it: a preset binds it, or gin can't write it.
    """

    name: str
    source: str
    origin: str
    is_comment: bool = False

    @property
    def is_beside(self) -> bool:
        """Whether it was set beside the config's files: by an option, or in Python."""
        if self.origin.startswith(OF_COMPONENT):
            return False
        return bool(BESIDE.fullmatch(self.origin)) or not PLACE.fullmatch(self.origin)

    def line(self) -> str:
        """The line of the file, without its end."""
        return f"{'# ' * self.is_comment}{self.name} = {self.source}  # {one_line(self.origin)}"


def settings(text: str) -> Iterator[Setting]:
    """The values in a text of ``resolved.gin``; what else it holds is passed over."""
    for line in text.splitlines():
        if found := LINE.fullmatch(line):
            comment, name, source, origin = found.groups()
            yield Setting(name, source, origin, is_comment=bool(comment))


def one_line(origin: str) -> str:
    """An origin as a comment of a config can have it, whatever a file is called."""
    return re.sub(r"[\s#]+", " ", origin)


def short_name(name: str) -> str:
    """``scope/kind.component.parameter`` as people write it in a file: without the kind."""
    scope, slash, rest = name.rpartition("/")
    return scope + slash + ".".join(rest.split(".")[-2:])


def without_kinds(source: str) -> str:
    """A value as people write it in a file: ``@cosine`` for ``@schedule.cosine``."""
    return KIND.sub(r"@\1", source)
