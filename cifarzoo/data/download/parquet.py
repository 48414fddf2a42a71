"""The hub's Parquet files. Nobody published their digests: their images have to be those we know.

They arrive in a folder of their own, where no dataset is looked for, and move out of it together.
"""

from __future__ import annotations

import importlib.util
from contextlib import suppress
from pathlib import Path

from cifarzoo.data.download.listener import Listener
from cifarzoo.data.download.parts import Part, part_of
from cifarzoo.data.download.transfer import (
    Patience,
    Remote,
    UnavailableError,
    transfer,
)
from cifarzoo.data.download.wanted import Fetched, FetchedFile
from cifarzoo.data.formats.parquet import INSTALL, most_bytes
from cifarzoo.data.locate import PARQUET
from cifarzoo.data.published import Published
from cifarzoo.data.sources import ParquetSource
from cifarzoo.data.verify import Verification, verify
from cifarzoo.errors import DataError
from cifarzoo.files.real_folder import FILE, FOLDER, RealFolder


class ParquetDownload:
    """The two files in a folder named after the dataset, which a server is asked for.

    Args:
        published: Dataset that is wanted.
        urls: Addresses of the training and of the test images on the server.
        folder: Folder for the folder of the files.
    """

    def __init__(self, published: Published, urls: tuple[str, ...], folder: Path) -> None:
        self._published = published
        self._above = RealFolder(folder)
        self._files = self._above.below(published.name)
        self._arriving = self._above.below(part_of(published.name))
        most = most_bytes(published.num_train), most_bytes(published.num_test)
        self._remotes = {
            url.rpartition("/")[2]: Remote(url=url, size=None, at_most=bytes_)
            for url, bytes_ in zip(urls, most, strict=True)
        }
        self.url = urls[0]
        self.missing = (
            None if importlib.util.find_spec("pyarrow") else f"its files take pyarrow; {INSTALL}"
        )

    def by_hand(self, what: str) -> str:
        """What a user can do instead, who is told of the address as ``what``."""
        *_, last = self._remotes
        return f"fetch {what} and {last} beside it by hand and put both into {self._files.path}"

    def there(self, listener: Listener) -> Fetched | None:
        """The images in Parquet files, these or others, if they are there and whole.

        Raises:
            OddFileError: Something else than a folder is in its place.
        """
        if not self._parquet_files():
            return None
        found = self._read(self._files, listener)
        if isinstance(found, str) or found.form != ParquetSource.form:
            return None
        return self._fetched(found)

    def run(self, listener: Listener, patience: Patience) -> Fetched:
        """Fetch the files; they get their names once their images are seen to be the dataset's.

        Raises:
            UnavailableError: The server doesn't give them.
            OddFileError: Something else than a file, or a folder, is in the way.
        """
        for folder in (self._files, self._arriving):
            self._above.check(folder.inside, FOLDER)
        for name in self._remotes:
            self._files.check(name, FILE)
        _make(self._above, self._arriving)
        try:
            found = self._checked(listener, patience)
            _make(self._above, self._files)
            for name in self._parquet_files():  # with any other the new ones would be no set
                listener.set_aside(self._files.set_aside(name))
            for name in self._remotes:
                self._arriving.move(name, self._files)
        finally:
            with suppress(OSError):  # it holds what has arrived so far, or was set aside
                self._above.take_away(self._arriving.inside)
        return self._fetched(found)

    def _checked(self, listener: Listener, patience: Patience) -> Verification:
        """What is in both files, once they have arrived."""
        there = set(self._arriving.names())
        was_begun = any({name, part_of(name)} & there for name in self._remotes)
        while True:
            parts = self._arrived(listener, patience)
            found = self._read(self._arriving, listener)
            if isinstance(found, Verification):
                return found
            for part in parts:
                part.clear()
            if not was_begun:
                raise UnavailableError(f"what arrived was removed: {found}")
            was_begun = False  # a beginning may have been wrong: once more, from the start

    def _arrived(self, listener: Listener, patience: Patience) -> list[Part]:
        """Both files, under their names in the folder for what arrives."""
        parts = []
        for name, remote in self._remotes.items():
            if self._arriving.kind(name):
                parts.append(Part(self._arriving, name, listener.set_aside))
                continue
            listener.starting(name)
            part = Part(self._arriving, part_of(name), listener.set_aside)
            transfer(remote, part, listener, patience)
            part.finish(name)
            parts.append(part)
        return parts

    def _read(self, folder: RealFolder, listener: Listener) -> Verification | str:
        """The files as the dataset that was published, or what keeps them from being it."""
        published = self._published
        listener.checking(published.title)
        try:
            found = verify(published, folder.path)
        except DataError as error:
            return str(error).removesuffix(f"; {published.remedy(folder.path)}")
        if found.problem or found.title != published.title:
            return found.problem or f"it is {found.title}, expected {published.title}"
        return found

    def _parquet_files(self) -> list[str]:
        return [name for name in self._files.names() if PARQUET.fullmatch(name)]

    def _fetched(self, found: Verification) -> Fetched:
        return Fetched(
            path=self._files.path,
            files=tuple(
                FetchedFile(
                    path=self._files.path / name,
                    size=self._files.size(name),
                    sha256=sha256,
                )
                for name, sha256 in found.sha256.items()
            ),
        )


def _make(above: RealFolder, folder: RealFolder) -> None:
    if not above.kind(folder.inside):
        above.make_folder(folder.inside)
