"""How long ``cifarzoo runs`` takes for many runs: with nothing kept of them, and again.

``python -m benchmarks.many_runs`` trains one run of a second, copies its files into as many folders
as are asked for, each with a seed and a learning rate of its own, and times commands as a user
starts them. It prints wall and processor seconds, and those of a command that lists nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from cifarzoo.bench.measurement import load_average
from cifarzoo.run_folders.folder import CONFIG, METRICS, RECORD, RESOLVED
from cifarzoo.run_folders.provenance import provenance

SMALL = ("run.epochs=3", "run.train_images=256", "run.eval_images=128", "sgd.lr=0.05")
RATES, SEEDS = 100, 10
COMMANDS = {
    "list the newest 50": ("-n", "50"),
    "list all": (),
    "list all as JSON": ("--json",),
    "filter by a setting": ("-w", "sgd.lr=0.05"),
    "sort by error": ("--sort", "error", "-n", "50"),
}


def main() -> None:
    """Make the folders, measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    machine = provenance([])["machine"]
    with tempfile.TemporaryDirectory() as place:
        root, env = Path(place), os.environ | {"XDG_CACHE_HOME": f"{place}/caches"}
        copy(trained(root / "one", env), root / "many", chosen.runs)
        listing = [sys.executable, "-m", "cifarzoo", "runs", "-o", str(root / "many")]
        say(f"{chosen.runs:,} runs, {machine['cpu']}, {machine['cores']} cores; load {load()}")
        empty = [*listing[:-1], str(root / "caches")]
        say(row("a folder without runs", [timed(empty, env) for _ in range(chosen.repeats)]))
        say(row("nothing kept of them", [timed([*listing, "-n", "50"], env)]))
        for name, options in COMMANDS.items():
            found = [timed([*listing, *options], env) for _ in range(chosen.repeats)]
            say(row(name, found))
        kept = sum(file.stat().st_size for file in root.glob("caches/cifarzoo/runs/*"))
        say(f"kept: {kept / 1e6:.1f} MB; load {load()}")


def trained(folder: Path, env: dict[str, str]) -> Path:
    """The folder of a run, trained now."""
    sets = [word for setting in SMALL for word in ("-s", setting)]
    command = ["cifarzoo", "run", "quickstart.gin", *sets, "--run-dir", str(folder), "--json"]
    run_quietly([sys.executable, "-m", *command], env)
    return folder


def copy(run: Path, root: Path, number: int) -> None:
    """Copy the texts of a run into ``number`` folders, as a user's own would lie."""
    texts = {name: (run / name).read_text() for name in (CONFIG, RESOLVED, RECORD, METRICS)}
    for index in range(number):
        group, rest = divmod(index, 1000)
        time_of_day = f"{rest // 3600:02}{rest // 60 % 60:02}{rest % 60:02}"
        folder = root / f"recipe{group}" / f"20260101-{time_of_day}-{index * 40503 % 65536:04x}"
        folder.mkdir(parents=True)
        rate, seed = 0.01 * (1 + index // SEEDS % RATES), index % SEEDS
        for name, text in texts.items():
            changed = text.replace("sgd.lr = 0.05", f"sgd.lr = {rate:g}")
            (folder / name).write_text(changed.replace("run.seed = 0", f"run.seed = {seed}"))
        (folder / "checkpoints" / "step-00000012").mkdir(parents=True)
        (folder / ".lock").touch()


def timed(command: Sequence[str], env: dict[str, str]) -> tuple[float, float]:
    """Wall and processor seconds of a command."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run_quietly(command, env)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run_quietly(command: Sequence[str], env: dict[str, str]) -> None:
    """Run a command of ours to its end."""
    subprocess.run(command, env=env, check=True, capture_output=True)  # noqa: S603  # as built here


def row(name: str, found: Sequence[tuple[float, float]]) -> str:
    """A line: the fastest of several attempts, which had the least of other processes' work."""
    wall, processor = (min(each) for each in zip(*found, strict=True))
    return f"{name:24} {wall:6.2f} s, {processor:5.2f} s of a processor"


def load() -> str:
    """The load of the machine over the last minute."""
    return json.dumps(load_average())


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
