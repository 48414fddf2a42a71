"""Prints a requirements file with hashes: what cifarzoo needs, for this Python and machine.

``pip install --require-hashes -r constraints.txt`` then installs these files and no others. It is
made anew for each release, by ``make constraints``.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
EXTRAS = ("parquet",)
HEAD = """\
# What cifarzoo {version} needs, with hashes, for {system} on {machine} and Python {python}:
#   pip install --require-hashes -r constraints.txt && pip install --no-deps cifarzoo
# Made by `make constraints`; not edited by hand.
"""


def main() -> int:
    """Print the file."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"]]
    wanted += [each for extra in EXTRAS for each in project["optional-dependencies"][extra]]
    head = {
        "version": project["version"],
        "system": platform.system(),
        "machine": platform.machine(),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
    }
    sys.stdout.write(HEAD.format(**head))
    for name, version, digest in sorted(resolved(wanted)):
        sys.stdout.write(f"{name}=={version} \\\n    --hash=sha256:{digest}\n")
    return 0


def resolved(wanted: list[str]) -> list[tuple[str, str, str]]:
    """Name, version and SHA-256 of each file that pip would install."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        command += ["--quiet", "--report", str(report), *wanted]
        subprocess.run(command, check=True)  # noqa: S603  # of our own making
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    return [
        (
            each["metadata"]["name"].lower().replace("_", "-"),
            each["metadata"]["version"],
            each["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for each in found
    ]


if __name__ == "__main__":
    sys.exit(main())
