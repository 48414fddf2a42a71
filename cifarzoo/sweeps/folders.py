"""The folders of a sweep's cells, written before the first is trained, and what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cifarzoo.api.identity import compare, keep_identity
from cifarzoo.components.plugin_files import read_plugins
from cifarzoo.components.trust import remember
from cifarzoo.errors import UsageError
from cifarzoo.files.real_folder import RealFolder
from cifarzoo.run_folders.folder import CONFIG, RunFolder, adopt, beginning, holds_run
from cifarzoo.run_folders.provenance import own_code
from cifarzoo.run_folders.strict_json import strict_json
from cifarzoo.run_folders.sweep_record import POINTS, RECORD, SCHEMA
from cifarzoo.sweeps.plan import Asked, Cell

REPLACED = ".replaced"  # hidden, so that nothing that looks for runs looks in there


def write_sweep(folder: Path, asked: Asked, cells: Sequence[Cell] = (), **facts: Any) -> None:
    """Write what was asked for to ``sweep.json``, which is replaced whole.

    Args:
        folder: Folder of the sweep.
        asked: What was asked for.
        cells: Cells of the sweep, in whose order it is compared; none: they aren't known before.
        facts: What else is kept.

    Raises:
        UsageError: The folder cannot be written to.
    """
    record = {
        "schema": SCHEMA,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "configs": list(asked.configs),
        "set": list(asked.sets),
        "vary": {
            each.name: str(each.range) if each.range else list(each.values)
            for each in asked.variations
        },
        "seeds": list(asked.seeds),
        "plugins": [str(path) for path in asked.plugins],
        POINTS: list(dict.fromkeys(cell.folder.parent.name for cell in cells)),
        **facts,
    }
    with beginning(folder):
        folder.mkdir(parents=True, exist_ok=True)
        files = RealFolder(folder)
        files.sweep(RECORD)
        files.replace(RECORD, (strict_json(record, indent=1) + "\n").encode())


def placed(cells: Sequence[Cell], folder: Path) -> list[Cell]:
    """The cells, those that were begun under another name in the folders that they have.

    A sweep that is given one more config, or one more setting to vary, calls its cells otherwise.

    Args:
        cells: Cells of the sweep.
        folder: Folder of the sweep.
    """
    if all(holds_run(cell.folder) for cell in cells):
        return list(cells)
    taken = {cell.folder for cell in cells}
    there = [path.parent for path in folder.glob(f"*/seed*/{CONFIG}") if path.parent not in taken]
    known = {RunFolder(path).config_text: path for path in there if RunFolder(path).has_begun}
    return [
        replace(cell, folder=known.get(cell.config.text(), cell.folder))
        if not holds_run(cell.folder)
        else cell
        for cell in cells
    ]


def check_cells(cells: Sequence[Cell], *, replaces: bool) -> list[str]:
    """Compare what lies in the cells' folders with what they are to be; nothing is written.

    Args:
        cells: Cells of the sweep.
        replaces: Whether runs of another config or code make room for new ones.

    Returns:
        What may not be meant, a line each: other code of cifarzoo has trained some.

    Raises:
        UsageError: Folders hold runs of another config, and ``replaces`` isn't set.
    """
    code = own_code()["sha256"]
    others: list[str] = []
    of_other_code: list[str] = []
    for cell in cells:
        if replaces or not holds_run(cell.folder) or not RunFolder(cell.folder).has_begun:
            continue
        folder = RunFolder(cell.folder)
        if differences := compare(folder, cell.config).differences:
            others.append(f"{cell.folder} {differences}")
        elif _trained_by(folder) not in ("", code):
            of_other_code.append(cell.name)
    if others:
        raise UsageError(
            *others,
            "choose another --out for another sweep; or --retrain-changed trains these anew, and "
            f"keeps what is there in {REPLACED}",
        )
    if not of_other_code:
        return []
    first, num = of_other_code[0], len(of_other_code)
    them = f"{first} was" if num == 1 else f"{num} cells, {first} the first, were"
    return [f"{them} trained by other code of cifarzoo; --retrain-changed trains anew"]


def write_cells(cells: Sequence[Cell], *, folder: Path, replaces: bool) -> None:
    """Make the folder of each cell, with the config and plugins of its run.

    Args:
        cells: Cells of the sweep, which ``check_cells`` has passed.
        folder: Folder of the sweep.
        replaces: Whether runs of another config or code are moved to ``.replaced``.

    Raises:
        UsageError: A folder can't be written to, holds other files, or is in use.
    """
    code = own_code()["sha256"]
    for cell in cells:
        if holds_run(cell.folder) and _is_stale(cell, code, replaces=replaces):
            _move_away(cell, folder)
        there, _ = adopt(cell.folder, cell.config.text())
        if not there.has_begun:
            keep_identity(there, cell.config)
    # The copies in the folders are what is run: named by --plugin, they are trusted.
    plugins = {plugin.sha256: plugin for cell in cells for plugin in cell.config.plugin_files()}
    if problem := remember(plugins.values()):
        raise UsageError(problem)


def _is_stale(cell: Cell, code: str, *, replaces: bool) -> bool:
    """Whether what a folder holds has to make room."""
    folder = RunFolder(cell.folder)
    if folder.has_begun:
        is_other = compare(folder, cell.config).differences or _trained_by(folder) not in ("", code)
        return replaces and bool(is_other)
    copies = {plugin.sha256 for plugin in read_plugins(folder.plugins, variable="")}
    is_planned = folder.config_text == cell.config.text()
    return not is_planned or copies != {each.sha256 for each in cell.config.plugin_files()}


def _trained_by(folder: RunFolder) -> str:
    """The digest of the code of cifarzoo that last trained a run; empty: that isn't known."""
    return str(folder.record.get("cifarzoo", {}).get("sha256", ""))


def _move_away(cell: Cell, folder: Path) -> None:
    """Move what a cell's folder holds aside; none of it is lost."""
    if RunFolder(cell.folder).is_locked:
        raise UsageError(f"{cell.folder} is in use by another run; stop that first")
    time = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S-%f")
    target = folder / REPLACED / cell.point.name / f"seed{cell.seed}-{time}"
    with beginning(folder):
        target.parent.mkdir(parents=True, exist_ok=True)
        cell.folder.rename(target)
