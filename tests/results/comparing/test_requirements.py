"""``--require``: its grammar, which groups it is of, and what it says."""

import pytest

from cifarzoo.errors import UsageError
from cifarzoo.results.comparing.comparison import compare_runs
from cifarzoo.results.comparing.requirements import read_requirement
from tests.finished_runs import finish


@pytest.fixture
def compared(tmp_path):
    """A baseline of 5.1, and candidates of 4.8 and 5.5; the last has one seed."""
    for seed in range(2):
        finish(tmp_path / "base", seed, 5 + 0.2 * seed)
        finish(tmp_path / "low", seed, 4.7 + 0.2 * seed, "sgd.lr=0.2")
    finish(tmp_path / "a:b", 0, 5.5, "sgd.lr=0.3")
    names = [str(tmp_path / name) for name in ("base", "low", "a:b")]
    return compare_runs(names, tmp_path, "test_error")


@pytest.mark.parametrize(
    ("text", "is_met", "said"),
    [
        ("low:error<4.9", True, "required low:error<4.9: met, the error is 4.8 (low)"),
        ("low: test_error <= 4.8", True, "required low: test_error <= 4.8: met"),
        ("a:b:error>=5.5", True, "required a:b:error>=5.5: met"),
        ("error<5", False, "required error<5: not met, the error is 5.5 (a:b)"),
        ("base:error<5", False, "not met, the error is 5.1 (base)"),
        ("difference<0", False, "not met, the difference is 0.4 (a:b)"),
        ("low:difference<-2.5e-1", True, "met, the difference is -0.3 (low)"),
        ("n>=2", False, "not met, the n is 1 (a:b)"),
        ("sd<1", False, "not met, the sd is not known of one seed (a:b)"),
        ("low:p<0.05", True, "met, the p is 0"),
    ],
)
def test_a_requirement_says_what_was_required_and_found(compared, text, is_met, said):
    found, line = read_requirement(text, "test_error").outcome(compared)
    assert found == is_met
    assert said in line


def test_a_group_alone_is_asked_itself(tmp_path):
    finish(tmp_path / "base", 0, 5.0)
    alone = compare_runs([str(tmp_path)], tmp_path, "test_error")
    assert read_requirement("error<5.1", "test_error").outcome(alone)[0]
    with pytest.raises(UsageError, match=r"resnet20 is the baseline itself, which has no diff"):
        read_requirement("difference<0", "test_error").groups_of(alone)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"'' is no requirement; expected \[GROUP:\]QUANTITY<NUMBER, as 'error<4.5'"),
        ("error", "'error' is no requirement"),
        ("error=4", "'error=4' is no requirement"),
        ("error<4<5", "'error<4<5' is no requirement"),
        ("error<x", "'x' is no number"),
        ("error<nan", "'nan' is no number"),
        ("eror<4", r"no quantity 'eror'; expected error, sd, .*; did you mean error\?"),
        ("tta_test_error<4", "test_error is compared; add --metric tta_test_error"),
    ],
)
def test_what_is_no_requirement_is_refused(text, says):
    with pytest.raises(UsageError, match=says):
        read_requirement(text, "test_error")


def test_a_group_that_is_none_is_refused_with_those_there_are(compared):
    with pytest.raises(UsageError, match=r"no group 'lwo' in base, low, a:b; did you mean low\?$"):
        read_requirement("lwo:error<4", "test_error").groups_of(compared)
