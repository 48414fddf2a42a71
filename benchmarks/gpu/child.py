"""One check, in a process that ``python -m benchmarks.gpu`` starts and may kill."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.plan import FULL, SMALL, Check

if TYPE_CHECKING:
    from cifarzoo.engine.distributed.world import World

MOST_CHARACTERS = 600  # of an error's text
# By name, since only some of them need torch.
KINDS = {
    "machine": ("benchmarks.gpu.machine", "describe"),
    "agreement": ("benchmarks.gpu.agreement", "compare"),
    "components": ("benchmarks.gpu.components", "compare"),
    "speed": ("benchmarks.gpu.speed", "measure"),
    "resume": ("benchmarks.gpu.whole_runs", "resume"),
    "train": ("benchmarks.gpu.whole_runs", "train"),
}


@dataclass(frozen=True)
class Session:
    """What a check is given.

    Attributes:
        check: Check to do.
        data: Folder with datasets, or None.
        records: File that findings are appended to.
        is_small: Whether this is the small form.
    """

    check: Check
    data: Path | None
    records: Path
    is_small: bool

    @cached_property
    def world(self) -> World:
        """One process, with the device that a training takes by default."""
        from cifarzoo.engine.distributed.world import World, pick_device

        return World(0, 1, pick_device(0))

    def record(self, name: str, found: dict[str, Any]) -> None:
        """Append a finding at once, so that it is kept whatever comes after it."""
        with self.records.open("a", encoding="utf-8") as out:
            out.write(json.dumps([name, found]) + "\n")

    @contextmanager
    def recording_errors(self, name: str) -> Iterator[None]:
        """Within ``with``, an error is the finding ``name`` and doesn't end the check."""
        try:
            yield
        except Exception as error:  # whatever a new machine comes up with
            traceback.print_exc()
            text = f"{type(error).__name__}: {error}"[:MOST_CHARACTERS]
            frames = traceback.extract_tb(error.__traceback__)
            where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
            self.record(name, {"error": text, "where": where[-6:]})


def main() -> None:
    """Do the check that the arguments name."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    [check] = [check for check in (SMALL if options.small else FULL) if check.name == options.name]
    session = Session(check, options.data, options.records, options.small)
    with session.recording_errors(check.name):
        module, function = KINDS[check.kind]
        getattr(import_module(module), function)(session)


if __name__ == "__main__":
    sys.exit(main())
