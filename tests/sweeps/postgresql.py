"""A PostgreSQL server of one's own, on a socket of a folder of one's own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin")) if os.name == "posix" else []


class Server:
    """A server that can be stopped and started."""

    def __init__(self, folder: Path, user: str | None) -> None:
        self._folder = folder
        self._user = user
        name = user or pwd.getpwuid(os.getuid()).pw_name
        self.url = f"postgresql+psycopg://{name}@/postgres?host={folder}"

    def start(self) -> None:
        options = f"-c listen_addresses='' -c fsync=off -k {self._folder}"
        self.run(
            "pg_ctl", "-D", self._data, "-w", "-l", self._folder / "log", "-o", options, "start"
        )

    def stop(self) -> None:
        self.run("pg_ctl", "-D", self._data, "-m", "immediate", "stop")

    def run(self, program: str, *words: object) -> None:
        command = [str(BINARIES[-1] / program), *map(str, words)]
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, user=self._user, cwd=self._folder
        )

    @property
    def _data(self) -> Path:
        return self._folder / "data"


def missing() -> str:
    """Why no server can be started; empty: one can."""
    if not BINARIES:
        return "PostgreSQL's server is not installed (Debian: postgresql)"
    if os.getuid() == 0 and _other_user() is None:
        return "PostgreSQL refuses to run as root, and there is no user postgres"
    return ""


@contextmanager
def running() -> Iterator[Server]:
    user = _other_user() if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    if user:
        shutil.chown(folder, user)
    server = Server(folder, user)
    server.run("initdb", "-D", folder / "data", "-A", "trust", "--no-sync")
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _other_user() -> str | None:
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return None
