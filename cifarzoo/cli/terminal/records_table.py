"""Tables of plain values in the format that a command was asked for; on a terminal, a rich one."""

from __future__ import annotations

import sys

from rich.table import Table

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.text import Text
from cifarzoo.results.formats import Format, Records, written


def print_records(records: Records, format: Format) -> None:  # noqa: A002  # as the option
    """Print ``records`` on stdout as ``format`` says."""
    if format == "table":
        console.print_table(console.results(), records_table(records))
    else:
        sys.stdout.write(written(records, format) + "\n")


def records_table(records: Records) -> Table:
    """A row a record, numbers at the right."""
    table = Table(box=None, pad_edge=False)
    for name in records.columns:
        justify = "right" if records.is_numeric(name) else "left"
        table.add_column(Text(name), justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in records.rows:
        table.add_row(*(Text(records.cell(row, name)) for name in records.columns))
    return table
