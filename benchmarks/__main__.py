"""``python -m benchmarks --data DIR``: all of it, in a quarter of an hour on two idle cores."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import engine, tables
from benchmarks.side_by_side import CONTENDERS, Entry, compare, of_extension, of_tree
from benchmarks.task import Task, save_images
from cifarzoo.bench.report import origin
from cifarzoo.errors import CifarzooError, UsageError

RESULTS = Path(__file__).parent / "results"
SIDE_BY_SIDE = (("resnet18", 128, 2), ("wrn26_2", 64, 4), ("wrn26_2", 128, 2))  # steps a turn
PARTS = ("side_by_side", "engine")
ASK = "from importlib.metadata import version as v; "
ASK += "print(v('intel_extension_for_pytorch'), 'with torch', v('torch'))"


def main() -> None:
    """Measure, and write JSON and tables."""
    options = _options()
    try:
        _check(options)
        options.out.mkdir(parents=True, exist_ok=True)
        for part in options.parts:
            found = {"side_by_side": _side_by_side, "engine": _engine}[part](options)
            _write(options.out / f"{part}.json", found)
            lines = {"side_by_side": tables.side_by_side, "engine": tables.engine}[part](
                found["results"]
            )
            _write_table(options.out / f"{part}.md", found, lines)
    except CifarzooError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="where CIFAR-10 lies")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where results go")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender")
    parser.add_argument("--threads", type=int, default=1, help="of the contenders")
    parser.add_argument("--workers", type=int, default=2, help="of the contenders' loaders")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    names = [entry.name for entry in CONTENDERS]
    parser.add_argument(
        "--contenders",
        nargs="+",
        choices=names,
        default=names,
        metavar="NAME",
        help="who takes part",
    )
    parser.add_argument(
        "--ipex-python", help="a Python with Intel's extension, which then takes part"
    )
    parser.add_argument(
        "--trees", nargs="+", type=Path, default=[], help="checkouts whose cifarzoo takes part"
    )
    return parser.parse_args()


def _check(options: argparse.Namespace) -> None:
    for name in ("rounds", "threads", "workers"):
        if getattr(options, name) < 1:
            raise UsageError(f"--{name} is {getattr(options, name)}; expected at least 1")
    if "side_by_side" not in options.parts:
        return
    for tree in options.trees:
        if not (tree / "benchmarks" / "contender.py").is_file():
            raise UsageError(f"--trees names {str(tree)!r}; expected a checkout with benchmarks/")
    if options.ipex_python:
        _extension(options.ipex_python)
    if any(name.startswith("timm") for name in options.contenders) and find_spec("timm") is None:
        raise UsageError("timm is not installed; pip install -e '.[benchmarks]'")


def _side_by_side(options: argparse.Namespace) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        title = save_images(options.data, Path(folder))
        results = [
            compare(
                Task(
                    network=network,
                    batch_size=batch_size,
                    threads=options.threads,
                    workers=options.workers,
                    images=folder,
                ),
                rounds=options.rounds,
                steps=steps,
                emit=_print_note,
                entries=_entries(options),
            )
            for network, batch_size, steps in SIDE_BY_SIDE
        ]
    peers = {"timm": version("timm")} if find_spec("timm") else {}
    if options.ipex_python:
        peers["ipex"] = _extension(options.ipex_python)
    return {**origin(), **peers, "data": title, "results": results}


def _extension(python: str) -> str:
    """Versions of Intel's extension and of its torch."""
    try:
        asked = [python, "-c", ASK]
        done = subprocess.run(asked, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        raise UsageError(
            f"--ipex-python is {python!r}; expected a Python that has intel_extension_for_pytorch"
        ) from error
    return done.stdout.strip()


def _entries(options: argparse.Namespace) -> list[Entry]:
    entries = [entry for entry in CONTENDERS if entry.name in options.contenders]
    entries += [of_tree(tree.resolve()) for tree in options.trees]
    return entries + ([of_extension(options.ipex_python)] if options.ipex_python else [])


def _engine(options: argparse.Namespace) -> dict[str, Any]:
    return {
        **origin(),
        "results": engine.measure(options.data, rounds=options.rounds, emit=_print_note),
    }


def _write(path: Path, found: dict[str, Any]) -> None:
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _write_table(path: Path, found: dict[str, Any], lines: Iterable[str]) -> None:
    commit = (found["git"] or {}).get("commit", "unknown")[:8]
    machine, versions = found["machine"], found["versions"]
    about = f"{found['created']}, commit {commit}, {machine['cpu']}, {machine['cores']} cores, "
    about += f"torch {versions['torch']}"
    about += "".join(f", {name} {found[name]}" for name in ("timm", "ipex") if name in found)
    text = "\n".join([about, "", *lines])
    path.write_text(text.rstrip() + "\n", encoding="utf-8")
    sys.stdout.write(f"{text}\n")


def _print_note(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


if __name__ == "__main__":
    main()
