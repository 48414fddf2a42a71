"""Prints pip constraints: each dependency of cifarzoo at the lowest version that is promised."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def main() -> None:
    """A line a dependency, ``name==version``."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *optional["parquet"]]:
        name, version = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement).groups()
        sys.stdout.write(f"{name}=={version}\n")


if __name__ == "__main__":
    main()
