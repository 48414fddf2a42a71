"""What groups of runs are called."""

from pathlib import Path

import pytest

from cifarzoo.results.comparing.group_names import group_names

BASE, HIGH = {"optimizer.sgd.lr": "0.1"}, {"optimizer.sgd.lr": "0.2"}


def names(*groups):
    """Of groups that are given by config, identity and folders."""
    configs, identities, folders = zip(*groups, strict=True)
    return group_names(configs, identities, [[Path(each) for each in its] for its in folders])


def test_a_config_that_one_group_has_is_its_name():
    assert names(("a", BASE, ["x/0"]), ("b", BASE, ["x/1"])) == ["a", "b"]


def test_cells_of_a_study_are_called_as_their_folders_are():
    found = names(
        ("a", BASE, ["study/none/seed0", "study/none/seed1"]),
        ("a", HIGH, ["study/lr=0.2,mixup/seed0", "study/lr=0.2,mixup/seed1"]),
    )
    assert found == ["none", "lr=0.2,mixup"]


@pytest.mark.parametrize(
    "folders",
    [
        (["runs/a/1", "runs/a/2"], ["runs/a/3"]),  # one folder of both
        (["one/a/1"], ["two/a/1"]),  # two folders of one name
        (["x/1", "y/1"], ["z/w/1", "v/1"]),  # folders of a seed each
    ],
)
def test_where_folders_tell_nothing_the_settings_that_differ_do(folders):
    first, second = folders
    found = names(("a", BASE, first), ("a", HIGH, second))
    assert found == ["a (sgd.lr=0.1)", "a (sgd.lr=0.2)"]


def test_a_folder_that_others_have_runs_in_too_is_nobodys_name():
    found = names(("a", BASE, ["x/1"]), ("a", HIGH, ["x/y/1"]))
    assert found == ["a (sgd.lr=0.1)", "y"]


def test_a_folder_that_is_called_as_another_groups_config_makes_no_second_one():
    found = names(("a", BASE, ["b/1"]), ("a", HIGH, ["c/1"]), ("b", HIGH, ["d/1"]))
    assert found == ["a (sgd.lr=0.1)", "c", "b"]


def test_as_many_settings_are_named_as_tell_the_groups_apart():
    def identity(**values):
        return {f"run.{name}": value for name, value in values.items()}

    few = names(
        *(("a", identity(a=str(n), b=str(n), c=str(n), d=str(n)), [f"x/{n}"]) for n in range(2))
    )
    assert few == ["a (a=0, b=0, c=0, …)", "a (a=1, b=1, c=1, …)"]
    grid = [(n, m) for n in "01" for m in "01"]
    many = names(
        *(("a", identity(a=n, b=n, c=n, d=m), [f"x/{n}{m}"]) for n, m in grid),
    )
    assert many[0] == "a (a=0, b=0, c=0, d=0)"
    assert len(set(many)) == 4
