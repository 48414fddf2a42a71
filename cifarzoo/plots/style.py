"""How figures look: colours that the colour-blind tell apart, plain text, names that fit."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cifarzoo.escaping import visible_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito, 2008, "Color universal design"; its yellow, too pale for a line on white, aside.
COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")  # one fewer than colours: no pair of them recurs soon
SETTINGS: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelsize": 8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 8,
    "font.size": 8,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "legend.fontsize": 7,
    "legend.framealpha": 0.85,
    "lines.solid_capstyle": "butt",
    "pdf.fonttype": 42,  # TrueType, since publishers refuse type 3
    "savefig.dpi": 200,
    "svg.hashsalt": "cifarzoo",
    "text.parse_math": False,  # names are text, also those with two dollars
    "text.usetex": False,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7,
}
BREAKS = re.compile(r"[^\s,;/-]*[\s,;/-]*")  # what is kept on one line


@contextmanager
def styled() -> Iterator[None]:
    """While figures are drawn: ``SETTINGS`` on matplotlib's own, whatever a user has set.

    That is put back afterwards. Letters that its font lacks are drawn as boxes, without a warning.
    """
    from matplotlib import style

    with style.context(["default", SETTINGS]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def look(number: int) -> tuple[str, str]:
    """Colour and marker of the group of that number."""
    return COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]


def shortened(name: str, most: int) -> str:
    """A name on one line whose middle is left out where it is too long."""
    name = visible_line(name)
    if len(name) <= most:
        return name
    tail = most // 3
    return f"{name[: most - tail - 1]}…{name[-tail:]}"


def wrapped(name: str, *, width: int, lines: int) -> str:
    """A name on at most so many lines, broken behind blanks and the signs that names have."""
    found = [""]
    for part in BREAKS.findall(shortened(name, width * lines - lines)):
        if found[-1] and len(found[-1]) + len(part.rstrip()) > width:
            found.append("")
        found[-1] += part
    text = [line.strip() for line in found if line.strip()]
    hard = [line[i : i + width] for line in text for i in range(0, len(line), width)]
    if len(hard) <= lines:
        return "\n".join(hard)
    return "\n".join([*hard[: lines - 1], f"{hard[lines - 1][: width - 1]}…"])


def log_errors(axes: Axes, values: Sequence[float]) -> None:
    """Show errors on a logarithmic axis where they shrink to less than a quarter."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if not values or min(values) <= 0 or max(values) < 4 * min(values):
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
