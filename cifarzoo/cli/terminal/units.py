"""How quantities are written for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cifarzoo.engine.events import Score


def percent(fraction: float) -> str:
    """A fraction as a percentage with two decimals, as error tables have it."""
    return f"{100 * fraction:.2f} %"


def count(number: float) -> str:
    """A whole number with a comma between thousands."""
    return f"{round(number):,}"


def duration(seconds: float) -> str:
    """Seconds as ``41 s``, ``2m05s``, ``4h36m`` or ``1d09h25m``."""
    total = round(seconds)
    if total < 60:
        return f"{total} s"
    minutes, rest = divmod(total, 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02}m"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02}h{minutes:02}m"


def age(seconds: float) -> str:
    """Seconds as how long ago something was, in its largest unit alone: ``3m``, ``2h``, ``9d``."""
    units = ((86400, "d"), (3600, "h"), (60, "m"))
    for size, unit in units:
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def scaled(number: float) -> str:
    """A large number with three digits and a decimal prefix: ``5.24 G``."""
    for limit, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {prefix}"
    return f"{number:.3g} "


def test_error(test: Score, tta_test: Score | None) -> str:
    """Such as ``test error 6.45 %``, with that of several views where there is one."""
    text = f"test error {percent(test.error)}"
    if tta_test is not None:
        text += f" ({percent(tta_test.error)} with test-time augmentation)"
    return text


def plural(number: int, noun: str) -> str:
    """``1 epoch``, ``2 epochs``, ``1,000 steps``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
