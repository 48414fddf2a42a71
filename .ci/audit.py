"""Asks pip-audit for published holes in the files of constraints.txt; what it can't ask is told.

pip-audit itself passes over what its database doesn't know, also where no database is reached.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"


def main() -> int:
    """0: all were looked up, and none has a hole; 1: one has; 2: some were not looked up."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(CONSTRAINTS)]
    command += ["--require-hashes", "--disable-pip", "--progress-spinner", "off"]
    done = subprocess.run(  # noqa: S603  # of our own making
        [*command, "--format", "json"], capture_output=True, text=True, check=False
    )
    try:
        found = json.loads(done.stdout)["dependencies"]
    except ValueError:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        sys.stdout.write(f"not audited: pip-audit ended with {done.returncode}: {reason}\n")
        return 2
    skipped = [each["name"] for each in found if "skip_reason" in each]
    holes = [
        f"{each['name']} {each['version']}: {hole['id']}"
        for each in found
        for hole in each.get("vulns", ())
    ]
    for hole in holes:
        sys.stdout.write(f"{hole}\n")
    if skipped:
        sys.stdout.write(
            f"not audited: {len(skipped)} of {len(found)} are unknown to the database that was "
            f"asked, if it was reached at all: {', '.join(skipped)}\n"
        )
    else:
        sys.stdout.write(f"{len(found)} audited, {len(holes)} holes\n")
    return 1 if holes else 2 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
