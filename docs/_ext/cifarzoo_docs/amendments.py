"""What the theme's HTML lacks: for readers without a mouse or a screen, and for narrow columns."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

# Boxes that scroll sideways, which keys can only do if they take the focus.
_SCROLLING = re.compile(r'<pre>|<div class="table-wrapper[^"]*">')
_CODE = re.compile(r'<span class="pre">[^<]{12,}</span>')
_BREAKS = re.compile(r"(?<=\w[/_])(?=\w)|(?<=\w\.)(?=\w{4})")  # within paths and names
_NAVIGATION = "furo_navigation_tree"


def amend(_app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: object) -> None:
    """Amend the page that is about to be written."""
    if body := context.get("body"):
        body = _SCROLLING.sub(lambda box: f'{box[0][:-1]} tabindex="0">', body)
        context["body"] = _CODE.sub(lambda code: _BREAKS.sub("<wbr>", code[0]), body)
    if tree := context.get(_NAVIGATION):
        context[_NAVIGATION] = tree.replace('role="heading"', 'role="heading" aria-level="2"')
