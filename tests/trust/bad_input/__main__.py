"""``python -m tests.trust.bad_input [AREA...]``: tries cases and says what isn't as expected.

With ``--no-torch`` only those that need none; with ``--json`` a line a case. The exit code is
1 if any case went otherwise than expected.
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


def main(arguments: list[str]) -> int:
    """Try what ``arguments`` name; the exit code."""
    areas = [name for name in arguments if name in AREAS] or list(AREAS)
    with_torch = "--no-torch" not in arguments
    cases = [c for area in areas for c in AREAS[area] if with_torch or not c.needs_torch]
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
