"""Whether a run that its record calls running still is.

Its lock tells, which the system takes from a process that ends; and no number of a process, which
another one may have by now.
"""

from __future__ import annotations

import socket
from pathlib import Path

from cifarzoo.run_folders.folder import RunFolder

RUNNING, INTERRUPTED, UNKNOWN = "running", "interrupted", "unknown"
NEW, UNREADABLE = "new", "unreadable"  # of runs whose record is missing, or makes no sense
STATUSES = (
    *("done", RUNNING, INTERRUPTED, "stopped", "failed", "diverged"),
    *(UNKNOWN, NEW, UNREADABLE),
)


def current_status(run: Path, recorded: str, host: str | None) -> str:
    """The status of a run as it is now.

    Args:
        run: Folder of the run.
        recorded: Status in its record.
        host: Host of the process that wrote that; None: not known.

    Returns:
        The recorded status; of a run that was at work ``running`` if its lock is held,
        ``interrupted`` if it isn't, and ``unknown`` where another host's lock may not be seen.
    """
    if recorded != RUNNING:
        return recorded
    if RunFolder(run).is_locked:
        return RUNNING
    # Locks of other hosts are seen on some file systems and not on others.
    return INTERRUPTED if host in (None, socket.gethostname()) else UNKNOWN
