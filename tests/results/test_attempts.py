"""The attempts at a run are a list: where each came from and how it ended, and none is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cifarzoo.engine.runner import execute
from cifarzoo.run_folders.attempts import Attempt
from cifarzoo.run_folders.folder import RunFolder, adopt
from tests.tiny import tiny_task


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return adopt(tmp_path / "r", "x = 1\n")[0]


def attempted(folder: RunFolder, command: str, *, from_step: int = 0) -> Attempt:
    attempt = Attempt(folder)
    attempt.begin(command=command)
    folder.update(started="2026-11-27T10:00:00+00:00")
    attempt.go_on(from_step=from_step, device="cpu")
    return attempt


def test_each_has_its_own_facts_and_the_run_those_of_the_last(folder):
    attempted(folder, "one").end("stopped", "SIGTERM")
    attempted(folder, "two", from_step=7).end("done", test_error=0.1)

    first, second = folder.record["attempts"]
    assert (first["command"], first["from_step"], first["status"]) == ("one", 0, "stopped")
    assert first["error"] == "SIGTERM"
    assert (second["command"], second["from_step"], second["status"]) == ("two", 7, "done")
    assert first["ended"] <= second["ended"]
    assert {"command": "two", "status": "done", "error": None, "test_error": 0.1}.items() <= (
        folder.record.items()
    )


def test_one_that_was_killed_stays_as_it_was(folder):
    attempted(folder, "killed")
    attempted(folder, "next").end("done")

    assert [each["status"] for each in folder.record["attempts"]] == ["running", "done"]
    assert "ended" not in folder.record["attempts"][0]


def test_one_that_is_refused_changes_nothing_but_the_list(folder):
    attempted(folder, "one").end("stopped", "SIGTERM")
    before = {name: value for name, value in folder.record.items() if name != "attempts"}

    refused = Attempt(folder)
    refused.begin(command="two")
    during = folder.record
    refused.refuse("other data")

    after = folder.record
    assert during["status"] == "running"
    assert [each["status"] for each in after.pop("attempts")] == ["stopped", "refused"]
    assert after == before


def test_one_that_is_refused_after_it_has_gone_on_has_failed(folder):
    attempted(folder, "one").end("stopped")
    attempted(folder, "two").refuse("no")

    assert (folder.record["status"], folder.record["error"]) == ("failed", "no")


def test_what_an_older_record_has_of_its_last_attempt_is_the_first_of_the_list(folder):
    folder.update(
        status="stopped", error="SIGTERM", process={"pid": 1}, command=["old"],
        started="2026-11-27T10:00:00+00:00", git={"commit": "abc"}, steps=9,
    )  # fmt: skip

    attempted(folder, "new").end("done")

    first, _ = folder.record["attempts"]
    assert first == {
        "status": "stopped", "error": "SIGTERM", "process": {"pid": 1}, "command": ["old"],
        "git": {"commit": "abc"},
    }  # fmt: skip


def test_a_run_that_is_stopped_and_gone_on_with_has_both(tmp_path):
    settings = {"max_steps": 4, "checkpoint_steps": 2}
    first = tiny_task(tmp_path, **settings)
    first.provenance["command"] = ["first"]
    execute(first)
    folder = first.open_folder()
    folder.update(status="running")
    for path in (folder.checkpoints / "step-00000004").iterdir():
        path.unlink()
    (folder.checkpoints / "step-00000004").rmdir()

    second = tiny_task(tmp_path, **settings)
    second.provenance["command"] = ["second"]
    execute(replace(second, name="resolved"))  # as the config that goes on with a run's own values

    attempts = folder.record["attempts"]
    assert [(each["command"], each["from_step"]) for each in attempts] == [
        (["first"], 0), (["second"], 2),
    ]  # fmt: skip
    assert (folder.record["command"], folder.record["config"]) == (["second"], "tiny")
    assert all(each["data"] == folder.record["data"] for each in attempts)
