"""``python -m tests.null_cuda RECIPE [NAME=VALUE ...]``: a step's counts, on the stand-in."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.null_cuda import stand_in

if reason := stand_in.why_not():
    sys.exit(f"no stand-in for CUDA here: {reason}")
with tempfile.TemporaryDirectory() as folder:
    command = [sys.executable, "-m", "tests.null_cuda.count", *sys.argv[1:]]
    environment = os.environ | stand_in.build(Path(folder))
    sys.exit(subprocess.run(command, env=environment, check=False).returncode)
