import pytest

from cifarzoo.errors import UsageError
from cifarzoo.sweeps.variations import Variation, label, parse_variation, split_values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (".03,.1,.3", [".03", ".1", ".3"]),
        ("[],[@mixup]", ["[]", "[@mixup]"]),
        ("[@mixup, @cutmix],[]", ["[@mixup, @cutmix]", "[]"]),
        ("'a,b',\"c\"", ["'a,b'", '"c"']),
        ("{'a': (1, 2)},None", ["{'a': (1, 2)}", "None"]),
        ("1", ["1"]),
    ],
)
def test_values_are_split_at_commas_that_nothing_encloses(text, values):
    assert split_values(text) == values


@pytest.mark.parametrize("text", ["sgd.lr", "sgd.lr=", "=.1", "sgd.lr=.1,,.2", ""])
def test_a_variation_without_a_name_or_a_value_is_refused(text):
    with pytest.raises(UsageError, match="expected NAME=VALUE,VALUE"):
        parse_variation(text)


def test_a_value_that_is_given_twice_is_refused():
    with pytest.raises(UsageError, match=r"sgd.lr has \.1 twice"):
        parse_variation("sgd.lr=.1,.2,.1")


@pytest.mark.parametrize(
    ("setting", "value", "called"),
    [
        ("sgd.lr", ".1", "lr=0.1"),
        ("sgd.lr", "1e-3", "lr=0.001"),
        ("sgd.lr", "0.12345678", "lr=0.12345678"),
        ("run.batch_size", "128", "batch_size=128"),
        ("run.regularizers", "[@mixup]", "mixup"),
        ("run.regularizers", "[@mixup, @shakedrop]", "mixup+shakedrop"),
        ("run.regularizers", "[]", "no-regularizers"),
        ("run.optimizer", "@adamw", "adamw"),
        ("run.precision", "'bfloat16'", "precision=bfloat16"),
        ("run.clip_norm", "None", "clip_norm=None"),
        ("pad_crop.mode", "'../../etc'", "mode=..-..-etc"),
        ("pad_crop.mode", "'$(x) `y`'", "mode=-x-y"),
    ],
)
def test_a_cell_is_called_after_its_value_in_letters_that_are_safe(setting, value, called):
    assert label(Variation(name=setting, values=(value,)), value, is_unique=True) == called


def test_two_settings_of_one_last_word_are_told_apart():
    variation = Variation(name="sgd.lr", values=("1",))
    assert label(variation, "1", is_unique=False) == "sgd.lr=1"
