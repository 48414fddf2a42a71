"""Pairwise covering arrays: few rows in which every two values of any two factors meet."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import TypeAlias

Item: TypeAlias = tuple[str, str]  # a factor, and one of its values
Pair: TypeAlias = frozenset[Item]
Row: TypeAlias = dict[str, str]
Allowed: TypeAlias = Callable[[Item, Item], bool]

TRIES = 4  # rows that are made for each that is kept


def pairs_of(row: Row) -> set[Pair]:
    return {frozenset(pair) for pair in combinations(row.items(), 2)}


def all_pairs(factors: Mapping[str, Sequence[str]], allowed: Allowed) -> set[Pair]:
    """Every two values of different factors that may meet."""
    items = [(factor, value) for factor, values in factors.items() for value in values]
    return {frozenset((a, b)) for a, b in combinations(items, 2) if a[0] != b[0] and allowed(a, b)}


def covering_array(
    factors: Mapping[str, Sequence[str]], allowed: Allowed, *, seed: int
) -> list[Row]:
    """Rows without a pair that isn't allowed, in which every pair that is has its place.

    Greedy: a row begins with a pair that is still to be covered, and each further factor takes
    the value that covers most; the best of some rows is kept (Cohen et al., 1997).

    Args:
        factors: The values of each factor.
        allowed: Whether two values of different factors may meet.
        seed: Seed of what is chosen where several values are as good.

    Raises:
        ValueError: A pair is allowed that no row can have, since nothing fits beside it.
    """
    rng = random.Random(seed)
    open_pairs = all_pairs(factors, allowed)
    rows = []
    while open_pairs:
        begin = rng.choice(sorted(map(sorted, open_pairs)))
        made = [_row(begin, factors, allowed, open_pairs, rng) for _ in range(TRIES)]
        whole = [row for row in made if row is not None]
        if not whole:
            raise ValueError(f"nothing fits beside {begin}; it is a pair that isn't allowed")
        rows.append(max(whole, key=lambda row: len(pairs_of(row) & open_pairs)))
        open_pairs -= pairs_of(rows[-1])
    return rows


def _row(
    begin: Sequence[Item],
    factors: Mapping[str, Sequence[str]],
    allowed: Allowed,
    open_pairs: set[Pair],
    rng: random.Random,
) -> Row | None:
    """A whole row that begins with some values; None: it ran into a corner."""
    row = dict(begin)
    for factor in rng.sample(sorted(factors), len(factors)):
        if factor in row:
            continue
        fitting = [v for v in factors[factor] if all(allowed((factor, v), i) for i in row.items())]
        if not fitting:
            return None
        gains = [
            sum(frozenset(((factor, v), i)) in open_pairs for i in row.items()) for v in fitting
        ]
        best = max(gains)
        row[factor] = rng.choice([v for v, g in zip(fitting, gains, strict=True) if g == best])
    return {factor: row[factor] for factor in factors}
