"""Fetch a published dataset from the first of its mirrors that gives it.

A mirror that is down, refuses, sends something else or is slow is left for the next one. What had
arrived stays in its part, to go on with.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cifarzoo.data.download.archive import ArchiveDownload
from cifarzoo.data.download.listener import Listener
from cifarzoo.data.download.parquet import ParquetDownload
from cifarzoo.data.download.transfer import Patience, UnavailableError
from cifarzoo.data.download.wanted import Download, Fetched
from cifarzoo.data.mirrors import Mirror
from cifarzoo.data.published import Published
from cifarzoo.errors import DataError
from cifarzoo.files.real_folder import OddFileError

PATIENT = Patience(pauses=(1.0, 2.0, 4.0), timeout=30.0)
"""What is put up with from the last mirror, or the only one: anything but silence."""

HURRIED = Patience(pauses=(1.0,), timeout=10.0, least_rate=100e3, window=20.0)
"""What is put up with while another mirror is left.

At 100 kB/s an archive takes 28 minutes. The official server has given 1 to 40 kB/s, or nothing,
since June 2026; a server that is well gives megabytes. Who has a slower line than that loses 20
seconds a mirror, and stays with the last one.
"""


def fetch(
    published: Published,
    folder: Path,
    listener: Listener,
    *,
    mirrors: Sequence[Mirror] | None = None,
    hurried: Patience = HURRIED,
    patient: Patience = PATIENT,
) -> Fetched:
    """Have a dataset in ``folder``, in whichever version one of the mirrors has.

    A file of the right name that is something else gets another name once the new one has arrived
    and been checked.

    Args:
        published: Dataset to fetch.
        folder: Folder for the dataset; made if it isn't there.
        listener: Listener that receives the progress.
        mirrors: Mirrors to try, in order; None: all of the dataset's.
        hurried: What is put up with from a mirror after which there is another.
        patient: What is put up with from the last one.

    Raises:
        DataError: No mirror gives it; or the folder cannot be written.
    """
    mirrors = published.mirrors if mirrors is None else mirrors
    try:
        folder.mkdir(parents=True, exist_ok=True)
        downloads = {mirror.name: _download(published, mirror, folder) for mirror in mirrors}
        return _there(downloads, listener) or _first(
            published, downloads, listener, hurried, patient
        )
    except OddFileError as error:
        raise DataError(f"{error}; take it away, or name another --data") from error
    except OSError as error:
        raise DataError(f"cannot write to {folder}: {error.strerror}") from error


def _download(published: Published, mirror: Mirror, folder: Path) -> Download:
    if mirror.version == "parquet":
        return ParquetDownload(published, mirror.urls, folder)
    archive = published.binary if mirror.version == "binary" else published.python
    [url] = mirror.urls or [archive.url]
    return ArchiveDownload(archive, url, folder)


def _there(downloads: dict[str, Download], listener: Listener) -> Fetched | None:
    for download in downloads.values():
        with suppress(OddFileError):  # said when it is this one's turn
            if fetched := download.there(listener):
                return fetched
    return None


def _first(
    published: Published,
    downloads: dict[str, Download],
    listener: Listener,
    hurried: Patience,
    patient: Patience,
) -> Fetched:
    """The dataset from the first mirror that gives it."""
    problems: dict[str, str] = {}
    for name, download in downloads.items():
        following = _following(name, downloads)
        try:
            if download.missing:
                raise UnavailableError(download.missing)
            fetched = download.run(listener, hurried if following else patient)
        except UnavailableError as error:
            problems[name] = str(error)
            if following:
                listener.leaving(name, problems[name], following)
        else:
            return replace(fetched, mirror=name)
    raise DataError(_failed(published, downloads, problems))


def _following(name: str, downloads: dict[str, Download]) -> str | None:
    """The next mirror whose files can be used; None: there is none."""
    names = list(downloads)
    after = names[names.index(name) + 1 :]
    return next((other for other in after if not downloads[other].missing), None)


def _failed(published: Published, downloads: dict[str, Download], problems: dict[str, str]) -> str:
    name, download = next(iter(downloads.items()))
    if len(downloads) > 1:
        reasons = "; ".join(f"{mirror}: {problem}" for mirror, problem in problems.items())
        by_hand = download.by_hand(download.url)
        return f"cannot fetch {published.name}: {reasons}; or {by_hand}"
    if download.missing:
        return f"cannot fetch {published.name} from {name}: {download.missing}"
    return f"cannot fetch {download.url}: {problems[name]}; {download.by_hand('it')}"
