"""Texts on a terminal: rich's, in which nothing of others' is obeyed, and no markup is read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import rich.text
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from cifarzoo.escaping import visible


class Text(rich.text.Text):
    """rich's ``Text``, which drops some control characters, and prints others."""

    def __init__(self, text: str = "", *args: Any, **options: Any) -> None:
        super().__init__(visible(text), *args, **options)

    def append(self, text: rich.text.Text | str, style: Any = None) -> Self:
        """Add ``text`` at the end."""
        super().append(visible(text) if isinstance(text, str) else text, style)
        return self


class SafeConsole(Console):
    """rich's ``Console``, to which every text is plain and whose own controls alone are sent."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> rich.text.Text:
        """A text that was given as such, in a table for instance."""
        return super().render_str(visible(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """All that is printed, whatever made it."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))

    def on_broken_pipe(self) -> None:
        """Leave it to the command, where rich would end the process."""
        raise  # noqa: PLE0704  # what rich is handling
