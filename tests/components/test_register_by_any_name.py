"""``register`` is found by whatever name a file imports it under; what is none is said in words."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cifarzoo import register
from cifarzoo.components.loading import import_components
from cifarzoo.components.plugins import catalogue
from cifarzoo.errors import PluginError
from cifarzoo.zoo.schedules.cosine import cosine

FORMS = [
    ("import cifarzoo as cz", "@cz.register.schedule"),
    ("import cifarzoo", "@cifarzoo.register.schedule"),
    ("import cifarzoo.components.registry", "@cifarzoo.components.registry.register.schedule"),
    ("import cifarzoo.components.registry as r", "@r.register.schedule()"),
    ("from cifarzoo.components import registry as r", "@r.register.schedule"),
    ("from cifarzoo import register as reg", "@reg.schedule(override=False)"),
    ("import cifarzoo as cz\nreg = cz.register", "@reg.schedule"),
    ("from cifarzoo import register\nschedule = register.schedule", "@schedule"),
]
REFUSED = [
    ("from cifarzoo import register", "@register\ndef one():\n    pass",
     "one is registered as nothing; expected @register.<kind> on a top-level def or class"),
    ("import cifarzoo as cz", "@cz.register.shedule\ndef one():\n    pass",
     "no component kind 'shedule'; did you mean schedule?"),
    ("from cifarzoo import register\nfrom functools import partial",
     "register.schedule(partial(print, 1))",
     "register.schedule(partial(print, 1)) is no decorator; expected @register.<kind>"),
    ("import cifarzoo as cz", "one = cz.register.schedule(override=True)(print)",
     "register.schedule(print) is no decorator; expected @register.<kind>"),
]  # fmt: skip


@pytest.mark.parametrize(("imports", "decorator"), FORMS)
def test_the_index_follows_imports_as_running_does(
    imports: str, decorator: str, plugin: Callable[..., Path]
):
    path = plugin("one.py", f"{imports}\n\n{decorator}\ndef by_any_name():\n    return 7\n")
    entry = catalogue([path]).entries["by_any_name"]

    assert (entry.kind, entry.line) == ("schedule", imports.count("\n") + 4)
    assert import_components([entry])["by_any_name"]() == 7


def test_a_preset_is_found_by_any_name_too(plugin: Callable[..., Path]):
    path = plugin(
        "one.py",
        "import cifarzoo as cz\nfrom cifarzoo.zoo.schedules.cosine import cosine\n"
        "half_down = cz.register.preset(cosine, final=0.5)\n",
    )
    entry = catalogue([path]).entries["half_down"]

    assert entry.preset is not None
    assert import_components([entry])["half_down"].bound == {"final": 0.5}


def test_another_register_is_none(plugin: Callable[..., Path]):
    path = plugin("one.py", "import atexit as cz\n@cz.register.schedule\ndef one():\n    pass\n")

    with pytest.raises(PluginError, match="it registers no component"):
        catalogue([path])


@pytest.mark.parametrize(("imports", "code", "problem"), REFUSED)
def test_what_is_no_registration_is_said_with_its_line(
    imports: str, code: str, problem: str, plugin: Callable[..., Path]
):
    path = plugin("one.py", f"{imports}\n{code}\n")

    with pytest.raises(PluginError) as caught:
        catalogue([path])

    place, said = str(caught.value).split(": ", 1)
    assert place.startswith(f"{path}:")
    assert said.startswith(problem)


@pytest.mark.parametrize("thing", [partial(cosine, final=0.5), 3, "cosine"])
def test_registering_what_has_no_name_is_refused_in_words(thing: Any):
    with pytest.raises(PluginError, match=r"register\.schedule was given .*; expected a def or a"):
        register.schedule(thing)


def test_register_without_a_kind_is_refused_in_words():
    with pytest.raises(PluginError, match=r"expected @register\.<kind>, the kind one of archit"):
        register(cosine)
