"""B1: every case of bad input, in a process that has not imported torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.trust.cases import FAULTS, Budget, Check, Outcome

CHECKOUT = Path(__file__).parents[3]


def tried(*options: str) -> Iterator[dict[str, Any]]:
    """What ``python -m tests.trust.bad_input`` found of each case, as it goes."""
    command = [sys.executable, "-m", "tests.trust.bad_input", "--json", *options]
    # A command that was tried in this process has taken the current folder off the path of others.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode not in (0, 1):
        raise RuntimeError(f"it ended with exit code {process.returncode}")


def check_bad_input(budget: Budget) -> Iterator[Outcome]:
    """Every case; those that need no torch where the check is to be fast."""
    for found in tried(*(["--fast"] if budget.is_fast else [])):
        problems = found["problems"]
        yield Outcome(
            name=f"{found['name']} (row {found['row']})",
            passed=not problems,
            figure="; ".join(problems) or found["said"],
            counts={FAULTS: 1},
            largest={"seconds to a refusal": found["seconds"]},
        )


CHECKS = (
    Check(id="B1", title="bad input is refused in one line, nothing written", run=check_bad_input),
)
