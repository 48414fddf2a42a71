"""A script that takes a name of the zoo is refused where it does, whatever was imported before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

IMPORTED = "import cifarzoo.zoo.schedules.cosine\n"
MADE = "from cifarzoo import create; create.schedule('cosine')\n"
LISTED = "from cifarzoo.components.plugins import catalogue; catalogue()\n"
SCRIPT = """\
from cifarzoo import register
from cifarzoo.errors import PluginError

def cosine():
    "Ours."
    return lambda time: 1.0

try:
    register.schedule(cosine)
except PluginError as error:
    print(error)
from cifarzoo import create
print(create.schedule("cosine") is not None, type(create.schedule("cosine")).__module__)
register.schedule(override=True)(cosine)
print(type(create.schedule("cosine")).__name__)
"""


def run(script: str, folder: Path) -> list[str]:
    (folder / "mine.py").write_text(script)
    line = [sys.executable, "mine.py"]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("before", ["", IMPORTED, MADE, LISTED], ids=["", "import", "make", "list"])
def test_a_name_of_the_zoo_is_refused_whatever_was_imported_before(before: str, tmp_path: Path):
    refused, theirs, ours = run(before + SCRIPT, tmp_path)

    line = before.count("\n") + 4
    assert refused.startswith(f"{tmp_path / 'mine.py'}:{line}: 'cosine' is already the schedule of")
    assert refused.endswith("pick another name or register it with override=True")
    assert theirs.startswith("True cifarzoo.zoo.")
    assert ours == "function"
