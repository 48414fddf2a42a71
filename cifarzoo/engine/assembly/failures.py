"""What a component raised when it was tried, in words, with the place in its own source.

The message says what was asked of the component; below it stand the lines of the user's own
files through which the exception came, and the shapes of the tensors in the last of them.
"""

from __future__ import annotations

import re
import sysconfig
import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FrameType

import numpy
import torch
from torch import Tensor

import cifarzoo
from cifarzoo.errors import ConfigError, in_one_line


class FailsError(ConfigError):
    """A component that raised something when it was tried."""


def unfit(component: str, problem: str) -> ConfigError:
    """The error of a component that gives something else than it should.

    Args:
        component: Name of the component, numbered where a list has it more than once.
        problem: What is wrong, as a ``ConfigError`` says it.
    """
    error = ConfigError(problem)
    error.component = component.partition("#")[0]
    return error


def failed(component: str, when: str, error: Exception) -> FailsError:
    """The error of a component that raised ``error``.

    Args:
        component: Name of the component, numbered where a list has it more than once.
        when: What was asked of it: ``on images (2, 3, 32, 32)``.
        error: What it raised, while it is handled.
    """
    raised = FailsError(f"fails {when}: {in_one_line(error)}")
    raised.component = component.partition("#")[0]
    for line in own_lines(error):
        raised.add_note(line)
    return raised


def own_lines(error: BaseException) -> tuple[str, ...]:
    """Where ``error`` came through the user's own files: ``file:line: the line``, and shapes.

    The last line has the shapes of those tensors that it names. Files of torch, of NumPy, of
    Python and of cifarzoo are not the user's.
    """
    frames = [(f, n) for f, n in traceback.walk_tb(error.__traceback__) if _is_own(f)]
    lines = [_shown(frame, number) for frame, number in frames]
    if frames:
        frame, number = frames[-1]
        shapes = ", ".join(_shapes(frame, number))
        lines += [f"  there {shapes}"] * bool(shapes)
    return tuple(lines)


def _shown(frame: FrameType, number: int) -> str:
    return f"  {frame.f_code.co_filename}:{number}: {_text(frame, number)}"


def _text(frame: FrameType, number: int) -> str:
    summary = traceback.FrameSummary(
        frame.f_code.co_filename, number, frame.f_code.co_name, lookup_line=True
    )
    return summary.line or frame.f_code.co_name


def _shapes(frame: FrameType, number: int) -> Iterator[str]:
    """``x is float32 (4, 576)`` of each tensor that the line names by a local variable."""
    named = dict.fromkeys(re.findall(r"(?<![\w.])[A-Za-z_]\w*", _text(frame, number)))
    for name in named:
        value = frame.f_locals.get(name)
        if isinstance(value, Tensor):
            dtype = str(value.dtype).removeprefix("torch.")
            yield f"{name} is {dtype} {tuple(value.shape)}"


def _is_own(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    if file.startswith("<"):  # no file, unless a notebook's cell
        return file.startswith("<ipython-input")
    is_installed = "site-packages" in file or "dist-packages" in file  # below Python's own folder
    folders = _packages() if is_installed else (*_packages(), sysconfig.get_path("stdlib"))
    return not any(file.startswith(f"{folder}/") for folder in folders)


@cache
def _packages() -> tuple[str, ...]:
    """Folders of installed code that is no plugin."""
    return tuple(str(Path(package.__file__ or "").parent) for package in (torch, numpy, cifarzoo))
