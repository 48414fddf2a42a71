"""The command line, one file a group of commands."""

import os
import sys


def main() -> None:
    """Run the command that ``sys.argv`` names."""
    for name in ("stdin", "stdout", "stderr"):  # None where the shell closed it (``>&-``)
        if getattr(sys, name) is None:  # nor may a file of a run get its number
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: PTH123, SIM115  # stays open
    # Read by OpenMP when torch is imported. Threads that spin while they wait lose a slice of
    # time at each barrier once anything else runs: small networks were ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from cifarzoo.cli.app import app

    app()
