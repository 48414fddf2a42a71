"""How a reader says that a file is not what it should be, and who adds what to do.

Readers of formats know neither the dataset nor where it can be had again: they raise
``DamageError``. ``advised`` turns it, at the dataset's door, into the line that users see.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from cifarzoo.errors import DataError
from cifarzoo.files.real_folder import OddFileError

LINKED = "; name the folder where it lies by --data, or put a copy of it there"


class DamageError(DataError):
    """What was found in a file and what was expected there; not yet what to do."""


class ForeignError(DamageError):
    """A whole file, but of something else."""


class MissingError(DataError):
    """Nothing of the dataset is there."""


@contextmanager
def advised(remedy: str) -> Iterator[None]:
    """Add ``remedy`` to the damage found inside, and name the file that can't be read.

    Raises:
        DataError: What was found, what was expected, what to do.
    """
    try:
        yield
    except DamageError as error:
        raise DataError(f"{error}; {remedy}") from error
    except OSError as error:
        hint = LINKED if error.errno == errno.ELOOP and isinstance(error, OddFileError) else ""
        raise DataError(f"cannot read {error.filename}: {error.strerror}{hint}") from error
