"""One check, in a process that ``python -m benchmarks.gpu`` starts and may kill."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu.plan import FULL, SMALL, Check
from cifarzoo.engine.distributed.world import World, init_distributed

MOST_CHARACTERS = 600  # of an error's text


@dataclass(frozen=True)
class Session:
    """What a check is given.

    Attributes:
        check: Check to do.
        data: Folder with datasets, or None.
        world: World of one process, with the default device.
        records: File that findings are appended to.
        is_small: Whether this is the small form.
    """

    check: Check
    data: Path | None
    world: World
    records: Path
    is_small: bool

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
    with init_distributed() as world:
        session = Session(check, options.data, world, options.records, options.small)
        with session.recording_errors(check.name):
            _kinds()[check.kind](session)


def _kinds() -> dict[str, Callable[[Session], None]]:
    from benchmarks.gpu import agreement, machine, speed, whole_runs

    return {
        "machine": machine.describe,
        "agreement": agreement.compare,
        "speed": speed.measure,
        "resume": whole_runs.resume,
        "train": whole_runs.train,
    }


if __name__ == "__main__":
    sys.exit(main())
