"""Which contract a component breaks is said in words, and cifarzoo's own break none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import cifarzoo.testing
from cifarzoo.errors import UsageError
from cifarzoo.testing.contracts import BrokenContractError, contracts_of
from cifarzoo.testing.subject import Subject
from tests.components.test_every_component import (
    FULL_SIZE,
    HUB,
    LEFT_OUT,
    SETTINGS,
    own_components,
)

BROKEN = Path(__file__).parents[1] / "fixtures" / "broken_components.py"
BREACHES = [
    ("untyped", "signature", r"floor has no type; expected an annotation"),
    ("undocumented", "signature", r"has no docstring; expected one"),
    ("misfitting", "signature", r"factor has a default that doesn't fit .*: it is 0\.0; expected"),
    ("untold", "signature", r"mode can be set by no config: Enum \| None means nothing in its"),
    ("nowhere", "signature", r"no component 'nowhere' in .*broken_components\.py"),
    ("misfitting", "config", r"misfitting\.factor is 0\.0; expected a number above 0"),
    ("short_lived", "factors", r"gives -\d.* at step \d+; expected a finite number of at least 0"),
    ("stranger", "share", r"gives other pixels where two .*; take what is random from draws"),
    ("neighbours", "share", r"gives other pixels where two processes .* \(images \[0, 8\]\)"),
    ("retyped", "pixels", r"gives torch\.float32 for images of torch\.uint8; .*\.to\(images.dtype"),
    ("halving", "pixels", r"gives \(16, 3, 16, 32\) for images \(16, 3, 32, 32\); expected"),
    ("Counting", "repeat", r"the augmentation gives something else .* when it is called again"),
    ("underflowing", "values", r"gives a (loss|gradient) that is not finite, .* log_softmax"),
    ("accuracy", "values", r"gives a loss without a gradient"),
    ("fixed_rate", "groups", r"the same steps at half the rate; take .* group\['lr'\]"),
    ("all_decayed", "groups", r"whose weight_decay is 0\.0; take the decay from group"),
    ("forgetful", "state", r"its optimizer keeps something that its state_dict doesn't have"),
    ("ten_classes", "logits", r"gives \(2, 10\) for images .*; expected \(2, 7\)"),
    ("always_dropping", "evaluation", r"other logits for the same images in evaluation mode"),
    ("miscounted", "sites", r"has the sites \(index, total\) \[\(0, 1\)\]; expected \[\(1, 1\)\]"),
    ("blockless", "sites", r"takes residual and never calls it; leave it out"),
    ("Unpadded", "shapes", r"makes conv\(4, 8, 3, 1\) that gives \(2, 8, 6, 6\); expected"),
    ("Doubling", "stages", r"gives targets that are no probabilities \(sums from 2 to 2\)"),
    ("Idle", "stages", r"acts in no stage; expected one of branch"),
    ("never_the_same", "splits", r"gives other images when it is read again"),
    ("unscaled", "splits", r"has the std \(51\.0, 51\.0, 51\.0\); expected one a channel \(3\)"),
    ("accuracy", "training", r"in the backward pass: .* does not require grad"),
    ("forgetful", "resume", r"goes on from step 1: model\.\S+ differs by .*; what it keeps"),
    ("frozen", "capture", r"gives other numbers where steps are captured once and replayed, first"),
    ("stranger", "ranks", r"trains something else on two processes .* differs by .*from draws"),
]


def keeps(name: str, contract: str, folder: Path, **subject: object) -> None:
    """Ask one contract of a component."""
    tested = Subject(name=name, **subject)
    kind = tested.entry.kind if contract != "signature" else "schedule"
    [found] = [each for each in contracts_of(kind) if each.name == contract]
    found.hold(tested, folder)


@pytest.mark.parametrize(
    ("name", "contract", "problem"), BREACHES, ids=[" ".join(each[:2]) for each in BREACHES]
)
def test_a_breach_says_what_was_given_and_what_to_do(name, contract, problem, tmp_path):
    with pytest.raises(BrokenContractError, match=problem) as caught:
        keeps(name, contract, tmp_path, plugins=[BROKEN])

    first, *_ = str(caught.value).splitlines()
    assert first.startswith(f"{name} breaks the contract {contract!r}: ")


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in own_components()
        if name in SETTINGS.keys() - LEFT_OUT - HUB.keys()
        and not FULL_SIZE.items() <= SETTINGS[name].items()
    ],
)
def test_cifarzoos_own_components_keep_what_needs_no_training(name, tmp_path):
    subject = Subject(name=name, sets=[f"{key}={value}" for key, value in SETTINGS[name].items()])
    for contract in contracts_of(subject.entry.kind):
        if not contract.trains:
            contract.hold(subject, tmp_path)


@pytest.mark.parametrize("name", ["augmix", "normalize"])
def test_views_of_an_augmentation_and_what_comes_behind_it_keep_theirs(name, tmp_path):
    sets = ["run.augmentations=[@augmix, @normalize]", "augmix.num_views=3"]
    subject = Subject(name=name, sets=sets)
    for contract in contracts_of("augmentation"):
        if not contract.trains:
            contract.hold(subject, tmp_path)


# The line in a test file --------------------------------------------------------------------------


def asked(test, name: str):
    """What a test of ``contract`` is called with."""
    [mark] = [each for each in test.pytestmark if each.name == "parametrize"]
    return next(each.values[0] for each in mark.args[1] if each.id == name)


def test_a_line_makes_a_test_of_each_contract_which_fails_in_words(tmp_path, monkeypatch):
    test = cifarzoo.testing.contract("short_lived", plugin="../fixtures/broken_components.py")

    [mark] = test.pytestmark
    names = [each.id for each in mark.args[1]]
    assert names == ["signature", "config", "factors", "training", "resume", "ranks"]
    test(asked(test, "signature"), tmp_path, monkeypatch)
    with pytest.raises(pytest.fail.Exception, match=r"short_lived breaks the contract 'factors'"):
        test(asked(test, "factors"), tmp_path, monkeypatch)


def test_settings_and_data_are_those_of_the_line(tmp_path, monkeypatch):
    test = cifarzoo.testing.contract("short_lived", plugin=BROKEN, set={"run.momentum": 1})

    with pytest.raises(pytest.fail.Exception, match=r"run has no parameter 'momentum'"):
        test(asked(test, "config"), tmp_path, monkeypatch)


def test_what_is_left_out_is_skipped_with_its_reason(tmp_path, monkeypatch):
    test = cifarzoo.testing.contract(
        "short_lived", plugin=BROKEN, without={"factors": "is for runs of three epochs"}
    )

    with pytest.raises(pytest.skip.Exception, match="is for runs of three epochs"):
        test(asked(test, "factors"), tmp_path, monkeypatch)


def test_to_leave_out_what_is_no_contract_is_refused():
    with pytest.raises(UsageError, match=r"without names 'rank'; flip has signature, config"):
        cifarzoo.testing.contract("flip", without={"rank": "is alone"})


def test_a_component_that_is_not_there_fails_in_its_test(tmp_path, monkeypatch):
    test = cifarzoo.testing.contract("flipp")

    with pytest.raises(pytest.fail.Exception, match=r"no component 'flipp'; did you mean flip\?"):
        test(asked(test, "signature"), tmp_path, monkeypatch)


def test_neither_the_package_nor_its_testing_imports_pytest():
    code = "import sys, cifarzoo; cifarzoo.testing.contract; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
