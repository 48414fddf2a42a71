"""The reference of the site, written from the code each time the site is built.

A Sphinx extension. The pages below ``docs/reference/`` are made here and never edited.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from cifarzoo_docs import (
    amendments,
    commands,
    components,
    errors,
    highlighting,
    links,
    pictures,
    python_api,
    tables,
)
from cifarzoo_docs.markdown import page

FOLDER = "reference"


def pages() -> dict[str, str]:
    """The text of every page of the reference, by its name, in the order of the contents."""
    return {
        "settings": components.settings_page(),
        **components.kind_pages(),
        "commands": commands.commands_page(),
        "errors": errors.errors_page(),
        **python_api.pages(),
    }


def overview(names: list[str]) -> str:
    """The page that has all pages of the reference below it."""
    text = "Written from the code when this site is built: it says what this version does."
    toctree = "\n".join(["```{toctree}", ":hidden:", "", *names, "```"])
    return page("Overview", text, components.overview(), toctree)


def write_pages(app: Sphinx) -> None:
    """Write what has changed, so that Sphinx reads that alone again, and remove what is gone."""
    folder = Path(app.srcdir, FOLDER)
    folder.mkdir(exist_ok=True)
    pictures.write_pictures(components.entries(), folder / pictures.FOLDER)
    texts = pages()
    texts["index"] = overview(list(texts))
    for path in folder.glob("*.md"):
        if path.stem not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect all of it to Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("html-page-context", amendments.amend, priority=900)  # after the theme
    app.connect("autodoc-process-signature", python_api.without_constructor)
    app.add_lexer("gin", highlighting.GinLexer)
    app.add_transform(links.OutsideLinks)
    app.add_transform(links.PaperLinks)
    app.add_post_transform(links.ComponentLinks)
    app.add_post_transform(tables.TableWidths)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
