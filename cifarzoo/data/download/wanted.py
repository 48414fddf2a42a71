"""What a download of a dataset is, whichever version of it a mirror has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cifarzoo.data.download.listener import Listener
from cifarzoo.data.download.transfer import Patience


@dataclass(frozen=True, kw_only=True)
class FetchedFile:
    """A file that is there, whole.

    Attributes:
        path: Path of the file.
        size: Number of bytes of the file.
        sha256: Digest of the file, in hexadecimal.
    """

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A dataset that is there, whole.

    Attributes:
        path: Path of the archive, or of the folder of several files.
        files: Files of the dataset.
        mirror: Name of the mirror that it came from now; None: it was there.
    """

    path: Path
    files: tuple[FetchedFile, ...]
    mirror: str | None = None


class Download(Protocol):
    """The files of a dataset that a mirror has, in the folder where they are wanted.

    Attributes:
        url: Address of the first file.
        missing: What has to be installed before the files can be used; None: nothing.
    """

    url: str
    missing: str | None

    def by_hand(self, what: str) -> str:
        """What a user can do instead, who is told of the address as ``what``."""

    def there(self, listener: Listener, /) -> Fetched | None:
        """The files, if they are there and whole.

        Raises:
            OddFileError: Something else than a file is in the place of one.
        """

    def run(self, listener: Listener, patience: Patience) -> Fetched:
        """Fetch the files; they get their names once they have been checked.

        Raises:
            UnavailableError: The mirror doesn't give them.
            OddFileError: Something else than a file, or a folder, is in the way.
        """
