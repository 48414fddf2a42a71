"""What the files of a run's folder say of it in short: a row of ``cifarzoo runs``.

Files that make no sense, or are missing, are a row that says so. What is read is plain values, so
that ``summary_cache.py`` can keep it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cifarzoo.components.root import BOOKKEEPING, ROOT
from cifarzoo.errors import UsageError
from cifarzoo.files.real_folder import RealFolder
from cifarzoo.run_folders import resolved
from cifarzoo.run_folders.folder import (
    CONFIG,
    METRICS,
    PUT_BACK,
    SCHEMA,
    RunFolder,
)
from cifarzoo.run_folders.liveness import NEW, UNREADABLE
from cifarzoo.run_folders.schemas import MetricsLine, entries

DONE = "done"
SEED, EPOCHS = f"{ROOT}.seed", f"{ROOT}.epochs"
SET = re.compile(r"^(\S+\.\w+) = (.*)$()", re.MULTILINE)  # a line of config.gin
WHOLE = re.compile(r"-?[0-9]{1,18}")
TAIL = 4096  # bytes of metrics.jsonl in which its last line is looked for; lines have 300
SCORES = ("test_error", "tta_test_error", "validation_error")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the files of a run say; plain values alone.

    Attributes:
        name: Name that the user gave the run; None: none.
        config: Name of its config.
        tags: Tags that the user gave it.
        differs: Settings that were set beside the config's files, as text by short name.
        seed: Seed of the run; None: not known.
        status: Status in its record; ``new``: it has no record, ``unreadable``: that makes no
            sense.
        host: Host of the last process that was at work on it; None: not known.
        started: When it was begun, as text that sorts by time (UTC); None: not known.
        epoch: Epochs done.
        epochs: Epochs in all; None: not known before the first is done.
        test_error: Share of the test images that is wrong, 0 to 1, after the last epoch that was
            tested; None: none was.
        tta_test_error: The same for several views of each image; None: there are none.
        validation_error: The same on the validation images; None: there are none.
        train_seconds: Seconds of training steps.
        failure: What ended it early, in its own words; None: nothing did.
        problem: What is wrong with its files; None: nothing.
    """

    name: str | None = None
    config: str | None = None
    tags: tuple[str, ...] = ()
    differs: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    status: str = NEW
    host: str | None = None
    started: str | None = None
    epoch: int = 0
    epochs: int | None = None
    test_error: float | None = None
    tta_test_error: float | None = None
    validation_error: float | None = None
    train_seconds: float | None = None
    failure: str | None = None
    problem: str | None = None


def read_facts(run: Path) -> tuple[Facts, dict[str, str]]:
    """What the files of a run say, and all its settings as text by short name.

    Args:
        run: Folder of the run.
    """
    problems: list[str] = []
    record = _record(run, problems)
    values = list(_settings(run, problems))
    known = {resolved.short_name(each.name): resolved.without_kinds(each.source) for each in values}
    beside = [resolved.short_name(each.name) for each in values if each.is_beside]
    lines = _metrics(run, record.get("status"), problems)
    last = lines[-1] if lines else {}
    status = record.get("status", NEW)
    found = Facts(
        name=record.get("name"),
        config=record.get("config") if record else _planned_name(run),
        tags=tuple(record.get("tags", ())),
        differs={name: known[name] for name in beside if _is_shown(name)},
        seed=_whole(known.get(SEED)),
        status=status,
        host=record.get("process", {}).get("host"),
        started=_started(run, record),
        epoch=last.get("epoch", 0),
        epochs=last.get("epochs", _whole(known.get(EPOCHS))),
        train_seconds=record.get("train_seconds", _seconds(lines)),
        failure=record.get("error"),
        problem="; ".join(problems) or None,
        **{score: record.get(score, last.get(score)) for score in SCORES},
    )
    return found, known


def _planned_name(run: Path) -> str | None:
    """The name of the config of a run that was planned and not begun."""
    try:
        return RunFolder(run).config_name
    except UsageError:
        return None


def _record(run: Path, problems: list[str]) -> dict[str, Any]:
    """What run.json says; of one that makes no sense nothing but that."""
    folder = RunFolder(run)
    try:
        record = folder.record
    except UsageError as error:
        problems.append(folder.newer_words or _within(run, error))
        return {"status": UNREADABLE}
    if record.get("schema", SCHEMA) > SCHEMA:
        problems.append(folder.newer_words)
    return record


def _settings(run: Path, problems: list[str]) -> Iterator[resolved.Setting]:
    """Every value of the run; of an old one, which kept no defaults, those that were set."""
    folder = RunFolder(run)
    try:
        text = folder.resolved_text
        if text is None:
            yield from (resolved.Setting(*found) for found in SET.findall(folder.config_text))
        else:
            yield from resolved.settings(text)
    except UsageError as error:
        problems.append(_within(run, error))


def _metrics(run: Path, status: str | None, problems: list[str]) -> list[dict[str, Any]]:
    """The lines of the metrics; of a finished run, whose record has its sums, the last alone."""
    try:
        return [*_last_line(run)] if status == DONE else RunFolder(run).metrics()
    except UsageError as error:
        problems.append(_within(run, error))
    except (OSError, ValueError) as error:
        problems.append(f"the last line of {METRICS} {getattr(error, 'strerror', None) or error}")
    return []


def _last_line(run: Path) -> Iterator[dict[str, Any]]:
    try:
        number = RealFolder(run).open(METRICS)
    except FileNotFoundError:
        return
    with os.fdopen(number, "rb") as file:
        file.seek(max(0, os.fstat(number).st_size - TAIL))
        lines = file.read().rpartition(b"\n")[0].splitlines()
    if lines:
        yield entries(MetricsLine, lines[-1])


def _within(run: Path, error: UsageError) -> str:
    """An error about a file of a run, for those who know which run."""
    return str(error).replace(f"{run}/", "").removesuffix(f"; {PUT_BACK}")


def _is_shown(name: str) -> bool:
    """Whether a setting makes a run another one, beside its seed."""
    root, _, parameter = name.partition(".")
    return name != SEED and not (root == ROOT and parameter in BOOKKEEPING)


def _whole(source: str | None) -> int | None:
    return int(source) if source is not None and WHOLE.fullmatch(source) else None


def _seconds(lines: list[dict[str, Any]]) -> float | None:
    found = [line["seconds"] for line in lines if "seconds" in line]
    return math.fsum(found) if found else None


def _started(run: Path, record: Mapping[str, Any]) -> str | None:
    """When a run was begun: by its record, or else by its config."""
    try:
        known = record.get("started") or record["process"]["started"]
        return datetime.fromisoformat(known).astimezone(UTC).isoformat(timespec="seconds")
    except (KeyError, ValueError):  # it hasn't, or in another form than ours
        pass
    try:
        written = (run / CONFIG).stat(follow_symlinks=False).st_mtime
    except OSError:
        return None
    return datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds")
