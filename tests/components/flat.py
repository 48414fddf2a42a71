"""Plugins with a schedule that is flat, what they make, and why they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from cifarzoo.components.index import Entry
from cifarzoo.components.loading import import_components
from cifarzoo.components.plugins import catalogue
from cifarzoo.components.registry import register
from cifarzoo.errors import PluginError

FLAT = "from cifarzoo import register\n@register.schedule\ndef {name}(): return {value!r}\n"
OVER = FLAT.replace("schedule", "schedule(override=True)")


def made(entry: Entry) -> object:
    import_components([entry])
    return register.components[entry.name].factory()


def refused(*files: Path) -> str:
    with pytest.raises(PluginError) as caught:
        catalogue(files)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)
