"""``doctor``: a report to paste, and what is wrong by name."""

import json
import sys

import torch
from typer.testing import CliRunner

from cifarzoo.cli.app import app


def doctor(*options: object) -> tuple[int, dict[str, str], dict[str, str]]:
    """The exit code, what was found, and what is wrong, by subject."""
    result = CliRunner().invoke(app, ["doctor", "--json", *map(str, options)])
    report = json.loads(result.stdout)
    found, wrong = (
        {finding["subject"]: finding["text"] for finding in report[part]}
        for part in ("findings", "problems")
    )
    return result.exit_code, found, wrong


def test_a_healthy_machine_has_no_problem_and_says_what_it_is(tmp_path):
    code, found, wrong = doctor("--data", tmp_path, "--out", tmp_path / "runs")
    assert (code, wrong) == (0, {})
    assert torch.__version__.partition("+")[0] in found["cifarzoo"]
    assert "torchvision" in found["packages"]
    assert found["data"] == f"{tmp_path}: empty"
    assert found["runs"].startswith(str(tmp_path / "runs"))


def test_huge_pages_that_training_does_not_get_are_named_with_the_reason(monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    assert doctor()[1]["huge pages"].startswith("none, since ")


def test_the_report_for_people_ends_with_a_verdict():
    lines = CliRunner().invoke(app, ["doctor"]).stdout.splitlines()
    assert lines[0].startswith("cifarzoo")
    assert lines[-1] == "nothing is wrong"


def test_data_are_named_by_what_the_folder_holds(tmp_path):
    (tmp_path / "cifar-10-binary.tar.gz").touch()
    assert doctor("--data", tmp_path)[1]["data"] == f"{tmp_path}: cifar-10-binary.tar.gz"


def test_a_missing_data_folder_is_a_problem(tmp_path):
    code, _, wrong = doctor("--data", tmp_path / "none")
    assert code == 1
    assert wrong == {"data": f"{tmp_path / 'none'} is no folder; cifarzoo data fetch makes it"}


def test_runs_that_cannot_be_written_are_a_problem(tmp_path):
    (tmp_path / "file").touch()
    code, _, wrong = doctor("--out", tmp_path / "file" / "runs")
    assert code == 1
    assert wrong["runs"] == f"{tmp_path / 'file' / 'runs'} cannot be written"


def test_without_gin_config_the_report_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "gin", None)
    code, _, wrong = doctor()
    assert code == 1
    assert "pip install gin-config" in wrong["gin"]


def test_another_package_named_gin_is_a_problem(tmp_path, monkeypatch):
    (tmp_path / "gin").mkdir()
    (tmp_path / "gin" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "gin")
    monkeypatch.syspath_prepend(tmp_path)
    assert doctor()[2]["gin"].endswith("gin/__init__.py is not gin-config and hides it")


def test_a_plugin_that_cannot_be_used_is_a_problem(tmp_path, monkeypatch):
    path = tmp_path / "broken.py"
    path.write_text("def oops(:\n")
    monkeypatch.setenv("CIFARZOO_PLUGINS", str(path))
    assert doctor()[2][f"plugin CIFARZOO_PLUGINS: {path}"].startswith(f"{path}:1: ")


def test_every_gpu_that_torch_finds_is_named():
    named = [subject for subject in doctor()[1] if subject.startswith("gpu ")]
    assert len(named) == torch.cuda.device_count()
