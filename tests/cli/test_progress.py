"""What a training says: to people on a terminal or in a log, and to scripts."""

import io
import json
import os
import pty
import sys
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from cifarzoo.cli.terminal.progress import JsonLines, LiveProgress, PlainProgress, listener_for
from cifarzoo.cli.terminal.units import count, duration, percent, plural, scaled
from cifarzoo.engine.events import (
    CheckpointEvent,
    DataFacts,
    EpochEvent,
    Event,
    HardwareFacts,
    LengthFacts,
    NetworkFacts,
    ResultEvent,
    ResumedEvent,
    Score,
    Speed,
    StartEvent,
    StatisticsEvent,
    StepEvent,
    StoppedEvent,
    WarningEvent,
)

RUN = "runs/quickstart/20261124-3f9c"
START_JSON = {
    "event": "start",
    "run": RUN,
    "name": "quickstart",
    "dataset": "glyphs",
    "train_images": 8000,
    "validation_images": 0,
    "test_images": 2000,
    "num_parameters": 77850,
    "weight_decay": "all: 32 tensors",
    "epochs": 12,
    "steps": 1500,
    "steps_per_epoch": 125,
    "batch_size": 64,
    "seed": 3,
    "device": "cpu",
    "world_size": 1,
    "precision": "float32",
    "kernels": "torch's own",
}
RESULT_JSON = {
    "event": "result",
    "run": RUN,
    "test_loss": 0.25,
    "test_error": 0.0843,
    "train_loss": 0.125,
    "train_seconds": 41.2,
    "steps": 1500,
    "weights_sha256": "ab" * 32,
}
STOPPED_JSON = {"event": "stopped", "run": "runs/my run", "step": 1200, "signal": "SIGTERM"}
DATA = DataFacts(dataset="glyphs", train_images=8000, validation_images=0, test_images=2000)
LENGTH = LengthFacts(epochs=12, steps=1500, steps_per_epoch=125, batch_size=64, seed=3)
HARDWARE = HardwareFacts(device="cpu", world_size=1, precision="float32", kernels="torch's own")
START = StartEvent(
    run=RUN,
    name="quickstart",
    data=DATA,
    network=NetworkFacts(num_parameters=77850, weight_decay="all: 32 tensors"),
    length=LENGTH,
    hardware=HARDWARE,
)
STEP = StepEvent(
    step=60,
    steps=1500,
    epoch=0.48,
    loss=1.234567,
    step_loss=1.5,
    lr=0.1,
    images_per_second=2345.6,
    eta_seconds=125.0,
)
RESULT = ResultEvent(
    run=RUN,
    test=Score(0.25, 0.0843),
    train_loss=0.125,
    train_seconds=41.2,
    steps=1500,
    weights_sha256="ab" * 32,
)
STOPPED = StoppedEvent(run="runs/my run", step=1200, signal="SIGTERM")
WARNING = WarningEvent(message="milestone 160 lies past the end")


def epoch(number: int, **more: Any) -> EpochEvent:
    numbers: dict[str, Any] = {
        "epoch": number,
        "epochs": 12,
        "step": 125 * number,
        "train_loss": 2.0 / number,
        "test": Score(1.0 / number, 0.5 / number),
        "lr": 0.1 / 3**number,
        "speed": Speed(images_per_second=2345.6, seconds=3.6),
    }
    return EpochEvent(**numbers | more)


def heard(listener_class, *events: Event, width: int = 80) -> str:
    out = io.StringIO()
    terminal = listener_class is LiveProgress
    console = Console(file=out, width=width, force_terminal=terminal, color_system=None)
    with listener_class(console) as listener:
        for event in events:
            listener(event)
    return out.getvalue()


@pytest.mark.parametrize("listener", [PlainProgress, LiveProgress])
def test_the_header_says_what_is_trained_on_what_and_where(listener):
    text = " ".join(heard(listener, START).split())
    assert "77,850 parameters" in text
    assert "glyphs: 8,000 training images, 2,000 test images" in text
    assert "12 epochs of 125 steps of 64 images" in text
    assert RUN in text


def test_who_can_press_ctrl_c_is_told_what_it_does():
    assert "Ctrl-C saves and stops" in heard(LiveProgress, START)
    assert "Ctrl-C" not in heard(PlainProgress, START)


def test_a_run_that_ends_early_says_after_how_many_steps():
    assert "ended after 36 steps" in heard(
        PlainProgress, replace(START, length=replace(LENGTH, steps=36))
    )


def test_images_kept_for_validation_are_named():
    started = replace(START, data=replace(DATA, validation_images=500))
    text = heard(PlainProgress, started, width=200)
    assert "2,000 test images, 500 kept for validation" in text


def test_several_processes_are_counted():
    started = replace(START, hardware=replace(HARDWARE, world_size=2))
    assert "2 x cpu" in heard(PlainProgress, started)


def test_an_epoch_is_one_line_of_a_log_with_its_error_in_percent():
    (line,) = heard(PlainProgress, epoch(1), width=200).splitlines()
    assert line.startswith("epoch 1/12")
    assert "test error 50.00 %" in line
    assert "images/s 2,346" in line


def test_a_log_has_no_line_for_a_step():
    assert heard(PlainProgress, STEP) == ""


@pytest.mark.parametrize("listener", [PlainProgress, LiveProgress])
def test_a_validation_error_is_shown_only_where_there_is_one(listener):
    assert "val error" not in heard(listener, epoch(1))
    assert "12.50 %" in heard(listener, epoch(1, validation=Score(0.5, 0.125)))


def test_the_table_of_epochs_has_one_heading_and_aligned_columns():
    heading, *rows = heard(LiveProgress, *(epoch(n) for n in range(1, 13))).splitlines()
    assert heading.split()[:3] == ["epoch", "train", "loss"]
    assert len(rows) == 12
    assert {len(line) for line in [heading, *rows]} == {len(heading)}


def test_the_table_of_epochs_fits_80_columns_with_a_validation_error():
    text = heard(LiveProgress, epoch(1, epochs=200, validation=Score(0.5, 0.125)))
    assert max(len(line) for line in text.splitlines()) <= 80


def test_the_bar_says_how_far_how_fast_and_how_long_yet():
    text = heard(LiveProgress, STEP)
    for part in ("epoch 0.5", "4 %", "2,346 images/s", "loss 1.235", "2m05s left"):
        assert part in text


def test_the_cursor_is_shown_again_after_an_error():
    hide, show = "\x1b[?25l", "\x1b[?25h"
    out = io.StringIO()
    listener = LiveProgress(Console(file=out, width=80, force_terminal=True))
    with suppress(KeyError), listener:
        listener(STEP)
        raise KeyError
    assert out.getvalue().rindex(show) > out.getvalue().rindex(hide)


def test_the_cursor_is_never_hidden_for_who_ends_a_run_at_once():
    out = io.StringIO()
    listener = LiveProgress(Console(file=out, width=80, force_terminal=True))

    listener(STEP)
    so_far = out.getvalue()
    listener.close()

    assert so_far.rfind("\x1b[?25h") > so_far.rfind("\x1b[?25l")


@pytest.mark.parametrize("listener", [PlainProgress, LiveProgress])
def test_a_result_names_the_error_the_folder_and_the_next_command(listener):
    text = heard(listener, STEP, RESULT)
    assert "test error 8.43 %, test loss 0.2500, 41 s of training" in text
    assert f"next: cifarzoo eval {RUN}" in text


@pytest.mark.parametrize("listener", [PlainProgress, LiveProgress])
def test_a_stopped_run_says_how_to_go_on(listener):
    text = heard(listener, STEP, STOPPED)
    assert "stopped at step 1,200 by SIGTERM" in text
    assert "next: cifarzoo resume 'runs/my run'" in text


def test_a_resumed_run_says_where_it_goes_on():
    event = ResumedEvent(run=RUN, step=1300, steps=1500, epoch=10.4)
    assert "going on from step 1,300 of 1,500" in heard(PlainProgress, event)


def test_running_statistics_are_said_once_for_each_number_of_images():
    some, all_of_them = (StatisticsEvent(images=n, seconds=1.25) for n in (5000, 50_000))
    text = heard(PlainProgress, some, some, all_of_them)
    assert text.count("running statistics of the averaged weights from 5,000 images in 1.2 s") == 1
    assert text.count("from 50,000 images") == 1


def test_scripts_are_told_of_running_statistics(capsys):
    JsonLines()(StatisticsEvent(images=5000, seconds=1.25))
    said = json.loads(capsys.readouterr().out)
    assert said == {"event": "statistics", "images": 5000, "seconds": 1.25}


def test_a_long_path_is_not_broken_at_the_end_of_a_line():
    run = "/scratch/" + "a-rather-long-folder/" * 6 + "run"
    assert f"eval {run}\n" in heard(LiveProgress, replace(RESULT, run=run))


def test_brackets_in_what_a_user_wrote_are_shown_as_they_are():
    text = heard(PlainProgress, WarningEvent(message="run.regularizers=[@mixup] [red]"))
    assert "run.regularizers=[@mixup] [red]" in text


def test_scripts_get_the_promised_events_and_nothing_else(capsys):
    with JsonLines() as listener:
        checkpoint = CheckpointEvent(step=60, seconds=0.1)
        for event in (START, WARNING, STEP, epoch(1), checkpoint, RESULT, STOPPED):
            listener(event)
    out, err = capsys.readouterr()
    start, of_epoch, *last = [json.loads(line) for line in out.splitlines()]
    assert list(start.items()) == list(START_JSON.items())
    assert (of_epoch["event"], of_epoch["test_error"]) == ("epoch", 0.5)
    assert last == [RESULT_JSON, STOPPED_JSON]
    assert err == "warning: milestone 160 lies past the end\n"


def test_a_number_that_json_has_not_is_null(capsys):
    JsonLines()(epoch(1, train_loss=float("inf")))
    assert '"train_loss": null' in capsys.readouterr().out


@pytest.mark.parametrize(("term", "expected"), [("xterm", LiveProgress), ("dumb", PlainProgress)])
def test_only_a_terminal_that_can_redraw_gets_a_bar(term, expected, monkeypatch):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        monkeypatch.setenv("TERM", term)
        assert type(listener_for(json=False)) is expected
    os.close(ours)


def test_without_a_terminal_there_is_a_log_and_with_json_there_are_lines():
    assert type(listener_for(json=False)) is PlainProgress
    assert type(listener_for(json=True)) is JsonLines


def test_quantities_read_as_in_the_published_tables():
    assert [duration(s) for s in (0.4, 59.6, 125, 16560, 120300)] == [
        "0 s", "1m00s", "2m05s", "4h36m", "1d09h25m",
    ]  # fmt: skip
    assert percent(0.0445) == "4.45 %"
    assert count(38557770) == "38,557,770"
    assert [scaled(n) for n in (12, 5.24e9, 1.5e6)] == ["12 ", "5.24 G", "1.5 M"]
    assert [plural(n, "step") for n in (1, 1500)] == ["1 step", "1,500 steps"]
