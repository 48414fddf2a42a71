"""A hint is right: applied as it stands, it makes the command one that is fine."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.command import refuse, succeed

# What is typed after ``check c.gin``, or a line of the file, and the hint that is given.
SETTINGS = [
    ("run.dataset=cifar10", "-s run.dataset=@cifar10"),
    ("run.dataset=CIFAR10", "-s run.dataset=@cifar10"),
    ("run.dataset=@CIFAR10", "cifar10"),
    ("run.dataset='cifar10'", "@cifar10"),
    ("run.optimizer=adamw", "-s run.optimizer=@adamw"),
    ("run.optimizer=SGD", "-s run.optimizer=@sgd"),
    ("run.optimizer=optimiser.sgd", None),
    ("run.regularizers=[ema]", '-s "run.regularizers=[@ema]"'),
    ("run.regularizers=[ema, mixup]", '-s "run.regularizers=[@ema, @mixup]"'),
    ("run.regularizers=ema", None),
    ("run.regularizers=@ema", "[@ema]"),
    ("run.regularizers='ema'", "[@ema]"),
    ("run.compile=no", "-s run.compile=False"),
    ("run.compile=true", "-s run.compile=True"),
    ("run.max_steps=none", "-s run.max_steps=None"),
    ("run.precision=float32", "-s \"run.precision='float32'\""),
    ("run.precision='Float32'", None),
    ("run.epochs='2'", "2"),
    ("adamw.lr=0.1", None),
    ("lr=0.1", "sgd.lr"),
    ("LR=0.1", "sgd.lr"),
    ("momentun=0.5", "sgd.momentum"),
    ("epochs=2", "run.epochs"),
    ("sgd.Lr=0.1", "lr"),
    ("optimizers.sgd.lr=0.1", "optimizer.sgd"),
    ("architecture.sgd.lr=0.1", "optimizer.sgd"),
    ("SGD.lr=0.1", "sgd"),
]
OPTIONS = [
    (["--epochs", "2"], "-s run.epochs=2"),
    (["--lr", "0.1"], "-s sgd.lr=0.1"),
    (["--lr=0.1"], "-s sgd.lr=0.1"),
    (["--batch-size", "16"], "-s run.batch_size=16"),
    (["--padding", "3"], "-s pad_crop.padding=3"),
]
HINT = re.compile(r"did you mean (.+?)\?(?: |$)|it is a setting: (-s .+)$")


def hint_in(said: str) -> str | None:
    found = HINT.search(said.strip())
    return found and (found[1] or found[2])


def applied(setting: str, hint: str) -> list[str]:
    """The options that the hint makes of a setting: all of it, its value, or its name."""
    if hint.startswith("-s "):
        return shlex.split(hint)
    name, _, value = setting.partition("=")
    if value.startswith("@") and not hint.startswith(("@", "[")):
        return ["-s", f"{name}=@{hint}"]
    if hint.startswith(("@", "[")) or hint.isdecimal():
        return ["-s", f"{name}={hint}"]
    holder, _, parameter = name.rpartition(".")
    in_holder = hint.islower() and "." not in hint and parameter.lower() == hint
    if in_holder and holder:
        return ["-s", f"{holder}.{hint}={value}"]
    is_holder = holder and not hint.endswith(f".{parameter}")
    return ["-s", f"{hint}.{parameter}={value}" if is_holder else f"{hint}={value}"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "c.gin").write_text("include 'quickstart.gin'\n")
    return tmp_path / "c.gin"


@pytest.mark.parametrize(("setting", "hint"), SETTINGS)
def test_the_hint_for_a_setting_is_right_when_it_is_applied(
    setting: str, hint: str | None, config: Path
):
    said = refuse("check", config, "-s", setting)

    if hint is not None:
        assert hint_in(said) == hint
    given = hint_in(said)
    if given is not None:
        assert "fine" in succeed("check", config, *applied(setting, given))


@pytest.mark.parametrize(("options", "hint"), OPTIONS)
@pytest.mark.parametrize("command", ["run", "check"])
def test_an_option_that_is_a_setting_is_said_to_be_one(
    options: list[str], hint: str, command: str, config: Path
):
    said = refuse(command, config, *options)

    assert hint_in(said) == hint
    assert "fine" in succeed("check", config, *shlex.split(hint))


def test_an_option_that_is_nothing_of_the_config_stays_one_that_is_none(config: Path):
    assert "no such option: --nesterof" in refuse("check", config, "--nesterof", "1")
    assert "no such option: --lr" in refuse("ls", "--lr", "1")


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("run.dataset = cifar10", "@cifar10"),
        ("run.regularizers = [ema, 'mixup']", None),
        ("run.precision = float32", "'float32'"),
        ("run.schedule = %S\nS = Constant", "@constant"),
    ],
)
def test_the_hint_for_a_line_of_a_file_is_what_stands_behind_the_equals_sign(
    line: str, hint: str | None, config: Path
):
    config.write_text(f"include 'quickstart.gin'\n{line}\n")
    said = refuse("check", config)

    assert hint_in(said) == hint
    if hint:
        config.write_text(f"include 'quickstart.gin'\n{line.rpartition('= ')[0]}= {hint}\n")
        assert "fine" in succeed("check", config)


def test_a_word_that_fits_nowhere_says_what_does(config: Path):
    assert "'bf16' is not a value; expected 'auto', 'float64'" in refuse(
        "check", config, "-s", "run.precision=bf16"
    )
    assert "'inf' is not a value; expected a number" in refuse(
        "check", config, "-s", "run.clip_norm=inf"
    )
