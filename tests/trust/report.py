"""docs/trust.json and docs/trust.md: what was promised, what was tried, what came of it.

The document is a function of the figures: ``render`` makes it, and a test compares.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.trust.cases import COMPARED, EQUAL, FAULTS, HUNG, WRONG, Outcome
from tests.trust.promises import INTRODUCTION, PROMISES, WHAT_MAY_DIFFER

Figures = dict[str, Any]
ROOT = Path(__file__).parents[2]
COST = ROOT / "benchmarks" / "results" / "deterministic.json"
COMPARED_WITH_FREE = ("deterministic", "deterministic and filled")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a check.

    Attributes:
        id: The check's.
        title: The check's.
        seconds: It took.
        is_fast: Whether only a few cases of each sort were tried.
        outcomes: One a case.
    """

    id: str
    title: str
    seconds: float
    is_fast: bool
    outcomes: tuple[Outcome, ...]

    def summary(self) -> Figures:
        """The figures, as JSON takes them."""
        tried = [outcome for outcome in self.outcomes if not outcome.skipped]
        counts: Counter[str] = Counter()
        largest: dict[str, float] = {}
        for outcome in tried:
            counts.update(outcome.counts)
            for name, value in outcome.largest.items():
                largest[name] = max(value, largest.get(name, value))
        return {
            "title": self.title,
            "cases": len(tried),
            "passed": sum(outcome.passed for outcome in tried),
            "failed": {o.name: o.figure for o in tried if not o.passed},
            "skipped": {o.name: o.skipped for o in self.outcomes if o.skipped},
            "counts": dict(sorted(counts.items())),
            "largest": dict(sorted(largest.items())),
            "seconds": round(self.seconds),
            "is_fast": self.is_fast,
            "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "commit": _commit(),
        }


def write(results: Iterable[Result], document: Path) -> None:
    """Write the document and, beside it, its figures; those of other checks are kept.

    Figures of another machine are dropped: a document is about one.
    """
    file = document.with_suffix(".json")
    figures: Figures = {"machine": machine(), "checks": {}}
    if file.exists():
        before = json.loads(file.read_text(encoding="utf-8"))
        if before["machine"] == figures["machine"]:
            figures["checks"] = before["checks"]
    figures["checks"] |= {result.id: result.summary() for result in results}
    document.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    document.write_text(render(figures), encoding="utf-8")


def render(figures: Figures) -> str:
    """The document that says ``figures``."""
    checks = figures["checks"]
    return "\n".join(
        [
            INTRODUCTION,
            f"Last run: {_when(checks.values())}, on {figures['machine']['text']}.",
            "",
            f"**{_totals(checks.values())}.**",
            "",
            *_promises(checks),
            "## The checks",
            "",
            "| check | what is tried | cases passed | figures | took | commit |",
            "| --- | --- | --- | --- | --- | --- |",
            *(_row(name, checks[name]) for name in checks_in_order(checks)),
            "",
            *_skips(checks),
            WHAT_MAY_DIFFER,
            *_cost_of_determinism(),
        ]
    )


def checks_in_order(checks: Mapping[str, Figures]) -> list[str]:
    """Ids in the order in which the promises name them, then the others."""
    named = [name for promise in PROMISES for name in promise.checks]
    return sorted(checks, key=lambda name: (*[named.index(name)] * (name in named), len(named)))


def machine() -> dict[str, str]:
    """Where the checks run: what decides bits and speed."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cores = os.cpu_count()
    system = platform.system()
    software = f"Python {platform.python_version()}, torch {version('torch')}"
    return {"text": f"{cores} cores ({model}), {system}, {software}"}


def _promises(checks: Mapping[str, Figures]) -> list[str]:
    lines = []
    for number, promise in enumerate(PROMISES, start=1):
        done = [checks[name] for name in promise.checks if name in checks]
        lacking = [name for name in promise.checks if name not in checks]
        lines += [f"## {number}. {promise.title}", "", promise.text, ""]
        if done:
            lines += [f"*{_totals(done)}* ({', '.join(promise.checks)})", ""]
        if lacking:
            lines += [f"Not run yet: {', '.join(lacking)}.", ""]
    return lines


def _totals(checks: Iterable[Figures]) -> str:
    """One line of sums."""
    checks = list(checks)
    counts: Counter[str] = Counter()
    for check in checks:
        counts.update(check["counts"])
    cases, passed = (sum(check[name] for check in checks) for name in ("cases", "passed"))
    parts = [f"{passed} of {cases} cases as promised"]
    if counts[FAULTS]:
        parts.insert(0, f"faults injected {counts[FAULTS]}")
    if counts[COMPARED]:
        parts.append(f"finals byte-equal {counts[EQUAL]} of {counts[COMPARED]}")
    if FAULTS in counts:
        parts.append(f"silently wrong {counts[WRONG]}")
    parts.append(f"hung {counts[HUNG]}")
    skips = sum(len(check["skipped"]) for check in checks)
    if skips:
        parts.append(f"skipped {skips}")
    return ", ".join(parts)


def _row(name: str, check: Figures) -> str:
    shown = [f"{what} {number}" for what, number in check["counts"].items()]
    shown += [f"{what} at most {number:.3g}" for what, number in check["largest"].items()]
    title = check["title"] + " (a few cases only)" * check["is_fast"]
    passed = f"{check['passed']} of {check['cases']}"
    return (
        f"| {name} | {title} | {passed} | {', '.join(shown)} | {check['seconds']} s "
        f"| {check['commit']} |"
    )


def _cost_of_determinism() -> list[str]:
    """What ``benchmarks/deterministic.py`` found last."""
    if not COST.exists():
        return []
    found = json.loads(COST.read_text(encoding="utf-8"))
    rates = found["rates over those of free"]
    with_it, filled = (rates[name]["cpu_seconds"] for name in COMPARED_WITH_FREE)
    return [
        f"What `run.deterministic` costs on a CPU: training {found['recipe']} at batch "
        f"{found['batch_size']} on {found['threads']} thread with it is",
        f"{with_it['median']:.3f} times as fast as without (CPU time, median of "
        f"{found['rounds']} rounds in turns; {with_it['low']:.3f} to {with_it['high']:.3f}).",
        "Torch's filling of uninitialised memory, which comes with it and which the engine turns",
        f"off, would make that {filled['median']:.3f} ({filled['low']:.3f} to "
        f"{filled['high']:.3f}). `python -m benchmarks.deterministic`; samples in",
        f"[{COST.name}](../benchmarks/results/{COST.name}), of {found['created'][:10]}.",
        "",
    ]


def _skips(checks: Mapping[str, Figures]) -> list[str]:
    lines = [
        f"* {name}, {case}: {reason}"
        for name in checks_in_order(checks)
        for case, reason in checks[name]["skipped"].items()
    ]
    lines += [
        f"* **{name}, {case}: failed**: {figure}"
        for name in checks_in_order(checks)
        for case, figure in checks[name]["failed"].items()
    ]
    return ["Skipped or failed here:", "", *lines, ""] if lines else []


def _when(checks: Iterable[Figures]) -> str:
    times = sorted(check["when"] for check in checks)
    if not times:
        return "never"
    return times[-1] if times[0] == times[-1] else f"{times[0]} to {times[-1]}"


def _commit() -> str:
    """The commit that was checked, with a plus where its code had been changed."""
    known = _git("rev-parse", "--short=7", "HEAD")
    changed = _git("status", "--porcelain", "--", "cifarzoo", "gin", "plugins", "tests")
    return f"{known}+" if known and changed else known or "unknown"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
