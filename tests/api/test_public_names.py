"""What ``import cifarzoo`` gives: the public names, and nothing until they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cifarzoo


def printed(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_dir_shows_the_public_names_and_nothing_else():
    script = "import cifarzoo, cifarzoo.config, cifarzoo.data.order; print(dir(cifarzoo))"

    assert printed(script) == repr(sorted(cifarzoo.__all__))


def test_every_public_name_is_there():
    for name in cifarzoo.__all__:
        assert getattr(cifarzoo, name) is not None


def test_what_plugins_import_costs_no_torch():
    script = """
import sys, cifarzoo
cifarzoo.register, cifarzoo.errors, cifarzoo.protocols
print("torch" in sys.modules)"""

    assert printed(script) == "False"


def test_another_name_is_refused_with_what_may_have_been_meant():
    with pytest.raises(AttributeError, match=r"no attribute 'darws'; did you mean draws\?$"):
        cifarzoo.darws  # noqa: B018
