"""A published archive from whichever server: its size and sha256 say whether it is the one."""

from __future__ import annotations

from pathlib import Path

from cifarzoo.data.archive import Archive, read_archive
from cifarzoo.data.damage import DamageError
from cifarzoo.data.download.listener import Listener
from cifarzoo.data.download.parts import Part, part_of
from cifarzoo.data.download.transfer import (
    Patience,
    Remote,
    UnavailableError,
    transfer,
)
from cifarzoo.data.download.wanted import Fetched, FetchedFile
from cifarzoo.files.real_folder import FILE, RealFolder


class ArchiveDownload:
    """The archive in a folder, which a server is asked for.

    Args:
        archive: Archive that is wanted.
        url: Address of the archive on the server.
        folder: Folder for the archive.
    """

    missing: str | None = None

    def __init__(self, archive: Archive, url: str, folder: Path) -> None:
        self._archive = archive
        self._files = RealFolder(folder)
        self.url = url

    def by_hand(self, what: str) -> str:
        """What a user can do instead, who is told of the address as ``what``."""
        size, folder = self._archive.size, self._files.path
        return f"fetch {what} by hand ({size:,} bytes) and put it into {folder}"

    def there(self, _: Listener) -> Fetched | None:
        """The archive, if it is there and whole.

        Raises:
            OddFileError: Something else than a file is in its place.
        """
        try:
            read_archive(self._archive, self._files)
        except (DamageError, FileNotFoundError):
            return None
        return self._fetched()

    def run(self, listener: Listener, patience: Patience) -> Fetched:
        """Fetch the archive; it gets its name only with the published size and sha256.

        Raises:
            UnavailableError: The server doesn't give it.
            OddFileError: Something else than a file is in its place.
        """
        name = self._archive.file_name
        self._files.check(name, FILE)
        part = Part(self._files, part_of(name), listener.set_aside)
        was_begun = part.size > 0  # by an earlier attempt, or from another server
        while (digest := self._arrived(part, listener, patience)) != self._archive.sha256:
            part.clear()
            if not was_begun:
                raise UnavailableError(
                    f"what arrived has the sha256 {digest}, expected {self._archive.sha256}, "
                    "and was removed"
                )
            was_begun = False  # the beginning may have been wrong: once more, from the start
        part.finish(name)
        return self._fetched()

    def _arrived(self, part: Part, listener: Listener, patience: Patience) -> str:
        """The digest of all the bytes that were wanted."""
        size = self._archive.size
        listener.starting(self._archive.file_name)
        if part.size != size:
            transfer(Remote(url=self.url, size=size, at_most=size), part, listener, patience)
        return part.sha256

    def _fetched(self) -> Fetched:
        archive = self._archive
        path = self._files.path / archive.file_name
        file = FetchedFile(path=path, size=archive.size, sha256=archive.sha256)
        return Fetched(path=path, files=(file,))
