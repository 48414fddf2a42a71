"""Augmentations that only shift and mirror, composed to one window of the stored images.

What is here decides which of a run's augmentations become windows, and how two windows make
one; the store cuts them out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce

import torch

from cifarzoo.components.hooks import Frame, Window, Windowed
from cifarzoo.components.protocols import IMAGE_SHAPE, Augmentation, Draws

MAX_GROWTH = 4  # bytes of framed images over bytes of plain ones: padding 6 with mirrored copies


def windowed(
    augmentations: Mapping[str, Augmentation], *, image_size: tuple[int, int] = IMAGE_SHAPE[1:]
) -> tuple[dict[str, Windowed], Frame]:
    """The augmentations that begin the list and together are one window, and its frame.

    The run ends before a second padding, whose border would show the first one's cutting, and
    before a frame that would make the stored images more than ``MAX_GROWTH`` times as large.

    Args:
        augmentations: Augmentations of training images by name, in order.
        image_size: Height and width of the images.

    Returns:
        The first of them, by name, and the frame that holds their windows.
    """
    leading: dict[str, Windowed] = {}
    frame = Frame()
    for name, augmentation in augmentations.items():
        if not isinstance(augmentation, Windowed):
            break
        joined = _join(frame, augmentation.frame)
        if joined is None or growth(joined, image_size) > MAX_GROWTH:
            break
        leading[name], frame = augmentation, joined
    return leading, frame


def growth(frame: Frame, image_size: tuple[int, int] = IMAGE_SHAPE[1:]) -> float:
    """How many times as large framed images are as plain ones of this height and width."""
    height, width = image_size
    area = (height + 2 * frame.padding) * (width + 2 * frame.padding)
    return area / (height * width) * (1 + frame.is_mirrored)


def window_of(leading: Mapping[str, Windowed], draws_for: Callable[[str], Draws]) -> Window | None:
    """The window that all of ``leading`` cut one after another.

    Args:
        leading: First augmentations by name, which offer windows.
        draws_for: Function that gives the draws of one of them, asked for just before it draws.

    Returns:
        None where there are none.
    """
    steps = [(a.window(draws_for(name)), a.frame.padding) for name, a in leading.items()]
    return reduce(_compose, steps)[0] if steps else None


def _join(first: Frame, second: Frame) -> Frame | None:
    if first.padding and second.padding:
        return None
    padded = first if first.padding else second
    return Frame(
        padding=padded.padding,
        mode=padded.mode,
        is_mirrored=first.is_mirrored or second.is_mirrored,
    )


def _compose(first: tuple[Window, int], second: tuple[Window, int]) -> tuple[Window, int]:
    """Two windows with their paddings, at most one of which isn't 0.

    A cutting of what was mirrored is the mirrored cutting from the other side.
    """
    (one, one_padding), (two, padding) = first, second
    left = torch.where(one.is_mirrored, 2 * padding - two.left, two.left)
    composed = Window(one.top + two.top, one.left + left, one.is_mirrored ^ two.is_mirrored)
    return composed, one_padding + padding
