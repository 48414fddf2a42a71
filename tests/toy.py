"""Configs of components that make nothing (``fixtures/toy_components.py``), for the config door."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from cifarzoo.config import Config, load
from cifarzoo.errors import ConfigProblemsError

PLUGIN = Path(__file__).parent / "fixtures" / "toy_components.py"
# A whole config on five lines; what a test adds stands on line 6 and after.
BASE = """\
run.architecture = @toy_net
run.dataset = @toy_data
run.optimizer = @toy_sgd
run.schedule = @toy_flat
run.epochs = 3
"""


def read(text: str, folder: Path, *sets: str, base: str = BASE) -> Config:
    """``base`` and ``text`` as the file ``c.gin``, read with ``--set`` for each of ``sets``."""
    path = folder / "c.gin"
    path.write_text(base + text)
    return load(path, sets=sets, plugins=[PLUGIN])


def problems(text: str, folder: Path, *sets: str, base: str = BASE) -> Sequence[str]:
    """What is wrong with such a config: its lines, without the name of the folder."""
    with pytest.raises(ConfigProblemsError) as caught:
        read(text, folder, *sets, base=base)
    assert caught.value.exit_code == 2
    assert str(caught.value) == "\n".join(caught.value.problems)
    return [line.replace(f"{folder}/", "") for line in caught.value.problems]
