"""Where a figure goes, and how it gets there: whole, or not at all."""

from __future__ import annotations

import io
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from cifarzoo.components.spelling import near
from cifarzoo.errors import CifarzooError, UsageError
from cifarzoo.files.real_folder import FILE, RealFolder
from cifarzoo.plots.style import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("pdf", "png", "svg")
EXPECTED = ".pdf, .png or .svg"
# Without them the same figure has other bytes each time: dates here, ids of an SVG by its salt.
METADATA = {
    "pdf": {"CreationDate": None},
    "png": {},
    "svg": {"Date": None},
}


def check_target(path: Path) -> None:
    """Refuse a file that a figure can't be written to, before there is one.

    Raises:
        UsageError: matplotlib isn't installed, the name ends otherwise than ``FORMATS``, or
            nothing can be written there.
    """
    ending = path.suffix.removeprefix(".").lower()
    if ending not in FORMATS:
        meant = near(ending, FORMATS) if ending else ""
        raise UsageError(f"{path} is no name of a figure; expected one in {EXPECTED}{meant}")
    try:
        if not path.parent.is_dir():
            raise UsageError(f"{path} cannot be written: {path.parent} is not a folder")
        RealFolder(path.parent).check(path.name, FILE)
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise UsageError(f"{path} cannot be written: {path.parent} is read-only")
    except (OSError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} cannot be written: {reason}") from error
    if find_spec("matplotlib") is None:
        raise UsageError(
            "figures need matplotlib, which is not installed: pip install 'cifarzoo[plots]'"
        )


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the name of its file tells.

    It gets its name once it is whole; what was there stays until then.

    Raises:
        CifarzooError: It can't be written: a full disk.
    """
    ending = path.suffix.removeprefix(".").lower()
    image = io.BytesIO()
    with styled():
        figure.savefig(image, format=ending, metadata=METADATA[ending])
    try:
        RealFolder(path.parent).replace(path.name, image.getvalue())
    except OSError as error:
        raise CifarzooError(f"{path} cannot be written: {error.strerror}") from error
