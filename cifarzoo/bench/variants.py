"""What a benchmark compares: a recipe under other settings and named policies, read from text."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cifarzoo.errors import UsageError

AS_IS = "recipe"
BARE = "bare"
NCHW = "nchw"
THREADS = "threads"
SETTINGS = {  # policies that are short for a setting of the run
    "float64": "run.precision='float64'",
    "float32": "run.precision='float32'",
    "tf32": "run.precision='tf32'",
    "bfloat16": "run.precision='bfloat16'",
    "float16": "run.precision='float16'",
    "compile": "run.compile=True",
    "eager": "run.compile=False",
    "deterministic": "run.deterministic=True",
    "nondeterministic": "run.deterministic=False",
}
POLICIES = (BARE, NCHW, f"{THREADS}=N", *SETTINGS)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to train a recipe.

    Attributes:
        name: Name in tables.
        settings: Settings ``NAME=VALUE`` on top of the recipe's.
        is_bare: Whether only forward, backward and update are run, without the engine.
        channels_last: Whether networks and images are stored (N, H, W, C), as the engine does.
        threads: Threads on the CPU; None: as many as torch takes.
    """

    name: str = field(compare=False)
    settings: tuple[str, ...] = ()
    is_bare: bool = False
    channels_last: bool = True
    threads: int | None = None

    @property
    def engine(self) -> Variant:
        """The same with the engine."""
        return replace(self, is_bare=False)


def variants(texts: Sequence[str]) -> list[Variant]:
    """The recipe as it is, and a variant a text; without any text, the bare loop.

    Args:
        texts: Policies and settings of a variant each, with ``;`` between: ``nchw; threads=1``.

    Raises:
        UsageError: A text that says nothing, something unknown, or what another said before.
    """
    found = [Variant(name=AS_IS)]
    for text in texts or [BARE]:
        variant = _parse(text)
        if variant in found:
            said = next(other.name for other in found if other == variant)
            raise UsageError(f"--policy {text!r} is the same as {said!r}; expected each once")
        found.append(variant)
    return found


def _parse(text: str) -> Variant:
    parts = [part.strip() for part in text.split(";") if part.strip()]
    if not parts:
        raise UsageError(f"--policy {text!r} says nothing; expected {_expected()}")
    variant = Variant(name="; ".join(parts))
    for part in parts:
        name, equals, value = (word.strip() for word in part.partition("="))
        if part == BARE:
            variant = replace(variant, is_bare=True)
        elif part == NCHW:
            variant = replace(variant, channels_last=False)
        elif name == THREADS and equals:
            variant = replace(variant, threads=_threads(value))
        elif part in SETTINGS or equals:
            setting = SETTINGS.get(part, part)
            variant = replace(variant, settings=(*variant.settings, setting))
        else:
            close = difflib.get_close_matches(part, [BARE, NCHW, *SETTINGS], n=1)
            hint = f"did you mean {close[0]}?" if close else f"expected {_expected()}"
            raise UsageError(f"no policy named {part!r}; {hint}")
    return variant


def _threads(value: str) -> int:
    cores = os.cpu_count() or 1
    if not value.isdecimal() or not 1 <= int(value) <= cores:
        raise UsageError(f"--policy threads is {value!r}; expected 1 to the {cores} cores")
    return int(value)


def _expected() -> str:
    return f"{', '.join(POLICIES)}, or a setting NAME=VALUE"
