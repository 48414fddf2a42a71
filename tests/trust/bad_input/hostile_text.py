# ruff: noqa: E501  # a case is easiest to read on a line

"""Row 69: control sequences, bidi controls and markup in what others name and write."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.trust.bad_input.case import Case
from tests.trust.bad_input.small import small_config

HOSTILE = "[red]z[|red]:smile:\x1b]0;title\x07\x1b[2J\x9b31m\x1b[1337m\rover\b\x7f\u202egnp\u202c\u200b\U000e0041"
QUOTED = HOSTILE.replace("\r", "")  # of what stands on a line of a file
SHOWN = r"\[red\]z\[\|red\]:smile:\\x1b\]0;title\\x07\\x1b\[2J\\x9b31m\\x1b\[1337m(\\r)?over\\x08\\x7f\\{1,2}u202egnp\\u202c\\u200b\\U000e0041"
SAFE = r"(?!.*[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\U000e0000-\U000e0fff])"  # of a line
CONFIG = small_config("run.epochs = 1", images=(32, 20))
PLUGIN = f'from cifarzoo import register\n\n\n@register.schedule\ndef mine(*, a: str = "{QUOTED}"):\n    """Mine {QUOTED}"""\n    raise ValueError("{QUOTED}")\n'


def hostile(name: str, says: str, *command: str, **more: Any) -> Case:
    """A command that has to name what is hostile; each of its lines is safe."""
    line = rf"\A{SAFE}{says.replace('HOSTILE', SHOWN)}"
    return Case(row=69, name=name, command=command, says=line, **more)


def folder(path: Path) -> None:
    """A folder of data with such a name."""
    os.mkdir(path / f"d{HOSTILE}")  # noqa: PTH102


def run(path: Path) -> None:
    """A run that says such things of itself."""
    (path / "r").mkdir()
    (path / "r/config.gin").write_text(CONFIG)
    record = {
        "schema": 1,
        "status": "running",
        "config": HOSTILE,
        "plugins": [{"origin": f"__main__.{HOSTILE}"}],
    }
    (path / "r/run.json").write_text(json.dumps(record))


NAMED = [
    hostile("a plugin file that isn't there", r"no plugin file 'HOSTILE'", "ls", "-p", HOSTILE),
    hostile("a plugin file with a mistake", r"HOSTILE\.py:1: ", "ls", "-p", f"{HOSTILE}.py", files={f"{HOSTILE}.py": "def oops(:\n"}),
    hostile("a component that isn't there", r"no component 'HOSTILE'", "show", HOSTILE),
    hostile("a config that isn't there", r"no config 'HOSTILE\.gin'", "check", f"{HOSTILE}.gin"),
    hostile("a config with a mistake", r"HOSTILE\.gin:1: expected NAME = VALUE", "check", f"{HOSTILE}.gin", files={f"{HOSTILE}.gin": "a b\n"}),
    hostile("a setting", r"--set 'HOSTILE", "check", "quickstart.gin", "-s", HOSTILE),
    hostile("a folder of data", r"dHOSTILE holds neither cifar10 nor cifar100", "data", "verify", "--data", f"d{HOSTILE}", prepare=folder),
    hostile("a dataset", r"no published dataset is named 'HOSTILE'", "data", "verify", HOSTILE),
    hostile("a row", r"no .*HOSTILE", "reproduce", HOSTILE),
    hostile("a run that isn't there", r"no run 'HOSTILE'", "resume", HOSTILE, needs_torch=True),
    hostile("what a run says of itself", r"r needs HOSTILE, registered by the script", "resume", "r", prepare=run, needs_torch=True),
]  # fmt: skip
WRITTEN = [
    Case(row=69, name="a plugin's texts in a list", command=("ls", "-v", "schedules", "-p", f"{HOSTILE}.py"), files={f"{HOSTILE}.py": PLUGIN},
         exit_code=0, prints=rf"\A(?:{SAFE}.*\n)*{SAFE}.*Mine {SHOWN}.*\n(?:{SAFE}.*\n)*\Z"),
    Case(row=69, name="a plugin's texts on its card", command=("show", "mine", "-p", f"{HOSTILE}.py"), files={f"{HOSTILE}.py": PLUGIN},
         exit_code=0, prints=rf"\A(?:{SAFE}.*\n)*{SAFE}Mine {SHOWN}\n(?:{SAFE}.*\n)*\Z"),
    Case(row=69, name="a plugin's texts as JSON", command=("show", "mine", "--json", "-p", f"{HOSTILE}.py"), files={f"{HOSTILE}.py": PLUGIN},
         exit_code=0, prints=r"\A[\n -~]*\\u001b\]0;title\\u0007[\n -~]*\Z"),
    Case(row=69, name="what a plugin raises", command=("run", "c.gin", "--dry-run", "-p", f"{HOSTILE}.py", "-s", "run.schedule=@mine"),
         files={f"{HOSTILE}.py": PLUGIN, "c.gin": CONFIG}, says=rf"\A{SAFE}--set 'run\.schedule=@mine': mine: refuses its settings: {SHOWN}\n(?:{SAFE}.*\n)*\Z", needs_torch=True),
]  # fmt: skip
CASES = [*NAMED, *WRITTEN]
