"""What a process of its own says, and how much memory it took at most."""

from __future__ import annotations

import subprocess
import sys

# A process that was forked counts its parent's memory until it runs a program of its own, also
# in what getrusage says: VmHWM is of that program alone.
TELL = """
import pathlib, re, sys
status = pathlib.Path("/proc/self/status").read_text()
print(re.search(r"VmHWM:\\s*(\\d+)", status)[1], file=sys.stderr)
"""
MOST_ADDRESSES = 20 << 20  # kB that it may ask for: a test that fails takes no machine down


def told(code: str, *arguments: object) -> tuple[list[str], float]:
    """The lines that ``code`` prints, and the MiB that its process took."""
    limited = ["bash", "-c", f'ulimit -v {MOST_ADDRESSES}; exec "$@"', "bash", sys.executable]
    command = [*limited, "-c", code + TELL, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), int(done.stderr.split()[-1]) / 1024
