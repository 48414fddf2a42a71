"""What was measured, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

GIGA = 1e9
LIMITS = ("matmul", "convolution")


def side_by_side(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A table a network: rates, and how many times as fast ours is."""
    for result in found:
        ours = list(result["contenders"][0]["times_as_fast"])
        headings = ["", "images/s of CPU time", *(f"{name} is" for name in ours)]
        headings += ["images/s of wall time", *(f"{name} is" for name in ours)]
        yield (
            f"**{result['network']}, batch {result['batch_size']}** ({result['threads']} threads, "
            f"{result['workers']} loader workers, {result['rounds']} rounds of {result['steps']} "
            f"steps, {_load(result)})"
        )
        yield ""
        yield from _table(headings, map(_contender, result["contenders"]))
        yield ""


def engine(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A row a variant of each recipe, beside the machine's rates; then these."""
    headings = (
        "recipe, batch",
        "",
        "images/s",
        "GFLOP/s",
        *(f"of {limit}" for limit in LIMITS),
        *(f"of {limit}, by CPU time" for limit in LIMITS),
        "CPU time over bare",
        "wall time over bare",
    )
    yield from _table(headings, (row for result in found for row in _variants(result)))
    yield ""
    for result in found:
        for rates in result["rates"]:
            speeds = ", ".join(
                f"{limit} {_spread(rates[limit]['per_second'], GIGA)} GFLOP/s" for limit in LIMITS
            )
            arithmetic = f"{rates['precision']}, {rates['threads']} threads"
            yield f"* beside {result['name']}: {arithmetic}: {speeds}; {_load(result)}"


def _contender(row: dict[str, Any]) -> list[str]:
    times = row["times_as_fast"].values()
    return [
        row["name"],
        _spread(row["per_cpu_second"]),
        *(_spread(ratios["cpu"]) for ratios in times),
        _spread(row["per_second"]),
        *(_spread(ratios["wall"]) for ratios in times),
    ]


def _variants(result: dict[str, Any]) -> Iterator[list[str]]:
    costs = {overhead["engine"]: overhead for overhead in result["overheads"]}
    for row in result["variants"]:
        speed, cost = row["training"]["per_second"], costs.get(row["name"])
        yield [
            f"{result['name']}, {row['batch_size']}",
            row["name"],
            _spread(speed),
            f"{speed['median'] * row['flops_per_image'] / GIGA:.0f}",
            *(
                f"{row['of_machine'][limit][clock]['median']:.0%}"
                for clock in ("wall", "cpu")
                for limit in LIMITS
            ),
            *(f"{cost[clock]['median']:+.1%}" if cost else "" for clock in ("cpu", "wall")),
        ]


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"| {' | '.join('---' for _ in headings)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _spread(values: dict[str, float], unit: float = 1.0) -> str:
    """Median, lowest and highest."""
    median, low, high = (f"{values[name] / unit:.3g}" for name in ("median", "low", "high"))
    return f"{median} ({low} to {high})"


def _load(result: dict[str, Any]) -> str:
    loads = result["load_average"]
    return f"load average {loads['before'][0]} before, {loads['after'][0]} after"
