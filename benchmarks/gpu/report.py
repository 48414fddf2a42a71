"""The findings as Markdown: what is wrong first, then a table a kind of check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cifarzoo.results.tables import tables

TRAINING_IMAGES = 50_000
FURTHEST = 8  # components in the table
PROJECTED = "flax_gpu"  # the published table whose times are projected


def failures(found: Mapping[str, Any]) -> list[str]:
    """What is wrong with a check: errors of its findings, and how its process ended."""
    wrong = [
        f"{name}: {finding['error']}"
        for name, finding in found.get("findings", {}).items()
        if "error" in finding
    ]
    return wrong + ([f"ended with {found['exit']}"] if found.get("exit", 0) != 0 else [])


def markdown(found: Mapping[str, Any]) -> str:
    """All findings of all checks as one document."""
    findings = {name: check.get("findings", {}) for name, check in found.items()}
    wrong = [f"{name}: {text}" for name, check in found.items() for text in failures(check)]
    skipped = [f"{name}: skipped, {c['skipped']}" for name, c in found.items() if "skipped" in c]
    speeds = {
        (name, variant): finding
        for name, of_check in findings.items()
        for variant, finding in of_check.items()
        if "images_per_second" in finding and "recipe" in finding
    }
    parts = [
        _section("Wrong or left out", [f"* {line}" for line in [*wrong, *skipped]] or ["nothing"]),
        _section("Machine", _facts(findings.get("machine", {}))),
        _section("Agreement", _agreement(findings.get("agreement", {}))),
        _section("Components", _components(findings.get("components", {}))),
        _section("Speed", _speeds(speeds)),
        _section("Steps", _steps(findings)),
        _section("Whole runs", _whole_runs(findings)),
        _section("Hours of published rows, by the training steps alone", _hours(speeds.values())),
    ]
    return "# GPU check\n\n" + "\n\n".join(parts) + "\n"


def _section(title: str, lines: Iterable[str]) -> str:
    return "\n".join([f"## {title}", "", *lines])


def _table(heading: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    head = list(heading)
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(map(str, cells))} |" for cells in lines]


def _facts(machine: Mapping[str, Any]) -> list[str]:
    versions, gpu = machine.get("versions", {}), machine.get("gpu", {})
    commit = (versions.get("git") or {}).get("commit", "unknown")
    facts = {"device": versions.get("device"), "commit": commit, **versions.get("versions", {})}
    facts |= versions.get("machine", {}) | gpu
    rates = machine.get("rates", {})
    measured = {name: f"{rate['median']:.3g} a second" for name, rate in rates.items()}
    return _table(["fact", "value"], (facts | measured).items())


def _agreement(cases: Mapping[str, Any]) -> list[str]:
    rows = [
        (name, f"{case['difference']:.1e}", f"{case['tolerance']:.0e}", case["tensor"])
        for name, case in cases.items()
        if "difference" in case
    ]
    return _table(["two trainings", "largest difference", "expected at most", "tensor"], rows)


def _components(found: Mapping[str, Any]) -> list[str]:
    """How many agree, and which are furthest apart."""
    differences = {name: each["difference"] for name, each in found.items() if "tensor" in each}
    furthest = sorted(differences, key=lambda name: -differences[name])[:FURTHEST]
    rows = [(name, f"{differences[name]:.1e}", found[name]["tensor"]) for name in furthest]
    about = f"{len(differences)} of {len(found)} trained on both; those furthest apart:"
    return [about, "", *_table(["component", "largest difference", "tensor"], rows)]


def _speeds(speeds: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[str]:
    heading = ["check", "variant", "precision", "batch", "images/s", "bare loop", "batches alone"]
    heading += ["testing", "ms a step", "CPU ms a step", "TFLOP/s", "peak GiB", "first steps s"]
    rows = []
    for (name, variant), speed in speeds.items():
        rates = [f"{rate['median']:.0f}" for rate in speed["images_per_second"].values()]
        numbers = [f"{speed['step_ms']:.2f}", f"{speed['host_cpu_ms']:.2f}"]
        numbers += [f"{speed['flops_per_second'] / 1e12:.2f}", f"{speed['peak_memory_gib']:.2f}"]
        numbers += [f"{speed['warm_up_seconds']:.1f}"]
        about = [name, variant, speed["precision"], f"{speed['batch_size']:.0f}"]
        rows.append([*about, *rates, *numbers])
    return _table(heading, rows)


def _steps(findings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Waits and kernels of a step, with where waits come from and which kernels are longest."""
    lines = []
    for name, check in findings.items():
        for about, finding in check.items():
            details = finding.get("places") or finding.get("longest_ms")
            if "per_step" in finding:
                lines.append(f"* {name}, {about}: {finding['per_step']:g} a step")
                lines += [f"    * {what}: {number:.3g}" for what, number in (details or {}).items()]
    return lines


def _whole_runs(findings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        f"* {name}, {about}: {', '.join(f'{key} {value}' for key, value in finding.items())}"
        for name, check in findings.items()
        for about, finding in check.items()
        if about in ("stopped and resumed", "result")
    ]


def _hours(speeds: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Rows of the published table whose recipe was measured, by its fastest variant."""
    speeds = list(speeds)
    for row in tables()[PROJECTED].rows.values():
        fitting = [
            speed["images_per_second"]["training"]["median"]
            for speed in speeds
            if speed["recipe"] == row.recipe and set(row.sets) <= set(speed["settings"])
        ]
        if fitting and row.epochs:
            hours = row.epochs * TRAINING_IMAGES / max(fitting) / 3600
            published = ", ".join(filter(None, (row.hardware, row.time)))
            yield f"* {row.path}: {hours:.2f} h here; published {published or 'without a time'}"
