"""Colours of ``.gin`` files."""

from __future__ import annotations

from pygments.lexer import bygroups, inherit
from pygments.lexers.python import PythonLexer
from pygments.token import Keyword, Name, Text


class GinLexer(PythonLexer):
    """Python, with gin's includes, references (``@name``) and macros (``%name``)."""

    name = "gin"
    aliases = ["gin"]  # noqa: RUF012  # as Pygments declares it
    filenames = ["*.gin"]  # noqa: RUF012
    tokens = {  # noqa: RUF012
        "root": [
            (r"^(include|import)(\s)", bygroups(Keyword.Namespace, Text)),
            (r"[@%][\w./]+", Name.Decorator),
            inherit,
        ]
    }
