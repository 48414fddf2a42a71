import json

import pytest

import cifarzoo
from cifarzoo.errors import StoppedError, UsageError
from tests.sweeps.test_sweep import SMALL


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.gin"
    path.write_text(SMALL)
    return path


def test_python_trains_what_the_command_line_does(small, tmp_path, capsys):
    study = tmp_path / "study"
    call = {"vary": {"run.regularizers": [[], ["@mixup"]]}, "set": {"run.epochs": 1}}

    swept = cifarzoo.sweep(small, out=study, jobs=2, **call)

    assert swept.problems == {}
    names = [each.point.name for each in swept.outcome.points]
    assert names == ["no-regularizers", "mixup"]
    table = swept.to_pandas()
    assert list(table.columns) == ["config", "run.regularizers", "seed", "test_error"]
    for row in table.to_dict("records"):
        name = names[row["run.regularizers"] != "[]"]
        record = json.loads((study / name / f"seed{row['seed']}" / "run.json").read_text())
        assert row["test_error"] == pytest.approx(100 * record["test_error"])
    assert capsys.readouterr().out.count(": test error ") == 2
    compared = swept.compare(baseline="mixup")
    assert [group.name for group in compared.groups] == ["mixup", "no-regularizers"]

    heard = []
    assert cifarzoo.sweep(small, out=study, progress=heard.append, **call).outcome == swept.outcome
    assert heard == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"vary": {"sgd.lr": 0.1}}, "expected a list of values"),
        ({"vary": {"sgd.lr": "0.1"}}, "expected a list of values"),
        ({"vary": {"sgd.lr": [object()]}}, "sgd.lr"),
        ({"seeds": 0}, "seeds is 0"),
        ({"seeds": [1, 1]}, "each once"),
        ({"jobs": 0}, "--jobs is 0"),
    ],
)
def test_arguments_that_cannot_be_are_refused(small, tmp_path, call, message):
    with pytest.raises(UsageError, match=message):
        cifarzoo.sweep(small, out=tmp_path / "study", **call)
    assert not (tmp_path / "study").exists()


def test_a_signal_is_an_error_and_all_is_saved(small, tmp_path, monkeypatch):
    monkeypatch.setattr("cifarzoo.sweeps.swept.train_cells", lambda *_, **__: "SIGTERM")
    with pytest.raises(StoppedError, match="the same call goes on"):
        cifarzoo.sweep(small, out=tmp_path / "study")
