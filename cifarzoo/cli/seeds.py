"""``--seeds``: how many, from and to, or which."""

from __future__ import annotations

from typing import Annotated

import typer

from cifarzoo.errors import UsageError

MOST_SEEDS = 1000

Seeds = Annotated[
    str,
    typer.Option(
        "--seeds", metavar="SEEDS", help="How many (3 is 0, 1, 2), or which: 4:7, or 0,5."
    ),
]


def numbers(text: str) -> list[int]:
    """The seeds that ``--seeds`` means.

    Args:
        text: Value of ``--seeds``: ``3``: the first three; ``4:7``: from 4 to 6; ``0,5``: these.

    Raises:
        UsageError: It is none of these.
    """
    try:
        if "," in text:
            chosen = [int(part) for part in text.removesuffix(",").split(",")]
        else:
            first, _, end = text.rpartition(":")
            chosen = list(range(int(first or 0), min(int(end), int(first or 0) + MOST_SEEDS + 1)))
    except ValueError:
        chosen = []
    if not chosen or min(chosen) < 0 or len(set(chosen)) < len(chosen) or len(chosen) > MOST_SEEDS:
        raise UsageError(
            f"--seeds is {text!r}; expected how many (3), from and to (4:7) or which (0,5), "
            f"at most {MOST_SEEDS}"
        )
    return chosen
