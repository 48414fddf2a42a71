"""How far a study of two configs has come, by what lies in its folders."""

import shutil

import pytest

from cifarzoo import config
from cifarzoo.errors import UsageError
from cifarzoo.results.comparing.studies import Progress, plan_study
from tests.finished_runs import finish


@pytest.fixture
def study(tmp_path):
    """Of resnet20 and of another rate; nothing is trained."""
    configs = [config.load("resnet20.gin", sets=sets) for sets in ([], ["sgd.lr=0.2"])]
    return plan_study(
        *configs, ("a", "b"), runs=tmp_path, metric="test_error", effect=0.2, max_seeds=30
    )


def done(study, side, seed, error):
    sets = ["sgd.lr=0.2"] if side else []
    return finish(study.folder(side, seed).parent, seed, error, *sets)


def test_a_run_that_is_done_is_read_once_however_many_follow(study):
    progress = Progress(study)
    for seed in range(3):
        for side in (0, 1):
            assert progress.next_run() == (side, seed)
            done(study, side, seed, 5.0 + seed - 0.5 * side)
    assert progress.next_run() == (0, 3)
    shutil.rmtree(study.folder(0, 0))  # what is known isn't asked for again
    assert progress.next_run() == (0, 3)
    assert [pair.seed for pair in progress.pairs] == [0, 1, 2]
    assert Progress(study).next_run() == (0, 0)


def test_it_ends_at_the_first_decision_and_counts_no_later_pair(study):
    for seed in range(8):
        done(study, 0, seed, 5.0)
        done(study, 1, seed, 4.0 + 0.01 * seed)
    progress = Progress(study)
    assert progress.next_run() is None
    assert progress.decided.decision == "better"
    assert len(progress.pairs) == 5


def test_what_one_attempt_left_undone_is_the_next_ones_first(study):
    done(study, 1, 0, 4.5)
    progress = Progress(study)
    assert progress.next_run() == (0, 0)
    done(study, 0, 0, 5.0)
    assert progress.next_run() == (0, 1)


def test_a_run_without_the_metric_is_refused(study):
    folder = done(study, 0, 0, 5.0)
    (folder / "run.json").write_text('{"status": "done"}')
    with pytest.raises(UsageError, match=r"a/seed0 has no test_error$"):
        Progress(study).next_run()
