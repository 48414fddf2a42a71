"""A run's folder: the files that are the truth about it, and the lock on them.

``config.gin`` (what was set), ``resolved.gin`` (every value, defaults included), ``run.json``
(status, provenance, result), ``metrics.jsonl`` (a line an epoch), ``checkpoints/``, ``plugins/``
(copies of plugin files), TensorBoard's events.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cifarzoo.components.plugin_files import Plugin, PluginFile
from cifarzoo.errors import CifarzooError, UsageError
from cifarzoo.runs.strict_json import strict_json

SCHEMA = 1
CONFIG = "config.gin"
RESOLVED = "resolved.gin"
RECORD = "run.json"
METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
STEP = "step-"  # begins the name of a checkpoint's folder
PLUGINS = "plugins"
LOCK = ".lock"
PUT_BACK = "put back what the run wrote"
READ_BACK: dict[str, tuple[type, ...]] = {  # entries of run.json that commands go by
    "status": (str,),
    "config": (str,),
    "world_size": (int,),
    "process": (dict,),
    "data_folder": (str, type(None)),
    "data": (dict,),
    "plugins": (list,),
    "cifarzoo": (dict,),
    "attempts": (list,),
    "parent": (dict,),
}


def saved_steps(checkpoints: Path) -> list[int]:
    """The steps of all checkpoints in a folder, the newest last."""
    names = [path.name.removeprefix(STEP) for path in checkpoints.glob(f"{STEP}*")]
    return sorted(int(name) for name in names if name.isdecimal())


class RunFolder:
    """The folder of one run.

    Args:
        path: Path of the folder; see ``create``, ``adopt`` and ``finding.find_run``.
        made: Folders that were made for it, the innermost first.
    """

    def __init__(self, path: Path, made: Sequence[Path] = ()) -> None:
        self.path = path
        self._made = tuple(made)

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints lie."""
        return self.path / CHECKPOINTS

    @property
    def config_text(self) -> str:
        """The config that the run was started with: all that was set."""
        return self._read(CONFIG)

    @property
    def config_digest(self) -> str:
        """The SHA-256 (hex) of the config: what checkpoints say that they are of."""
        return hashlib.sha256(self.config_text.encode()).hexdigest()

    @property
    def resolved_text(self) -> str | None:
        """Every value that the run was started with; None: an older cifarzoo kept none."""
        return self._read(RESOLVED) if (self.path / RESOLVED).exists() else None

    def keep_resolved(self, text: str) -> None:
        """Write every value of the run beside its config.

        Raises:
            UsageError: The folder cannot be written to.
        """
        try:
            write_whole(self.path / RESOLVED, text)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written to: {error.strerror}") from error

    @property
    def has_begun(self) -> bool:
        """Whether anything was done in it, after its config was written."""
        return (self.path / RECORD).exists() or self.checkpoints.exists()

    def _read(self, name: str) -> str:
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.path / name} cannot be read: {error}; {PUT_BACK}") from error

    @property
    def record(self) -> dict[str, Any]:
        """What ``run.json`` says; empty before it was first written."""
        try:
            record: dict[str, Any] = json.loads((self.path / RECORD).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise UsageError(f"{self.path / RECORD} is not JSON: {error}") from error
        except OSError as error:
            raise UsageError(f"{self.path / RECORD} cannot be read: {error.strerror}") from error
        if not isinstance(record, dict):
            raise UsageError(f"{self.path / RECORD} holds no JSON object; {PUT_BACK}")
        for name, kinds in READ_BACK.items():
            if name in record and not isinstance(record[name], kinds):
                wrong = f"has {name} {record[name]!r:.40}"
                raise UsageError(f"{self.path / RECORD} {wrong}; {PUT_BACK}")
        return record

    def update(self, **changes: Any) -> None:
        """Change entries of ``run.json``, which is replaced whole.

        Raises:
            CifarzooError: It cannot be written: a full disk.
        """
        record = {"schema": SCHEMA, **self.record, **changes}
        with _writing(self.path / RECORD):
            _sweep(self.path / RECORD)
            write_whole(self.path / RECORD, strict_json(record, indent=1) + "\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from running in this folder.

        Raises:
            UsageError: One does already, or the folder cannot be written to.
        """
        lock = FileLock(self.path / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            who = self.record.get("process", {})
            raise UsageError(
                f"{self.path} is in use by another run (process {who.get('pid', '?')} on "
                f"{who.get('host', '?')}, since {who.get('started', '?')})"
            ) from None
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written to: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()

    def discard(self) -> None:
        """Take away what was made for a run that was refused before it began."""
        if self.checkpoints.exists():  # it had begun, and lost its run.json
            return
        for name in (CONFIG, RESOLVED, RECORD, LOCK):
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(self.path / PLUGINS, ignore_errors=True)
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:  # another run is in it by now
                return

    def keep_plugins(self, plugins: Iterable[Plugin]) -> None:
        """Write plugins, as they were read, beside the config: the run can be resumed later.

        Raises:
            UsageError: The folder cannot be written to.
        """
        taken: dict[str, int] = {}
        try:
            for plugin in plugins:
                (self.path / PLUGINS).mkdir(exist_ok=True)
                name = plugin.path.resolve().name
                # A folder of its own, with a number, for another plugin of the same name.
                number = taken[name] = taken.get(name, int(name.isdecimal())) + 1
                own = self.path / PLUGINS / (str(number) if number > 1 else "")
                own.mkdir(exist_ok=True)
                if isinstance(plugin, PluginFile):
                    (own / name).write_bytes(plugin.content)
                    continue
                for inside, content in plugin.files:
                    (own / name / inside).parent.mkdir(parents=True, exist_ok=True)
                    (own / name / inside).write_bytes(content)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written to: {error.strerror}") from error

    @property
    def plugins(self) -> list[Path]:
        """The copies of the plugin files and folders that the run used."""
        return [
            plugin
            for path in _plugins_in(self.path / PLUGINS)
            for plugin in (_plugins_in(path) if path.name.isdecimal() else [path])
        ]

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Add a line to ``metrics.jsonl`` and see it onto the disk.

        Raises:
            CifarzooError: It cannot be written: a full disk.
        """
        path = self.path / METRICS
        with _writing(path), path.open("a", encoding="utf-8") as file:
            file.write(strict_json(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def metrics(self, size: int | None = None) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``; a last one that was torn off is left out.

        Args:
            size: Only lines within the first ``size`` bytes; None: all.

        Raises:
            UsageError: A line is no JSON object.
        """
        path = self.path / METRICS
        data = path.read_bytes()[:size] if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1].splitlines()
        return [_metrics_line(path, number, line) for number, line in enumerate(whole, start=1)]

    @property
    def metrics_size(self) -> int:
        """Bytes of ``metrics.jsonl``: what a checkpoint counts."""
        path = self.path / METRICS
        return path.stat().st_size if path.exists() else 0

    def cut_metrics(self, size: int) -> None:
        """Cut ``metrics.jsonl`` back to what the checkpoint resumed from had counted.

        If it is shorter than that, only a line that was torn off is cut.
        """
        path = self.path / METRICS
        if self.metrics_size < size:
            text = path.read_bytes() if path.exists() else b""
            size = text.rfind(b"\n") + 1
        if self.metrics_size > size:
            os.truncate(path, size)


def create(root: Path, name: str, config_text: str) -> RunFolder:
    """Make ``root/name/<time>-<id>/`` for a new run.

    Args:
        root: Folder that runs go to.
        name: Name of the config.
        config_text: Text of the config.

    Raises:
        UsageError: The folder cannot be made or written to.
    """
    time = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    return _start(root / _safe(name) / f"{time}-{secrets.token_hex(2)}", config_text)


def adopt(path: Path, config_text: str) -> tuple[RunFolder, bool]:
    """Use ``path`` for a run, or go on with the run that is there.

    Args:
        path: Path that ``--run-dir`` gave.
        config_text: Text of the config, for a new run.

    Returns:
        The folder, and whether it held a run already, of whatever config.

    Raises:
        UsageError: It holds other files, or cannot be written to.
    """
    if holds_run(path):
        return RunFolder(path), True
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is not a folder")
    if path.is_dir() and any(not _is_of_a_start(item) for item in path.iterdir()):
        raise UsageError(f"{path} holds other files; expected an empty folder or one of a run")
    return _start(path, config_text), False


def holds_run(path: Path) -> bool:
    """Whether ``path`` is the folder of a run.

    Raises:
        UsageError: It is no path of a folder.
    """
    check_length(path)
    return (path / CONFIG).is_file()


def check_length(path: Path) -> None:
    """Refuse a path that no folder can have.

    Raises:
        UsageError: It is one, such as a name that is too long.
    """
    try:
        (path / CONFIG).is_file()
    except OSError as error:  # other questions about a path have an answer
        raise UsageError(f"{str(path)[:40]!r}… is no path of a folder: {error.strerror}") from error


def write_whole(path: Path, text: str) -> None:
    """Replace a file at once: readers see the old text or the new one, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def this_process() -> dict[str, Any]:
    """Who is at work in a folder, for the message of its lock."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "started": started}


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CifarzooError(
            f"{path} cannot be written: {error.strerror}; make room, then cifarzoo resume goes on "
            "from the last checkpoint"
        ) from error


def _sweep(path: Path) -> None:
    """Delete what a process that was killed within ``write_whole`` left beside ``path``."""
    for left in path.parent.glob(f".{path.name}.*"):
        left.unlink(missing_ok=True)


def _is_of_a_start(path: Path) -> bool:
    """Whether a file of a folder may stem from a start that was killed before its config."""
    return path.name == LOCK or path.name.startswith(f".{CONFIG}.")


def _plugins_in(folder: Path) -> list[Path]:
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in inside if path.is_dir() or path.suffix == ".py"]


def _metrics_line(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        entries = json.loads(line)
    except ValueError:
        entries = None
    if not isinstance(entries, dict):
        raise UsageError(
            f"line {number} of {path} is no JSON object; put back what the run wrote, or take the "
            "line out"
        )
    return entries


def _start(path: Path, config_text: str) -> RunFolder:
    try:
        made = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        _sweep(path / CONFIG)
        write_whole(path / CONFIG, config_text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written to: {error.strerror}") from error
    return RunFolder(path, made)


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("-.")[:100] or "run"
