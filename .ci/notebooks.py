"""Runs the notebooks of ``examples/`` as a reader would, in folders of their own.

python .ci/notebooks.py            # each must run to its end without an error
python .ci/notebooks.py --write    # and keeps its outputs in the file
"""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"


def main() -> None:
    """Run every notebook."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line: others run too
    paths = sorted(EXAMPLES.glob("*.ipynb"))
    if not paths:
        sys.exit(f"no notebook in {EXAMPLES}")
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            client = NotebookClient(
                notebook, timeout=600, resources={"metadata": {"path": folder}}, record_timing=False
            )
            client.execute()
        sys.stdout.write(f"{path.name}: {len(notebook.cells)} cells run\n")
        if "--write" in sys.argv[1:]:
            nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
