"""Files of a user's: a plugin, and a config in the folder at hand."""

from pathlib import Path

import pytest

from tests.cli.small_run import CONFIG

PLUGIN = '''
"""A plugin."""

from collections.abc import Sequence

from cifarzoo import register


@register.schedule
def sawtooth(*, teeth: int, steepness: float = 0.5):
    """Up slowly and down at once.

    Sawtooth (Nobody, 2026; arXiv:2601.00001).

    Args:
        teeth: How often it falls,
            over the whole run.
        steepness: Of the rise.

    Returns:
        The factor.

    Differs from the paper: there is none.
    """
    return lambda moment: steepness * (moment.progress * teeth % 1)
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "teeth.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's with a config in it."""
    (tmp_path / "small.gin").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path
