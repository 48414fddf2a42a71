"""The command line, one file a group of commands."""

import gc
import os
import sys


def main() -> None:
    """Run the command that ``sys.argv`` names."""
    gc.disable()  # until all is imported that the command needs: a fifth of the start
    from cifarzoo.engine.distributed.current_folder import leave_current_folder

    leave_current_folder()  # before anything else is imported
    from cifarzoo.cli.terminal import streams

    streams.make_writable()
    # Read by OpenMP when torch is imported. Threads that spin while they wait lose a slice of
    # time at each barrier once anything else runs: small networks were ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from cifarzoo.cli.app import app
    from cifarzoo.cli.terminal.console import print_traceback
    from cifarzoo.errors import EXIT_FAILED

    try:
        app()
    except Exception as error:  # a bug, of ours or of a plugin's
        print_traceback(error)
        sys.exit(EXIT_FAILED)
