"""What a session's processes listen on, by the kernel's own tables.

``python -m tests.listening COMMAND`` runs a command and prints it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

LISTENING = "0A"  # state of a TCP socket in /proc/net/tcp
LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
LONGEST_SECONDS = 120


def processes(session: int) -> list[int]:
    """All processes of a session: what a command starts is in its own."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def sockets(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    found = set()
    try:
        links = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # it has just ended
        return found
    for link in links:
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(target[len("socket:[") : -1])
    return found


def listening(session: int) -> set[str]:
    """The local addresses, in the kernel's hexadecimal words, that a session's sockets take from.

    Of TCP those that listen, of UDP all.
    """
    inodes = set().union(*map(sockets, processes(session)))
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and (fields[3] == LISTENING or table.startswith("udp")):
                found.add(fields[1].partition(":")[0])
    return found


def seen(process: subprocess.Popen[bytes]) -> Iterator[set[str]]:
    """What a command's processes listen on, again and again until it ends."""
    until = time.monotonic() + LONGEST_SECONDS
    while process.poll() is None and time.monotonic() < until:
        yield listening(process.pid)
        time.sleep(0.02)


def main() -> int:
    process = subprocess.Popen(sys.argv[1:], start_new_session=True)
    found = set().union(*seen(process))
    said = "loopback alone" if found <= LOOPBACK else str(sorted(found))
    sys.stdout.write(f"{said if found else 'nothing'}\n")
    return process.wait()


if __name__ == "__main__":
    raise SystemExit(main())
