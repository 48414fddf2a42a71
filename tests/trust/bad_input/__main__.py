"""``python -m tests.trust.bad_input [AREA...]``: tries cases and says what isn't as expected.

With ``--fast`` only those that need no torch, and of those that need a process of their own
one a row; with ``--json`` a line a case. The exit code is 1 if any case went otherwise than
expected.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.trust.bad_input.areas import AREAS
from tests.trust.bad_input.case import Case, attempt, problems


def findings(cases: list[Case]) -> Iterator[dict[str, Any]]:
    """Try ``cases``, each in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="bad-input-") as folder:
        for number, case in enumerate(cases):
            went = attempt(case, Path(folder) / str(number))
            said = (went.stderr or went.stdout).partition("\n")[0]
            yield {
                "row": case.row,
                "name": case.name,
                "problems": problems(case, went),
                "said": f"exit code {went.exit_code}, {said[:160]!r}",
                "seconds": round(went.seconds, 3),
            }


def quick(cases: list[Case]) -> list[Case]:
    """Those that need no torch; of those in a process of their own, the first of each row."""
    firsts = {case.row: case for case in reversed(cases) if case.shell and not case.needs_torch}
    chosen = [*(case for case in cases if not case.shell), *firsts.values()]
    return [case for case in chosen if not case.needs_torch]


def main(arguments: list[str]) -> int:
    """Try what ``arguments`` name; the exit code."""
    areas = [name for name in arguments if name in AREAS] or list(AREAS)
    cases = [case for area in areas for case in AREAS[area]]
    if "--fast" in arguments:
        cases = quick(cases)
    cases.sort(key=lambda case: case.needs_torch)  # else the first to import it hides the others
    wrong = 0
    for found in findings(cases):
        wrong += bool(found["problems"])
        if "--json" in arguments:
            sys.stdout.write(json.dumps(found) + "\n")
        else:
            for problem in found["problems"]:
                sys.stdout.write(f"row {found['row']}, {found['name']}: {problem[:300]}\n")
        sys.stdout.flush()
    if "--json" not in arguments:
        sys.stdout.write(f"{len(cases)} cases, {wrong} of them wrong\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
