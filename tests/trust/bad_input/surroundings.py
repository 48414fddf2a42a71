# ruff: noqa: E501  # a case is easiest to read on a line

"""Rows 51 to 53 and 60: a process whose environment, limits or interpreter are unusual."""

from __future__ import annotations

from typing import Any

from tests.trust.bad_input.case import Case
from tests.trust.bad_input.small import small_config

CONFIG = small_config("run.max_steps = 1", images=(32, 20))
ODD = {
    "HOME": None,
    "TMPDIR": "/nowhere",
    "XDG_CACHE_HOME": "/proc/x",
    "TZ": "Pacific/Apia",
    "LC_ALL": "C",
    "LANG": "de_DE",
    "PYTHONUTF8": "0",
    "PYTHONHASHSEED": "random",
}


def looked(row: int, name: str, shell: str = '"$@"', *command: str, **more: Any) -> Case:
    """A command without torch, in a process of its own."""
    fixed = {"exit_code": 0, "prints": "cosine", "command": command or ("ls", "schedule")}
    return Case(row=row, name=name, shell=shell, **(fixed | more))


def ran(row: int, name: str, shell: str = '"$@"', **more: Any) -> Case:
    """A run of a step, in a process of its own."""
    fixed: dict[str, Any] = {
        "exit_code": 0,
        "lines": None,
        "leaves": ("runs",),
        "files": {"c.gin": CONFIG},
    }
    command = ("run", "c.gin")
    return Case(row=row, name=name, shell=shell, command=command,
                needs_torch=True, **(fixed | more))  # fmt: skip


LOOKED = [
    looked(51, "no home", environment={"HOME": None}),
    looked(51, "a home that isn't there, nowhere for temporary files", environment=ODD),
    looked(51, "an empty path", 'PATH= "$@"'),
    looked(52, "20 open files at most", 'ulimit -n 20; "$@"'),
    looked(52, "300 MB of address space", 'ulimit -v 300000; "$@"'),
    looked(52, "no file larger than nothing", 'ulimit -f 0; "$@"'),
    looked(60, "asserts off", 'python=$1; shift; "$python" -OO "$@"'),
    looked(60, "a working folder that is gone", 'mkdir x; cd x; rmdir ../x; "$@"'),
    looked(60, "a config in a working folder that is gone", 'mkdir x; cd x; rmdir ../x; "$@"', "check", "quickstart.gin"),
    looked(60, "a working folder that is gone, and a run in it", 'mkdir x; cd x; rmdir ../x; "$@"', "resume", "latest",
           exit_code=2, says="no run 'latest' in runs, which has none", prints="", needs_torch=True),
]  # fmt: skip
RAN = [
    ran(51, "a run with nothing but an odd environment", 'python=$1; shift; "$python" -OO "$@"', environment=ODD),
    ran(52, "a run of 64 open files at most", 'ulimit -n 64; "$@"'),
    ran(52, "a run in 600 MB of address space", 'ulimit -v 600000; "$@"', exit_code=2, lines=1, says="^torch cannot be imported: .*; see cifarzoo doctor$", leaves=()),
    ran(52, "torch that is damaged", environment={"PYTHONPATH": "{root}/work"}, files={"c.gin": CONFIG, "torch/__init__.py": "raise OSError('libc10.so: cannot open')"},
        exit_code=2, lines=1, says=r"^torch cannot be imported: libc10\.so: cannot open; see cifarzoo doctor$", leaves=("torch/__pycache__",)),
    ran(52, "torch that is missing", environment={"PYTHONPATH": "{root}/work"}, files={"c.gin": CONFIG, "torch/__init__.py": "raise ModuleNotFoundError('No module', name='torch')"},
        exit_code=2, lines=1, says=r"^torch cannot be imported: No module; see cifarzoo doctor$", leaves=("torch/__pycache__",)),
    ran(53, "a number of threads that is none", environment={"OMP_NUM_THREADS": "many"}),
    ran(53, "no thread at all", environment={"OMP_NUM_THREADS": "0"}),
    ran(37, "files from the future", 'touch -d 2099-01-01 c.gin; "$@"', leaves=("runs", "c.gin")),
]  # fmt: skip
CASES = [*LOOKED, *RAN]
