# ruff: noqa: E501  # a case is easiest to read on a line

"""Rows 61 and 67: folders that somebody else wrote, and a user's own files in them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.trust.bad_input.case import Case
from tests.trust.bad_input.folders import CONFIG, after, unfinished

PLUGIN = """from cifarzoo import register


@register.schedule
def mine():
    \"\"\"One.\"\"\"
    return lambda moment: 1.0
"""
MINE = CONFIG.replace("@constant", "@mine")
NO_DATA = "".join(f"{line}\n" for line in MINE.replace("@glyphs", "@cifar10").splitlines() if "glyphs." not in line)
BY_HAND: dict[str, str | bytes] = {"r/config.gin": NO_DATA, "r/plugins/mine.py": PLUGIN, "r/.run.json.swp": "of an editor"}
WORDS = "CIFAR-10 needs a folder"


def by_hand(name: str, says: str, *command: str, change: dict[str, str | bytes] | None = None, **more: Any) -> Case:
    """A command in a folder that somebody wrote by hand, whose files have to stay as they are."""
    fixed = {"needs_torch": True, "files": {**BY_HAND, **(change or {})}}
    return Case(row=61, name=name, command=command, says=says, **(fixed | more))


RUN = ("run", "r/config.gin", "-p", "r/plugins/mine.py", "--run-dir", "r")
OWN = [
    by_hand("resume of a config by hand that can't start", WORDS, "resume", "r"),
    by_hand("a run in its folder", WORDS, *RUN),
    by_hand("the same on two ranks", WORDS, *RUN, "--nproc", "2"),
    by_hand("the same with every value beside it", WORDS, *RUN, change={"r/resolved.gin": "# mine\n"}),
    by_hand("the same in an empty folder", WORDS, "run", "r/config.gin", "-p", "r/plugins/mine.py", "--run-dir", "new/r"),
    by_hand("metrics of no run", r"r/metrics\.jsonl is there, and no run\.json of the run that it is of; put that back, or take",
            "resume", "r", change={"r/metrics.jsonl": '{"epoch": 1}\n'}),
    by_hand("another plugin where a copy would go", r"r/plugins/mine\.py is there, and isn't the plugin that this run has to keep",
            "run", "r/config.gin", "-p", "mine.py", "--run-dir", "r", change={"mine.py": PLUGIN, "r/plugins/mine.py": "# other\n"}),
    by_hand("an editor's file where a run would begin", r"e holds other files; expected an empty folder or one of a run",
            "run", "r/config.gin", "-p", "r/plugins/mine.py", "--run-dir", "e", change={"e/.config.gin.swp": "of an editor"}),
]  # fmt: skip
CASES = OWN
