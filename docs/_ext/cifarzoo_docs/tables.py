"""Widths of the columns of tables with much text.

Left to a browser, a column of paragraphs beside short ones can become one word wide.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

_FITS = 160  # characters of a row, about two lines on a page


class TableWidths(SphinxPostTransform):
    """Columns of a long table get widths by what they hold."""

    default_priority = 30

    def run(self, **kwargs: Any) -> None:  # noqa: ARG002  # Sphinx's signature
        """Set the widths, in hundredths of the table's."""
        for table in self.document.findall(nodes.table):
            texts = _columns(table)
            if len(texts) < 3 or sum(max(map(len, of)) for of in texts) <= _FITS:
                continue
            weights = [_weight(of) for of in texts]
            for spec, weight in zip(table.findall(nodes.colspec), weights, strict=True):
                spec["colwidth"] = round(100 * weight / sum(weights))
            kept = [name for name in table["classes"] if name != "colwidths-auto"]
            table["classes"] = [*kept, "colwidths-given", "wide"]


def _columns(table: nodes.table) -> list[list[str]]:
    rows = [[cell.astext() for cell in row.children] for row in table.findall(nodes.row)]
    return [list(column) for column in zip(*rows, strict=True)]


def _weight(texts: list[str]) -> float:
    """The root of the longest text, so that it gets lines too; but no word is to be broken."""
    longest_word = max(len(word) for text in texts for word in text.split() or [""])
    return max(1.6 * sqrt(max(map(len, texts))), 0.5 * min(longest_word, 20) + 1)
