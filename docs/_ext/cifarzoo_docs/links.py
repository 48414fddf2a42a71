"""Links that Markdown alone doesn't make: to components, papers, and files beside docs/.

In the repository a page can point to ``../benchmarks``; the site doesn't have it, and names it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform

from cifarzoo.components.index import root
from cifarzoo.components.root import ROOT
from cifarzoo_docs import components

_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")


def targets() -> dict[str, tuple[str, str]]:
    """Page and anchor of what code may name: ``@cutmix``, ``cutmix.p``, ``run.epochs``."""
    found = {}
    for entry in components.entries():
        place = (f"reference/{components.page_of(entry)}", nodes.make_id(entry.name))
        found[f"@{entry.name}"] = place
        found |= {f"{entry.name}.{p.name}": place for p in entry.parameters}
    for setting in root().parameters:
        name = f"{ROOT}.{setting.name}"
        found[name] = ("reference/settings", nodes.make_id(name))
    return found


class ComponentLinks(SphinxPostTransform):
    """Code that names a component or a setting leads to its place in the reference."""

    default_priority = 20

    def run(self, **kwargs: Any) -> None:  # noqa: ARG002  # Sphinx's signature
        """Link what is not in a link, in a heading or on the same page already."""
        known = targets()
        for literal in list(self.document.findall(nodes.literal)):
            place = known.get(_named(literal.astext()))
            inside = (nodes.reference, nodes.title, nodes.term)
            if place is None or place[0] == self.env.docname or _is_within(literal, inside):
                continue
            page, anchor = place
            uri = self.app.builder.get_relative_uri(self.env.docname, page)
            link = nodes.reference("", "", internal=True, refuri=f"{uri}#{anchor}")
            literal.replace_self(link)
            link += literal


def _named(text: str) -> str:
    """What the code names: ``run.epochs`` of ``run.epochs = 200``."""
    return text.partition(" = ")[0]


def _is_within(node: nodes.Node, kinds: tuple[type[nodes.Node], ...]) -> bool:
    above = node.parent
    while above is not None:
        if isinstance(above, kinds):
            return True
        above = above.parent
    return False


class PaperLinks(SphinxTransform):
    """What has an arXiv number leads to the paper."""

    default_priority = 800

    def apply(self, **kwargs: Any) -> None:  # noqa: ARG002  # Sphinx's signature
        """Link numbers that are in no link, code or heading."""
        for text in list(self.document.findall(nodes.Text)):
            inside = (nodes.reference, nodes.literal, nodes.literal_block, nodes.title)
            if _ARXIV.search(text) and not _is_within(text, inside):
                text.parent.replace(text, linked(text))


def linked(text: str) -> list[nodes.Node]:
    """``text`` with a link in the place of each arXiv number."""
    parts = _ARXIV.split(text)  # every second one is a number
    return [
        nodes.reference("", f"arXiv:{part}", refuri=f"https://arxiv.org/abs/{part}")
        if place % 2
        else nodes.Text(part)
        for place, part in enumerate(parts)
    ]


class OutsideLinks(SphinxTransform):
    """A link to a file of the repository that isn't part of the site becomes its path."""

    default_priority = 5  # before MyST's links are resolved

    def apply(self, **kwargs: Any) -> None:  # noqa: ARG002  # Sphinx's signature
        """Replace such links; one that leads nowhere stays, for Sphinx to warn of."""
        docs = Path(self.env.srcdir).resolve()
        here = Path(self.env.doc2path(self.env.docname)).parent
        for link in list(self.document.findall(nodes.Element)):
            target = link.get("reftarget") or link.get("refuri")
            if not isinstance(target, str):
                continue
            file = _beside(docs, here / target.partition("#")[0])
            if file is not None:
                link.replace_self([*link.children, *_named_after(link.astext(), file, docs)])


def _beside(docs: Path, target: Path) -> Path | None:
    """The file outside of docs/ that a link leads to; MyST takes ``.md`` off some."""
    file = target.resolve()
    if file == docs or file.is_relative_to(docs):
        return None
    return next(filter(Path.exists, (file, file.with_name(f"{file.name}.md"))), None)


def _named_after(text: str, file: Path, docs: Path) -> list[nodes.Node]:
    """Where the file is in the repository, unless ``text`` says it."""
    if file.stem in text:
        return []
    path = file.relative_to(docs.parent).as_posix()
    return [nodes.Text(", "), nodes.literal(path, path)]
