"""Python source of others, read and never run: what of it is read, and one error for the rest.

A few lines of source can ask for any amount of work, and an installed plugin is read by each
command: hence the limits.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cifarzoo.errors import PluginError

# Of a plugin: bytes of the files that are read for components, and of the types that these declare,
# aliases written out. The whole zoo has 180,000.
MAX_BYTES = 1 << 19
MAX_SEARCHED = 1 << 24  # bytes of a file that may turn out to register nothing, such as tables
MAX_TYPE_PARTS = 1_000  # of a type, its aliases written out; the longest one of the zoo has 25
MAX_TYPE_DEPTH = 100
TOO_DEEP = "it is nested too deeply"


def parse(content: bytes | str, path: Path) -> ast.Module:
    """The syntax tree of a file.

    Raises:
        SyntaxError: It isn't Python, or Python's parser gives up on it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about others' escape sequences
        try:
            return ast.parse(content, str(path))
        except (RecursionError, MemoryError):
            raise SyntaxError(TOO_DEEP) from None
        except ValueError as error:
            raise SyntaxError(str(error)) from None


def literal(source: str | ast.expr) -> Any:
    """The value of a literal.

    Raises:
        ValueError: It is no literal, or Python gives up on it.
    """
    try:
        return ast.literal_eval(source)
    except (SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(str(error) or TOO_DEEP) from None


@contextmanager
def within_reason(path: Path) -> Iterator[None]:
    """While a tree of the file at ``path`` is looked at.

    Raises:
        PluginError: It is nested too deeply for that, or holds a number that can't be written.
    """
    try:
        yield
    except (RecursionError, MemoryError):
        raise PluginError(f"{path}: {TOO_DEEP}") from None
    except ValueError as error:  # a number of too many digits
        raise PluginError(f"{path}: it cannot be read: {error}") from None


def read(path: Path, *, at_most: int = MAX_BYTES) -> bytes:
    """The bytes of a file.

    Raises:
        PluginError: It has too many.
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        content = file.read(at_most + 1)
    if len(content) > at_most:
        raise PluginError(
            f"{path}: it has more than {at_most:,} bytes; expected at most so many of a file of "
            "Python that is read for components"
        )
    return content
