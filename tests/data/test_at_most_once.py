"""What isn't the same twice is refused twice, by the component's own word."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from cifarzoo.config import load
from cifarzoo.engine.assembly.build import build
from cifarzoo.errors import ConfigError, ConfigProblemsError
from cifarzoo.zoo.augmentations.alternating_flip import alternating_flip
from cifarzoo.zoo.augmentations.flip import flip
from cifarzoo.zoo.augmentations.normalize import normalize
from tests.tiny import tiny_run

TWICE = '''
from cifarzoo import register

class Scaled:
    {word}

    def __call__(self, images, draws):
        return images * 0.5

def made():
    return Scaled()

@register.augmentation
def scaled():
    """Halves, and its class is made by another function, which source doesn't show."""
    return made()

@register.augmentation
def shown():
    """Halves, and shows its class."""
    return Scaled()
'''
PLACE = r"c\.gin:2: run\.augmentations has @"


@pytest.mark.parametrize(
    "value",
    ["[@normalize, @normalize]", "[@normalize, @flip, @a/normalize]",
     "[@alternating_flip, @alternating_flip, @normalize]"],
)  # fmt: skip
def test_check_refuses_a_list_that_has_one_twice(value: str, tmp_path: Path):
    (tmp_path / "c.gin").write_text(f"include 'quickstart.gin'\nrun.augmentations = {value}\n")

    with pytest.raises(ConfigProblemsError, match=rf"{PLACE}\w+ 2 times; expected it at most once"):
        load(tmp_path / "c.gin")


@pytest.mark.parametrize("name", ["scaled", "shown"])
@pytest.mark.parametrize(
    ("word", "is_refused"),
    [("at_most_once = True", True), ("at_most_once = False", False), ("pass", False)],
)
def test_a_plugin_says_so_of_its_own(name: str, word: str, is_refused: bool, tmp_path: Path):
    (tmp_path / "twice.py").write_text(TWICE.format(word=word))
    text = f"include 'quickstart.gin'\nrun.augmentations = [@{name}, @normalize, @a/{name}]\n"
    (tmp_path / "c.gin").write_text(text)

    def built() -> int:
        config = load(tmp_path / "c.gin", plugins=[tmp_path / "twice.py"])
        with config.locating():
            return len(build(config.build(), folder=None, device="meta").augmentations)

    if is_refused:
        with pytest.raises((ConfigError, ConfigProblemsError), match=rf"{PLACE}{name} 2 times"):
            built()
    else:
        assert built() == 3


def test_the_engine_refuses_what_a_program_lists():
    twice = [partial(normalize), flip, partial(normalize, mean=[0.5] * 3, std=[0.2] * 3)]

    with pytest.raises(ConfigError, match="augmentations has @normalize 2 times; expected it at"):
        build(tiny_run(augmentations=twice), folder=None, device="meta")
    build(tiny_run(augmentations=[flip, flip, alternating_flip]), folder=None, device="meta")
