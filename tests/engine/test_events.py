"""Listeners hear of training and can change nothing: not even by failing to write."""

from __future__ import annotations

import errno

import pytest

from cifarzoo.engine.events import emit_to_all


def test_a_listener_that_cannot_write_is_told_of_once_and_asked_again():
    heard, asked = [], []

    def full(event):
        asked.append(event["event"])
        raise OSError(errno.ENOSPC, "No space left on device")

    emit = emit_to_all([full, heard.append])
    for name in ("start", "epoch", "result"):
        emit({"event": name})

    assert [event["event"] for event in heard] == ["warning", "start", "epoch", "result"]
    assert heard[0]["message"] == "progress is lost: No space left on device"
    assert asked == ["start", "warning", "epoch", "result"]


def test_a_listener_with_a_bug_keeps_its_traceback():
    def broken(event):
        raise KeyError(event["event"])

    with pytest.raises(KeyError, match="start"):
        emit_to_all([broken])({"event": "start"})
