"""What processes that are started import: nothing of the current folder while they start."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, chdir, contextmanager, nullcontext

from cifarzoo.engine.distributed.current_folder import (
    HOME,
    PATH,
    SAFE_PATH,
    moving_folders,
    safe_order,
)


@contextmanager
def safe_path() -> Iterator[None]:
    """The current folder comes last in what this process and its ranks import.

    It isn't left out: a script or a notebook may have modules there that its ranks need. They get
    ``sys.path`` from here; the fork server before them doesn't look there, for it would find a
    ``sitecustomize.py``.
    """
    path = list(sys.path)
    before = {name: os.environ.get(name) for name in (SAFE_PATH, PATH)}
    sys.path[:] = safe_order(path, keep=True)
    moving = moving_folders()
    here = [e for e in sys.path if os.path.realpath(e) not in moving or e == HOME]
    os.environ[SAFE_PATH] = "1"
    # Python 3.11 doesn't hand ``sys.path`` to the fork server, which then would preload another
    # cifarzoo than this one, or none.
    os.environ[PATH] = os.pathsep.join(e for e in here if os.pathsep not in e)
    try:
        yield
    finally:
        sys.path[:] = path
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def safe_start() -> AbstractContextManager[None]:
    """Within ``with``, Python processes can be started whose options say to ignore variables.

    They inherit ``-E`` and look in the folder that is current when they start.
    """
    ignores = sys.flags.ignore_environment and not sys.flags.safe_path
    return chdir(os.path.dirname(os.__file__)) if ignores else nullcontext()  # noqa: PTH120
