"""``python -m tests.trust [IDS...] [--fast]``: runs the checks and writes docs/trust.md."""

from __future__ import annotations

import argparse
import atexit
import importlib
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock

from tests import trust
from tests.trust import report
from tests.trust.cases import Budget, Check, Outcome

DOCUMENT = Path(__file__).parents[2] / "docs" / "trust.md"


def main() -> int:
    """Run what was asked for; 1 if any case failed."""
    arguments = _arguments()
    # A shell that starts this behind its back, or nohup, would have all attempts ignore them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.environ["OMP_NUM_THREADS"] = "1"  # read by the zygote, whose children the attempts are
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    # Launchers that were killed leave semaphores to the standard library's tracker, which tells.
    os.environ["PYTHONWARNINGS"] = "ignore:resource_tracker:UserWarning"
    if "CIFARZOO_STATE" not in os.environ:  # what runs remember isn't this user's own
        os.environ["CIFARZOO_STATE"] = tempfile.mkdtemp(prefix="trust-state-")
        atexit.register(shutil.rmtree, os.environ["CIFARZOO_STATE"], ignore_errors=True)
    checks = all_checks()
    chosen = arguments.ids or sorted(checks, key=_order)
    unknown = [name for name in chosen if name not in checks]
    if unknown:
        sys.exit(f"no check {', '.join(unknown)}; there are {', '.join(sorted(checks))}")
    if arguments.jobs > 1 and len(chosen) > 1:
        return _share_out(chosen, arguments)
    failed = 0
    for name in chosen:
        result = _run(checks[name], is_fast=arguments.fast, seed=arguments.seed)
        failed += sum(not outcome.passed for outcome in result.outcomes)
        if arguments.write:  # after each: half an hour is long
            with FileLock(Path(tempfile.gettempdir(), f"{DOCUMENT.name}.lock")):
                report.write([result], DOCUMENT)
    sys.stdout.write(f"\n{failed} failed\n")
    return 1 if failed else 0


def _share_out(chosen: Sequence[str], arguments: argparse.Namespace) -> int:
    """Each check in a process of its own, ``--jobs`` of them at a time; 1 if any failed."""
    started = time.monotonic()
    options = ["--seed", str(arguments.seed)]
    options += ["--fast"] * arguments.fast + ["--write"] * arguments.write

    def run(name: str) -> int:
        command = [sys.executable, "-m", "tests.trust", name, *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        sys.stdout.write(done.stdout)
        sys.stdout.flush()
        return done.returncode

    with ThreadPoolExecutor(arguments.jobs) as pool:
        failed = sum(code != 0 for code in pool.map(run, chosen))
    minutes = (time.monotonic() - started) / 60
    sys.stdout.write(f"\n{failed} of {len(chosen)} checks failed; {minutes:.1f} minutes\n")
    return 1 if failed else 0


def all_checks() -> dict[str, Check]:
    """Every check of every module of this package, by id."""
    checks: dict[str, Check] = {}
    for module in pkgutil.iter_modules(trust.__path__):
        if module.name == "__main__":
            continue
        for check in getattr(importlib.import_module(f"tests.trust.{module.name}"), "CHECKS", ()):
            if check.id in checks:
                raise ValueError(f"two checks are called {check.id}")
            checks[check.id] = check
    return checks


def _run(check: Check, *, is_fast: bool, seed: int) -> report.Result:
    sys.stdout.write(f"\n{check.id} {check.title}\n")
    started = time.monotonic()
    scratch = Path(tempfile.mkdtemp(prefix=f"trust-{check.id}-"))
    outcomes = []
    for outcome in _outcomes(check, Budget(scratch=scratch, is_fast=is_fast, seed=seed)):
        outcomes.append(outcome)
        word = "skip" if outcome.skipped else "ok  " if outcome.passed else "FAIL"
        sys.stdout.write(f"  {word} {outcome.name}: {outcome.skipped or outcome.figure}\n")
        sys.stdout.flush()
    seconds = time.monotonic() - started
    sys.stdout.write(f"  {len(outcomes)} cases in {seconds:.0f} s\n")
    if all(outcome.passed for outcome in outcomes):
        shutil.rmtree(scratch, ignore_errors=True)
    else:
        sys.stdout.write(f"  what is left of it is in {scratch}\n")
    return report.Result(
        id=check.id, title=check.title, seconds=seconds, is_fast=is_fast, outcomes=tuple(outcomes)
    )


def _outcomes(check: Check, budget: Budget) -> Iterator[Outcome]:
    try:
        yield from check.run(budget)
    except Exception as error:  # a check that breaks off has proved nothing
        traceback.print_exc()
        yield Outcome(name="the check itself", passed=False, figure=f"raised {error!r}")


def _order(name: str) -> tuple[int, int]:
    return "RCSDNB".find(name[0]), int(name[1:])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.trust", description=__doc__)
    parser.add_argument("ids", nargs="*", metavar="ID", help="such as R1 C1; all, if none is named")
    parser.add_argument("--fast", action="store_true", help="a few cases of each sort")
    parser.add_argument("--seed", type=int, default=0, help="of random times and places")
    parser.add_argument("--jobs", type=int, default=1, help="checks at a time")
    parser.add_argument("--write", action="store_true", help="write docs/trust.md and .json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
