"""Names that a new component, its files and its package can have."""

from __future__ import annotations

import builtins
import importlib.util
import keyword
import re
from collections.abc import Iterable

from cifarzoo.components.kinds import KINDS
from cifarzoo.components.plugins import catalogue
from cifarzoo.components.registry import name_problem
from cifarzoo.components.spelling import near
from cifarzoo.config.files import recipes
from cifarzoo.errors import UsageError

PATTERN = re.compile(r"[a-z][a-z0-9_]*[a-z0-9]")
MAX_LENGTH = 40  # beyond it, the lines that are written would be too long


def check_kind(kind: str) -> None:
    """Refuse what is no kind of component.

    Raises:
        UsageError: It is none.
    """
    if kind not in KINDS:
        known = f"; the kinds are {', '.join(KINDS)}"
        raise UsageError(f"no component kind {kind!r}{near(kind, KINDS) or known}")


def check_name(name: str, *, words: Iterable[str]) -> None:
    """Refuse a name that a new component can't have.

    Args:
        name: Name of the component, of its module and of its config.
        words: Names that the template uses itself.

    Raises:
        UsageError: It is none, or taken.
        PluginError: A file of ``CIFARZOO_PLUGINS`` can't be used.
    """
    if problem := _problem(name, words):
        raise UsageError(problem)


def _problem(name: str, words: Iterable[str]) -> str | None:
    if not PATTERN.fullmatch(name) or len(name) > MAX_LENGTH:
        return (
            f"the name is {name!r}; expected 2 to {MAX_LENGTH} lower-case letters, digits and "
            "underscores that begin with a letter, such as my_idea"
        )
    taken = _holder(name, words)
    return f"{taken}; pick another name" if taken else None


def _holder(name: str, words: Iterable[str]) -> str | None:
    """What has the name already, in words; None: nothing."""
    if keyword.iskeyword(name) or keyword.issoftkeyword(name) or hasattr(builtins, name):
        return f"{name!r} is a word of Python"
    if problem := name_problem(name):
        return problem
    if entry := catalogue().entries.get(name):
        return f"{name!r} is already the {entry.kind} of {entry.origin}"
    if name in KINDS or name in words:
        return f"{name!r} is a word that the plugin itself uses"
    if f"{name}.gin" in recipes():
        return f"{name}.gin would hide the recipe of that name"
    modules = (module for module in (name, f"cifarzoo_{name}") if importlib.util.find_spec(module))
    return next((f"there is a module {module!r} already" for module in modules), None)
