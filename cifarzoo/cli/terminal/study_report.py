"""What ``cifarzoo compare --until-decided`` says, after each pair and at the end."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.units import plural
from cifarzoo.results.comparing.sequential import Sequential
from cifarzoo.results.comparing.studies import Progress, Study

ASSUMES = (
    "the differences are taken for normal: where they are skewed, a difference is seen where there "
    "is none in about one study in ten, and in one in five where they are very skewed"
)


def print_pairs(progress: Progress, shown: int) -> int:
    """Say on stderr what the pairs beyond the first ``shown`` added; give how many there are."""
    study, pairs = progress.study, progress.pairs
    for number, pair in enumerate(pairs[shown:], shown + 1):
        gap = pair.second - pair.first
        console.note(
            f"seed {pair.seed}: {pair.first:.2f} % and {pair.second:.2f} %, {gap:+.2f} points; "
            f"after {plural(number, 'pair')}: {in_words(study, study.decided(pairs[:number]))}"
        )
    return len(pairs)


def print_study(out: Console, progress: Progress) -> None:
    """Print the verdict and what it stands on."""
    study, found = progress.study, progress.decided
    baseline, candidate = study.names
    rows = [
        ("baseline", baseline),
        ("candidate", candidate),
        ("pairs", f"{found.n} of at most {study.max_seeds}"),
        ("difference", _difference(found)),
        ("verdict", f"{candidate}: {in_words(study, found)}"),
        ("assumes", ASSUMES),
        ("runs", str(study.folder(0, 0).parent.parent)),
    ]
    console.print_table(out, console.labelled(rows, indent=0))


def to_json(progress: Progress) -> dict[str, Any]:
    """The promised object; scripts lean on its keys."""
    study, pairs, found = progress.study, progress.pairs, progress.decided
    is_bounded = math.isfinite(found.interval[0])
    return {
        "event": "verdict",
        "baseline": study.names[0],
        "candidate": study.names[1],
        "metric": study.metric,
        "effect": study.effect,
        "pairs": [[pair.seed, pair.first, pair.second] for pair in pairs],
        "difference": found.mean,
        "interval": found.interval if is_bounded else None,
        "evidence": found.evidence if math.isfinite(found.evidence) else None,
        "decision": found.decision,
    }


def in_words(study: Study, found: Sequential) -> str:
    """The decision, with the interval where it says something."""
    low, high = found.interval
    if found.mean is None or not math.isfinite(low):
        return "cannot tell yet: fewer than 5 pairs never can"
    if found.decision in ("better", "worse"):
        if found.mean < 0:
            low, high = -high, -low
        return f"{found.decision} by {abs(found.mean):.2f} ({low:.2f} to {high:.2f})"
    if found.decision == "no difference":
        return f"no difference of {study.effect:g} or more ({low:+.2f} to {high:+.2f})"
    return f"cannot tell ({low:+.2f} to {high:+.2f})"


def _difference(found: Sequential) -> str:
    if found.mean is None:
        return "not known: no pair is done"
    low, high = found.interval
    interval = f"; {low:+.2f} to {high:+.2f} at any number of pairs" if math.isfinite(low) else ""
    return f"{found.mean:+.2f} points{interval}"
