"""What the record of a run tells of whoever made it: the one place that decides it.

Secrets on the command line are masked and home folders written as ``~``, in every record. One that
says that it is anonymous names no host, no user and no folder outside of the run either.
"""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

ANONYMOUS = "anonymous"  # entry of run.json
TRAINS = "num_parameters"  # entry of a run that has trained
MASK = "***"
ELSEWHERE = "…"  # for the folders above a file that an anonymous record names
PATHS = ("data_folder", "folder", "path", "run")  # entries that are one path
TEXTS = ("command", "error")  # entries in which paths and secrets can stand
NOT_KEPT = ("data_folder", "folder", "host")  # entries that are null in an anonymous record

_NAMES = (
    r"(?:token|passwd|passwords?|passphrase|secrets?|credentials?|"
    r"(?:api|access|private|secret)[_-]?keys?)"
)
_VALUE = r"""(?:'[^']*'|"[^"]*"|\[[^\]]*\]|[^\s&]+)"""
_NAMED = re.compile(rf"((?<![^\W_]){_NAMES}(?:\s*=|['\"]\s*:)\s*){_VALUE}", re.IGNORECASE)
# A column of a table can be called a key too: its name is short.
_LONG_KEY = re.compile(r"(key['\"]?\s*[=:]\s*['\"]?)[\w+/=-]{24,}", re.IGNORECASE)
_NAME = re.compile(rf"(?:.*[\W_])?{_NAMES}", re.IGNORECASE)
_OPTION = re.compile(rf"--?(?:[\w-]*[_-])?{_NAMES}", re.IGNORECASE)
_USER_OF_URL = re.compile(r"(\w://)[^/\s@]+@")
# As those who issue tokens write them: Hugging Face, GitHub, GitLab, OpenAI and others, AWS, Slack,
# JSON web tokens.
_TOKEN = re.compile(
    r"(?<!\w)(?:hf_\w{16,}|gh[a-z]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|"
    r"sk-(?=[\w-]*\d)[\w-]{16,}|AKIA[0-9A-Z]{12,}|xox[a-z]-[\w-]{10,}|eyJ[\w-]+\.[\w-]+\.[\w-]*)"
)
_BEFORE_PATH = r"(?<![^\s=:,;'\"(\[])"
_ABROAD = re.compile(
    rf"{_BEFORE_PATH}(?:/|~[\w.-]*/|(?:\.\./)+)(?:[^\s'\",;:/]+/)*(?=[^\s'\",;:/])"
)
_LOST_ON = re.compile(
    r"(\branks? \d[\d, and]*) on \S+(?:, \S+)* (?=ended)"
)  # of ranks, their hosts
_ORIGIN = re.compile(r"  # [^#\n]*$", re.MULTILINE)


def disclosed(record: dict[str, Any]) -> dict[str, Any]:
    """A record of a run as it is written; what was disclosed before is as it was.

    Args:
        record: Entries of run.json.
    """
    is_anonymous = bool(record.get(ANONYMOUS))
    # A run is begun from its parent again as long as it may have no checkpoint of its own.
    needed = () if TRAINS in record else ("parent",)
    return {
        key: _disclosed(key, value, is_anonymous and key not in needed)
        for key, value in record.items()
    }


def disclosed_origins(text: str, *, is_anonymous: bool = False) -> str:
    """The text of resolved.gin, in whose comments paths are as in a record."""
    say = _anonymous if is_anonymous else _with_home
    return _ORIGIN.sub(lambda comment: say(comment[0]), text)


def without_home(path: str) -> str:
    """``path`` with ``~`` for the user's home folder, if it is that or lies below."""
    for home in _homes():
        if path == home or path.startswith(f"{home}/"):
            return f"~{path[len(home) :]}"
    return path


def masked(arguments: Iterable[str]) -> Iterator[str]:
    """The arguments of a command, with a mask for what looks like a secret."""
    is_secret = False
    for argument in arguments:
        yield MASK if is_secret and not argument.startswith("-") else _masked(argument)
        is_secret = bool(_OPTION.fullmatch(argument))


def is_secret(name: str, value: object) -> bool:
    """Whether a setting looks like a secret, by its name or its form."""
    return isinstance(value, str) and bool(_NAME.fullmatch(name) or _TOKEN.search(value))


def _disclosed(key: str, value: Any, is_anonymous: bool) -> Any:
    if isinstance(value, dict):
        return {each: _disclosed(each, inner, is_anonymous) for each, inner in value.items()}
    if is_anonymous and key in NOT_KEPT:
        return None
    if isinstance(value, list):
        if key == "command" and all(isinstance(each, str) for each in value):
            program = [Path(each).name or each for each in value[:1]]
            value = [*program, *masked(value[1:])]
        return [_disclosed(key, each, is_anonymous) for each in value]
    return _said(key, value, is_anonymous) if isinstance(value, str) else value


def _said(key: str, value: str, is_anonymous: bool) -> str:
    if key in PATHS:
        return Path(value).name if is_anonymous else without_home(value)
    if key in TEXTS:
        return _anonymous(_masked(value)) if is_anonymous else _with_home(_masked(value))
    return value


def _masked(text: str) -> str:
    text = _USER_OF_URL.sub(rf"\1{MASK}@", text)
    text = _LONG_KEY.sub(rf"\1{MASK}", _NAMED.sub(rf"\1{MASK}", text))
    return _TOKEN.sub(MASK, text)


def _with_home(text: str) -> str:
    for home in _homes():
        text = re.sub(rf"{_BEFORE_PATH}{re.escape(home)}(?=/|$)", "~", text)
    return text


def _anonymous(text: str) -> str:
    """A text without folders outside of the run, the host and the user."""
    text = _LOST_ON.sub(r"\1 ", _ABROAD.sub(f"{ELSEWHERE}/", text))
    for name in (socket.gethostname(), _or_nothing(getpass.getuser)):
        if name:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", MASK, text)
    return text


def _homes() -> tuple[str, ...]:
    """The user's home folder, as it is called and as it is without links; not if it is ``/``."""
    given = _or_nothing(lambda: str(Path.home()))
    homes = {given.rstrip("/"), str(Path(given).resolve()).rstrip("/")} if given else set()
    return tuple(sorted(home for home in homes if home.startswith("/")))


def _or_nothing(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except (OSError, KeyError, ImportError, RuntimeError):  # no such user
        return ""
