r"""Tables of plain values as text that other programs read: JSON, CSV, Markdown and LaTeX.

JSON and CSV have every digit; Markdown and LaTeX, which people read, have as many decimals as a
column is given. Nothing that a value holds is obeyed by what reads it: a spreadsheet, a page, TeX
or a terminal. What a table looks like on a terminal is in ``cli/terminal/records_table.py``.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal, TypeAlias

from cifarzoo.escaping import visible_line
from cifarzoo.run_folders.strict_json import strict_json

Format: TypeAlias = Literal["table", "json", "csv", "md", "latex"]
TextFormat: TypeAlias = Literal["json", "csv", "md", "latex"]

SIGNIFICANT = 6  # digits of a number whose column is given no decimals
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # begin what a spreadsheet evaluates
IN_MARKDOWN = re.compile(r"[\\|*`\[\]<>~&#]|(?<![^\W_])_|_(?![^\W_])")
IN_LATEX = {
    **{ord(special): f"\\{special}" for special in "&%$#_{}"},
    ord("\\"): r"\textbackslash{}",
    ord("~"): r"\textasciitilde{}",
    ord("^"): r"\textasciicircum{}",
    ord("<"): r"\textless{}",
    ord(">"): r"\textgreater{}",
    ord("|"): r"\textbar{}",
    ord('"'): r"\textquotedbl{}",
}


@dataclass(frozen=True, kw_only=True)
class Records:
    """A table of plain values.

    Attributes:
        columns: Names of the columns.
        rows: Values of each row by column; None, or a column that is left out, is an empty cell.
        decimals: Number of decimals that people are shown, by column.
    """

    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    decimals: Mapping[str, int] = field(default_factory=dict)

    def is_numeric(self, column: str) -> bool:
        """Whether a column holds numbers alone."""
        values = [row.get(column) for row in self.rows]
        return all(value is None or is_number(value) for value in values) and any(
            value is not None for value in values
        )

    def cell(self, row: Mapping[str, Any], column: str) -> str:
        """What people are shown of a value; empty: there is none."""
        value = row.get(column)
        if not isinstance(value, float):
            return _text(value)
        if not math.isfinite(value):
            return ""
        decimals = self.decimals.get(column)
        return f"{value:.{SIGNIFICANT}g}" if decimals is None else f"{value:.{decimals}f}"


def written(records: Records, format: TextFormat) -> str:  # noqa: A002  # as the option is called
    """A table as text, without the end of its last line.

    Args:
        records: Table to write.
        format: Name of the format.
    """
    return {"json": _json, "csv": _csv, "md": _markdown, "latex": _latex}[format](records)


def html(records: Records) -> str:
    """A table as HTML, for a page or a notebook."""
    heading = "".join(f"<th>{escape(name)}</th>" for name in records.columns)
    sides = ['style="text-align: right"' * records.is_numeric(name) for name in records.columns]
    rows = "".join(
        f"<tr>{''.join(_html_cell(records.cell(row, name), side) for name, side in cells)}</tr>"
        for row in records.rows
        for cells in [zip(records.columns, sides, strict=True)]
    )
    return f"<table><thead><tr>{heading}</tr></thead><tbody>{rows}</tbody></table>"


def _html_cell(text: str, side: str) -> str:
    return f"<td {side}>{escape(text)}</td>" if side else f"<td>{escape(text)}</td>"


def is_number(value: object) -> bool:
    """Whether a value is a number rather than a truth."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _json(records: Records) -> str:
    rows = [{name: row.get(name) for name in records.columns} for row in records.rows]
    return strict_json(rows, indent=2)


def _csv(records: Records) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_inert, records.columns))
    for row in records.rows:
        writer.writerow(_csv_cell(row.get(name)) for name in records.columns)
    return text.getvalue().removesuffix("\n")


def _csv_cell(value: Any) -> str:
    if is_number(value):
        return repr(value) if math.isfinite(value) else ""
    return _inert(_text(value))


def _inert(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _markdown(records: Records) -> str:
    heading = [_in_markdown(name) for name in records.columns]
    rows = [[_in_markdown(records.cell(r, name)) for name in records.columns] for r in records.rows]
    is_numeric = [records.is_numeric(name) for name in records.columns]
    widths = [max(3, *map(len, column)) for column in zip(heading, *rows, strict=True)]
    rule = [
        "-" * (width - 1) + ":" if right else "-" * width
        for width, right in zip(widths, is_numeric, strict=True)
    ]
    lines = [_padded(cells, widths, is_numeric) for cells in (heading, rule, *rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _in_markdown(text: str) -> str:
    return IN_MARKDOWN.sub(r"\\\g<0>", text)


def _latex(records: Records) -> str:
    is_numeric = [records.is_numeric(name) for name in records.columns]
    heading = [name.translate(IN_LATEX) for name in records.columns]
    rows = [[_in_latex(records, row, name) for name in records.columns] for row in records.rows]
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    first, *others = [
        " & ".join(_padded(cells, widths, is_numeric)).rstrip() + r" \\"
        for cells in (heading, *rows)
    ]
    places = "".join("r" if right else "l" for right in is_numeric)
    return "\n".join(
        [
            r"\begin{tabular}{" + places + "}  % \\usepackage{booktabs}",
            *(f"  {line}" for line in (r"\toprule", first, r"\midrule", *others, r"\bottomrule")),
            r"\end{tabular}",
        ]
    )


def _in_latex(records: Records, row: Mapping[str, Any], name: str) -> str:
    cell = records.cell(row, name).translate(IN_LATEX)
    is_negative = is_number(row.get(name)) and cell.startswith("-")
    return f"${cell}$" if is_negative else cell  # else the minus is a hyphen


def _padded(cells: Sequence[str], widths: Sequence[int], is_numeric: Sequence[bool]) -> list[str]:
    return [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, is_numeric, strict=True)
    ]


def _text(value: Any) -> str:
    """A value as one line; empty: there is none."""
    if value is None:
        return ""
    return visible_line(value if isinstance(value, str) else strict_json(value))
