"""What the files of runs say, kept in the user's caches.

A listing of many runs reads those alone that have changed since the last one. An entry is known by
the path of the run and by what the system says of the files that it was read from, and has a
checksum: nothing in it can be out of date or damaged. All of it can be deleted at any time.
Whatever fails, a full disk or another process that is writing, has one consequence: files are read.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cifarzoo.files.own_folders import lasting_cache_folder
from cifarzoo.run_folders.folder import METRICS, RECORD, RESOLVED
from cifarzoo.run_folders.strict_json import strict_json
from cifarzoo.run_folders.summary import read_facts

FOLDER, FILE = "runs", "summaries.sqlite"
READ_FROM = {name: f"/{name}".encode() for name in (RECORD, METRICS, RESOLVED)}
FORMAT = 3  # of what is kept; what another one has is of no use
MOST_RUNS = 50_000  # entries; each has about a kilobyte
MOST_BYTES = 16 << 10  # of an entry; a longer one isn't kept
LOCK_SECONDS = 0.2  # that another process may write

_TABLE = (
    "CREATE TABLE IF NOT EXISTS summaries (path BLOB PRIMARY KEY, signature TEXT NOT NULL, "
    "started TEXT NOT NULL, facts TEXT NOT NULL, settings BLOB NOT NULL, "
    "checksum INTEGER NOT NULL)"
)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What the files of a run say, as they are now.

    Attributes:
        started: When the run was begun, as text that sorts by time; empty: not known.
        packed_facts: Values of ``Facts`` by name, as JSON: of most runs of a list none is asked.
        packed: All settings of the run; see ``unpacked``.
        written: When the run last wrote its record or metrics, in seconds since 1970.
    """

    started: str
    packed_facts: str
    packed: bytes
    written: float

    @property
    def facts(self) -> dict[str, Any]:
        """Values of ``Facts`` by name."""
        found: dict[str, Any] = json.loads(self.packed_facts)
        return found


Entry = tuple[bytes, str, str, str, bytes]  # path, signature, started, facts, settings


def summaries(runs: Sequence[str]) -> Iterator[Summary | None]:
    """What the files of each run say, in the order of ``runs``; None: its folder is gone.

    Args:
        runs: Paths of the runs.
    """
    here = os.fsencode(Path.cwd()) + b"/"
    called = map(os.fsencode, runs)  # and not where links lead
    paths = [path if path.startswith(b"/") else here + path for path in called]
    kept, new = _kept(paths), list[Entry]()
    for run, path in zip(runs, paths, strict=True):
        signature, written = _signature(path)
        found = kept.get(path)
        if found is None or found[1] != signature:
            if not written and not os.path.isdir(run):  # noqa: PTH112  # a text
                yield None
                continue
            found = _read(Path(run), path, signature)
            new.append(found)
        _, _, started, facts, settings = found
        yield Summary(started=started, packed_facts=facts, packed=settings, written=written)
    _keep(new)


def unpacked(packed: bytes) -> dict[str, str]:
    """All settings of a run, as text by short name."""
    found: dict[str, str] = json.loads(zlib.decompress(packed))
    return found


def _read(run: Path, path: bytes, signature: str) -> Entry:
    facts, settings = read_facts(run)
    packed = zlib.compress(strict_json(settings).encode(), 1)
    return path, signature, facts.started or "", strict_json(asdict(facts)), packed


def _signature(path: bytes) -> tuple[str, float]:
    """What tells that the files of a run are as they were, and when they were last written to."""
    parts, written = [], 0.0
    for name in READ_FROM.values():
        try:
            found = os.stat(path + name, follow_symlinks=False)  # noqa: PTH116
        except OSError:
            parts.append("-")
            continue
        parts.append(f"{found.st_mtime_ns}.{found.st_ctime_ns}.{found.st_size}.{found.st_ino}")
        if name != READ_FROM[RESOLVED]:
            written = max(written, found.st_mtime)
    return " ".join(parts), written


def _kept(paths: Sequence[bytes]) -> dict[bytes, Entry]:
    """The whole entries of runs, by path, with some of others."""
    found: dict[bytes, Entry] = {}
    with suppress(OSError, sqlite3.Error), _opened() as cache:
        ends = (min(paths, default=b""), max(paths, default=b""))
        for *entry, checksum in cache.execute(
            "SELECT * FROM summaries WHERE path BETWEEN ? AND ?", ends
        ):
            path, signature, started, facts, settings = entry
            whole: Entry = (path, signature, started, facts, settings)
            if _checksum(whole) == checksum:
                found[path] = whole
    return found


def _keep(entries: Sequence[Entry]) -> None:
    rows = [
        (*each, _checksum(each)) for each in entries if len(each[3]) + len(each[4]) <= MOST_BYTES
    ]
    if not rows:
        return
    with suppress(OSError, sqlite3.Error), _opened() as cache, cache:
        cache.executemany("INSERT OR REPLACE INTO summaries VALUES (?, ?, ?, ?, ?, ?)", rows)
        # Rows that are replaced become the newest.
        cache.execute(
            "DELETE FROM summaries WHERE rowid <= (SELECT max(rowid) FROM summaries) - ?",
            (MOST_RUNS,),
        )


def _checksum(entry: Iterable[bytes | str]) -> int:
    total = 0
    for part in entry:
        total = zlib.crc32(part if isinstance(part, bytes) else part.encode(), total)
    return total


@contextmanager
def _opened() -> Iterator[sqlite3.Connection]:
    """The cache; one that is damaged, or of another cifarzoo, is made anew the next time.

    Raises:
        OSError: There is no folder that only this user can write to.
        sqlite3.Error: It can't be used now.
    """
    path = lasting_cache_folder(FOLDER) / FILE
    try:
        with closing(sqlite3.connect(path, timeout=LOCK_SECONDS)) as cache:
            cache.execute("PRAGMA synchronous = OFF")  # a power cut may cost it
            if cache.execute("PRAGMA user_version").fetchone() != (FORMAT,):
                with cache:
                    cache.execute("DROP TABLE IF EXISTS summaries")
                    cache.execute(_TABLE)
                    cache.execute(f"PRAGMA user_version = {FORMAT}")
            yield cache
    except sqlite3.OperationalError:  # locked, a full or read-only disk
        raise
    except sqlite3.DatabaseError:
        path.unlink(missing_ok=True)
        raise
