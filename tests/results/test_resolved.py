"""The lines of resolved.gin: what each says of a value and where it is from."""

import pytest

from cifarzoo import config
from cifarzoo.config.effective import effective_values, resolved_text
from cifarzoo.run_folders.resolved import Setting, settings, short_name, without_kinds

CONFIG = """
include 'quickstart.gin'
rate = 0.3
sgd.lr = %rate
"""


def test_every_value_is_read_as_it_was_written():
    loaded = config.load("quickstart.gin", sets=["run.epochs=3", "glyphs.clutter=1"])

    read = {each.name: each for each in settings(resolved_text(loaded))}

    values = effective_values(loaded)
    assert {name: each.source for name, each in read.items()} == {
        name: value.source for name, value in values.items()
    }
    beside = {short_name(name) for name, each in read.items() if each.is_beside}
    assert beside == {"run.epochs", "glyphs.clutter"}


def test_a_macro_that_is_set_beside_the_file_counts(tmp_path):
    path = tmp_path / "mine.gin"
    path.write_text(CONFIG)

    def beside(*sets: str) -> list[str]:
        loaded = config.load(str(path), sets=sets)
        return [each.name for each in settings(resolved_text(loaded)) if each.is_beside]

    assert beside() == []
    assert beside("rate=0.5") == ["optimizer.sgd.lr"]


@pytest.mark.parametrize(
    ("origin", "is_beside"),
    [
        ("default of sgd", False),
        ("fixed by resnet8", False),
        ("/a b/mine.gin:12", False),
        ("--seed", True),
        ("seed 3", True),
        ("set['sgd.lr']", True),
        ("--set 'run.name=a:1'", True),
    ],
)
def test_what_was_set_beside_the_files_is_told_by_its_origin(origin, is_beside):
    assert Setting("optimizer.sgd.lr", "0.1", origin).is_beside is is_beside


def test_what_looks_like_an_origin_in_a_value_stays_in_it():
    setting = Setting("run.loss", "'a  # b'", "x.gin:1")

    assert list(settings(setting.line())) == [setting]


def test_names_and_values_are_shortened_as_people_write_them():
    assert short_name("a/optimizer.sgd.lr") == "a/sgd.lr"
    assert short_name("run.seed") == "run.seed"
    assert without_kinds("[@regularizer.mixup, @a/schedule.cosine]") == "[@mixup, @a/cosine]"
