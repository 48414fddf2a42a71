"""The data path: from stored images to a batch, ours beside torchvision's, in turns on one thread.

``python -m benchmarks.data_path --data DIR`` prints images a second of CPU time and writes
every sample to ``benchmarks/results/data_path.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks.image_paths import dataset_of, paths, source_of
from cifarzoo.bench.measurement import load_average
from cifarzoo.bench.spreads import rate, ratio
from cifarzoo.bench.timing import Sample, interleave
from cifarzoo.run_folders.provenance import git_state, provenance

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "data_path.json"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="where CIFAR-10 lies; without: drawn shapes")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[128, 1024])
    parser.add_argument("--output", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    dataset = dataset_of(chosen.data)
    source = source_of(dataset)
    before = load_average()
    found = {}
    for size in chosen.batch_sizes:
        jobs = {name: job() for name, job in paths(replace(source, batch_size=size)).items()}
        ready = {name: (lambda work=work: work) for name, work in jobs.items()}
        samples = interleave(ready, rounds=chosen.rounds, device=torch.device("cpu"), emit=say)
        found[size] = rows(samples)
        say(table(found[size], title=f"batch {size}, {dataset.title}"))
    facts = provenance([])
    report = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": git_state(ROOT),
        **{name: facts[name] for name in ("python", "versions", "machine")},
        "dataset": dataset.title,
        "images": len(source.split.labels),
        "threads": 1,
        "rounds": chosen.rounds,
        "load_average": {"before": before, "after": load_average()},
        "batch_sizes": found,
    }
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def keep_freed_memory() -> None:
    """Free a large block, after which glibc keeps blocks of its size, as in any training.

    Until then each batch would be given back to the system and its pages taken anew, which
    costs several times what making the batch does.
    """
    torch.empty(30 * 2**20, dtype=torch.uint8).fill_(0)


def rows(samples: Mapping[tuple[str, str], Sequence[Sample]]) -> list[dict[str, Any]]:
    """Images a second of CPU time, and how many times those of the first way to do the same."""
    first: dict[str, Sequence[Sample]] = {}
    for (what, _), taken in samples.items():
        first.setdefault(what, taken)
    return [
        {
            "what": what,
            "who": who,
            "per_cpu_second": rate(taken, "cpu_seconds"),
            "times_as_fast": ratio(taken, first[what], "cpu_seconds"),
            "samples": [vars(sample) for sample in taken],
        }
        for (what, who), taken in samples.items()
    ]


def table(found: Sequence[Mapping[str, Any]], *, title: str) -> str:
    """The rows as a table in Markdown."""
    lines = [f"\n{title}\n", "| | | img/s a core | x (low to high) |", "| --- | --- | --: | --: |"]
    for row in found:
        images, times = row["per_cpu_second"]["median"], row["times_as_fast"]
        spread = f"{times['median']:.1f} ({times['low']:.1f} to {times['high']:.1f})"
        lines.append(f"| {row['what']} | {row['who']} | {images:,.0f} | {spread} |")
    return "\n".join(lines)


def say(text: str) -> None:
    """Progress goes to stderr, tables to stdout."""
    stream = sys.stdout if text.startswith("\n") else sys.stderr
    stream.write(text + "\n")


if __name__ == "__main__":
    main()
