"""``python -m benchmarks.gpu --data DIR --out DIR``: the check of a GPU, in seven minutes.

Each check is a process of its own under a time limit, which loses only itself when it fails. What
is known is written after each of them, so that nothing is lost when the time is up.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.gpu.plan import FULL, SMALL, Check
from benchmarks.gpu.report import failures, markdown
from cifarzoo.errors import CifarzooError, UsageError

LEAST_SECONDS = 12.0  # in which a check can find out something
# Threads that spin while they wait lose their time slices on a machine that does other things too.
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}
SMALL_ENVIRONMENT = {"OMP_NUM_THREADS": "1"}
MOST_OUTPUT = 1500  # characters of a failed check's output that are kept


def main() -> int:
    """Do the checks, and write ``gpu_check.json`` and ``gpu_check.md``."""
    options = _options()
    try:
        _refuse_what_cannot_work(options)
    except CifarzooError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    options.out.mkdir(parents=True, exist_ok=True)
    until = math.inf if options.small else time.monotonic() + options.budget
    found: dict[str, Any] = {}
    for check in SMALL if options.small else FULL:
        if options.only and not check.name.startswith(tuple(options.only)):
            continue
        left = until - time.monotonic()
        if left < LEAST_SECONDS:
            found[check.name] = {"skipped": f"{max(left, 0):.0f} s were left"}
        else:
            found[check.name] = _in_a_process(check, options, min(check.limit, left))
        _write(options.out, found)
        _print(check.name, found[check.name])
    return 1 if any(map(failures, found.values())) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with CIFAR-10; not needed with --small")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "--budget", type=float, default=420.0, help="seconds for all checks but small ones"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="beginnings of checks' names")
    parser.add_argument("--small", action="store_true", help="tiny networks, on a CPU too")
    return parser.parse_args()


def _refuse_what_cannot_work(options: argparse.Namespace) -> None:
    if options.small:
        return
    if options.data is None or not options.data.is_dir():
        raise UsageError(f"--data is {options.data}; expected a folder with CIFAR-10")
    import torch

    if not torch.cuda.is_available():
        raise UsageError("torch finds no CUDA device; --small checks this program on a CPU")


def _in_a_process(check: Check, options: argparse.Namespace, limit: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.gpu.child", check.name]
    command += ["--small"] if options.small else []
    command += ["--data", str(options.data)] if options.data else []
    environment = {**ENVIRONMENT, **(SMALL_ENVIRONMENT if options.small else {}), **os.environ}
    started = time.monotonic()
    with TemporaryDirectory() as folder:
        records, console = Path(folder, "records"), Path(folder, "console")
        command += ["--records", str(records)]
        with console.open("w") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)  # noqa: S603
            exit_code = _wait(process, limit)
        lines = records.read_text(encoding="utf-8").splitlines() if records.exists() else []
        found = {"findings": dict(map(json.loads, lines)), "seconds": time.monotonic() - started}
        if exit_code == 0 and not failures(found):
            return found
        return {**found, "exit": exit_code, "output": console.read_text()[-MOST_OUTPUT:]}


def _wait(process: subprocess.Popen[bytes], limit: float) -> int | str:
    """The exit code of ``process``, or that it was killed."""
    with process:
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            return f"killed after {limit:.0f} s"


def _write(folder: Path, found: dict[str, Any]) -> None:
    text = json.dumps(found, indent=1)
    (folder / "gpu_check.json").write_text(text + "\n", encoding="utf-8")
    (folder / "gpu_check.md").write_text(markdown(found), encoding="utf-8")


def _print(name: str, found: dict[str, Any]) -> None:
    state = ", ".join(failures(found)) or found.get("skipped") or "fine"
    sys.stdout.write(f"{name}: {state} ({found.get('seconds', 0):.0f} s)\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
