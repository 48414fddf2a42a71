"""Datasets that were read whole, as a table: what ``cifarzoo data verify`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.text import Text

if TYPE_CHECKING:
    from cifarzoo.data.verify import Verification


def print_verifications(verified: Sequence[Verification]) -> None:
    """Print a row a dataset, and warnings on stderr."""
    if verified:
        console.print_table(console.results(), _table(verified))
    for found in verified:
        if found.repeated:
            console.warn(f"{found.title}: {found.repeated:,} test images are in the training set")


def _table(verified: Sequence[Verification]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("dataset", "source", "images", "classes", "pixels", "sha256", ""):
        table.add_column(column, justify="right" if column == "classes" else "left")
    for found in verified:
        table.add_row(
            found.title,
            found.form,
            f"{sum(found.train_images):,} + {sum(found.test_images):,}",
            str(found.classes),
            "\n".join(dict.fromkeys((found.train_pixels, found.test_pixels))),
            "\n".join(f"{digest[:12]}…" for digest in found.sha256.values()),
            Text("wrong", "red") if found.problem else Text("ok", "green"),
        )
    return table
