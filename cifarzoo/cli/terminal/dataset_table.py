"""Tables of datasets: what ``cifarzoo data verify`` and ``cifarzoo data cache`` print."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.table import Table

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.text import Text

if TYPE_CHECKING:
    from cifarzoo.data.decoded_cache import Entry
    from cifarzoo.data.verify import Verification


def print_verifications(verified: Sequence[Verification]) -> None:
    """Print a row a dataset, and warnings on stderr."""
    if verified:
        console.print_table(console.results(), _table(verified))
    for found in verified:
        if found.repeated:
            console.warn(f"{found.title}: {found.repeated:,} test images are in the training set")


def print_cache(entries: Sequence[Entry]) -> None:
    """Print a row a decoded dataset, if there are any."""
    if not entries:
        return
    table = Table(box=None, pad_edge=False)
    for column in ("dataset", "images", "MB", "used"):
        table.add_column(column, justify="right" if column == "MB" else "left")
    for entry in entries:
        about = entry.about
        used = datetime.fromtimestamp(entry.used, UTC).astimezone()
        table.add_row(
            Text(about.title) if about else Text("damaged", "red"),
            f"{about.num_train:,} + {about.num_test:,}" if about else "",
            f"{entry.size / 1e6:,.0f}",
            f"{used:%Y-%m-%d %H:%M}",
        )
    console.print_table(console.results(), table)


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
