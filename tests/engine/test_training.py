"""The engine's contract: same config, same bits, however often it is interrupted."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cifarzoo.engine.events import (
    CheckpointEvent,
    EpochEvent,
    Event,
    FinishedEvent,
    Listener,
    ResultEvent,
    ResumedEvent,
    StartEvent,
)
from cifarzoo.engine.runner import Task, execute
from cifarzoo.errors import (
    CheckpointError,
    CifarzooError,
    ConfigError,
    NotFiniteError,
    StoppedError,
    UsageError,
)
from cifarzoo.protocols import Augmentation
from cifarzoo.run_folders.folder import RunFolder
from cifarzoo.zoo.augmentations.normalize import normalize
from cifarzoo.zoo.optimizers.sgd import sgd
from cifarzoo.zoo.regularizers.average.ema import ema
from cifarzoo.zoo.regularizers.batch.mixup import mixup
from cifarzoo.zoo.regularizers.loss.label_smoothing import label_smoothing
from tests.tiny import dimmed, dropping_net, evaluated, messages, noisy_sgd, tiny_task

TIMES = ("images_per_second", "seconds")
KERNELS = ("torch", "fused")


EVERYTHING: dict[str, Any] = {
    "architecture": dropping_net,
    "augmentations": [normalize, dimmed],
    "regularizers": [mixup, label_smoothing, partial(ema, decay=0.9)],
    "optimizer": noisy_sgd,
    "checkpoint_steps": 5,
}


def outcome(task: Task) -> tuple[Any, ...]:
    """All that two runs of the same config must share to the last bit."""
    folder = task.open_folder()
    newest = max((folder.path / "checkpoints").iterdir())
    state = torch.load(newest / "state.pt", weights_only=True)
    state["numbers"].pop("train_seconds")
    lines = [{k: v for k, v in line.items() if k not in TIMES} for line in folder.metrics()]
    return lines, flat(state["model"]), flat(state["optimizer"]), flat(state["average"] or {})


def flat(value: Any) -> Any:
    """Nested state as plain values, so that == compares bits."""
    if isinstance(value, torch.Tensor):
        return value.flatten().tolist()
    if isinstance(value, dict):
        return {key: flat(part) for key, part in value.items()}
    return [flat(part) for part in value] if isinstance(value, list | tuple) else value


def train_and_die(task_arguments: tuple[Any, ...], changes: dict[str, Any], step: int) -> None:
    """Train and end as ``kill -9`` does, after ``step`` steps: in another process."""
    torch.set_num_threads(1)
    task = tiny_task(*task_arguments, **changes)
    from cifarzoo.engine import loop

    emit = loop.emit_step

    def die(training: Any) -> None:
        emit(training)
        if training.state.step == step:
            os.kill(os.getpid(), signal.SIGKILL)

    loop.emit_step = die
    execute(task)


def killed_at(root: Path, name: str, step: int, **changes: Any) -> None:
    process = multiprocessing.get_context("forkserver").Process(
        target=train_and_die, args=((root, name), changes, step)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_the_same_config_gives_the_same_bits_and_other_kernels_others(task):
    digests = []
    for kernels in KERNELS:
        first, second = (task(kernels + n, kernels=kernels, **EVERYTHING) for n in ("a", "b"))
        results = [execute(first), execute(second)]
        assert results[0].weights_sha256 == results[1].weights_sha256
        assert outcome(first) == outcome(second)
        digests.append(results[0].weights_sha256)

    assert len(set(digests)) == len(KERNELS)


def test_another_seed_gives_other_weights(task):
    results = [execute(task(str(seed), seed=seed, max_steps=2)) for seed in (0, 1)]

    assert results[0].weights_sha256 != results[1].weights_sha256


@pytest.mark.parametrize(
    ("step", "kernels"),
    [(3, "torch"), (7, "torch"), (11, "torch"), (7, "fused")],
    ids=["before any checkpoint", "mid-epoch", "epoch 2", "mid-epoch, with our kernels"],
)
def test_a_run_that_died_ends_with_the_same_bits(task, tmp_path, step, kernels):
    changes = {**EVERYTHING, "kernels": kernels}
    whole = task("whole", **changes)
    execute(whole)
    killed_at(tmp_path, "killed", step, **changes)
    killed = task("killed", **changes)
    assert killed.open_folder().record["status"] == "running"
    events: list[Event] = []

    execute(killed, [events.append])

    assert outcome(killed) == outcome(whole)
    assert isinstance(events[0], ResumedEvent)
    assert events[0].step == step - step % 5
    assert killed.open_folder().record["status"] == "done"


def test_each_part_of_the_state_is_needed_to_go_on(task, tmp_path):
    whole = task("whole", **EVERYTHING)
    execute(whole)
    for part in ("model", "optimizer", "average", "numbers"):
        killed_at(tmp_path, part, 12, **EVERYTHING)
        robbed = task(part, **EVERYTHING)
        forget(robbed.open_folder(), part)
        execute(robbed)
        assert outcome(robbed) != outcome(whole), part


def forget(folder: RunFolder, part: str) -> None:
    """Put the start's values into a part of the newest checkpoint, its digests right."""
    from cifarzoo.engine.checkpoint import Checkpoints

    checkpoints = Checkpoints(folder.checkpoints, keep=5, warn=print)
    loaded = checkpoints.read(checkpoints.steps()[-1])
    first = checkpoints.read(checkpoints.steps()[0])
    state = dict(loaded.state)
    if part == "numbers":
        state[part] = {**state[part], "loss_sum": 0.0}
    else:
        state[part] = first.state[part]
    facts = {name: loaded.manifest[name] for name in ("config", "world_size", "threads", "torch")}
    checkpoints.save(loaded.step, state, facts=facts)


def test_a_finished_run_is_not_run_again(task):
    done = task("run", max_steps=2)
    result = execute(done)
    before = done.open_folder().record

    assert execute(done) == result
    assert done.open_folder().record == before


def test_a_finished_run_whose_record_lacks_its_result_is_refused(task):
    done = task("run", max_steps=2)
    execute(done)
    path = done.open_folder().path / "run.json"
    record = json.loads(path.read_text())
    del record["weights_sha256"]
    path.write_text(json.dumps(record))

    with pytest.raises(UsageError, match=r"status 'done' and no 'weights_sha256'; put back what"):
        execute(done)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_saves_the_step_and_the_run_goes_on_from_it(task, number):
    whole, stopped = task("whole", **EVERYTHING), task("stopped", **EVERYTHING)
    execute(whole)

    def send(event: Event) -> None:
        if isinstance(event, EpochEvent) and event.epoch == 1:
            os.kill(os.getpid(), number)

    with pytest.raises(StoppedError, match=f"stopped by {number.name} after step 9 of 16") as info:
        execute(stopped, [send])
    assert info.value.exit_code == 75
    assert stopped.open_folder().record["status"] == "stopped"

    execute(stopped)

    assert outcome(stopped) == outcome(whole)
    assert stopped.open_folder().record["error"] is None


def test_going_on_in_another_precision_is_warned_of(task):
    first = task("run", epochs=1, kernels="torch")
    execute(first)
    first.open_folder().update(status="stopped")
    other = replace(first, run=replace(first.run, precision="bfloat16"))
    events: list[Event] = []

    execute(other, [events.append])

    assert messages(events) == [
        "precision was float32 and is bfloat16: bits may differ from here on"
    ]


def test_components_that_draw_when_they_are_made_are_made_after_seeding(task):
    changes = {"augmentations": [normalize, tinted], "max_steps": 1}

    results = [execute(task(name, **changes)) for name in ("a", "b")]

    assert results[0].weights_sha256 == results[1].weights_sha256


def tinted() -> Augmentation:
    """Draws once, when it is made."""
    colour = torch.rand(3, 1, 1)
    return lambda images, _draws: images + colour


def test_a_loss_that_is_not_finite_stops_the_run_before_the_update(task):
    diverging = task("run", optimizer=partial(sgd, lr=1e30), checkpoint_steps=1)

    with pytest.raises(NotFiniteError, match=r"is not finite in step \d+, at learning rate"):
        execute(diverging)

    folder = diverging.open_folder()
    assert folder.record["status"] == "diverged"
    for path in folder.checkpoints.glob("*/state.pt"):
        weights = torch.load(path, weights_only=True)["model"]
        assert all(tensor.isfinite().all() for tensor in weights.values())


@pytest.mark.parametrize("kernels", KERNELS)
def test_micro_batches_add_up_to_the_whole_batch(task, kernels):
    changes = {"kernels": kernels, "bn_group_size": 4, "max_steps": 6}
    whole, parts = task("whole", **changes), task("parts", micro_batch_size=8, **changes)

    execute(whole)
    execute(parts)

    # Six steps in float32, whose sums are in another order: a few rounding errors each.
    torch.testing.assert_close(weights_of(parts), weights_of(whole), rtol=1e-4, atol=1e-5)


def weights_of(task: Task) -> dict[str, torch.Tensor]:
    newest = max(task.open_folder().checkpoints.iterdir())
    return torch.load(newest / "state.pt", weights_only=True)["model"]


def test_validation_images_are_scored_and_the_best_checkpoint_is_kept(task):
    chosen = task("run", validation_images=32, epochs=4, keep_checkpoints=1)

    result = execute(chosen)

    lines = chosen.open_folder().metrics()
    best = min(lines, key=lambda line: line["validation_error"])["step"]
    steps = {int(p.name.removeprefix("step-")) for p in chosen.open_folder().checkpoints.iterdir()}
    assert steps == {best, lines[-1]["step"]}
    assert result.test.error == lines[-1]["test_error"]


def test_the_average_is_what_is_tested(task):
    averaged = task("run", regularizers=[partial(ema, decay=0.5)], max_steps=4)

    result = execute(averaged)

    again = evaluated(averaged)
    assert again.test == result.test
    assert again.weights_sha256 == result.weights_sha256


def no_more_room(run: Path) -> Listener:
    """Have no checkpoint be written from the first step on."""

    def listen(event: Event) -> None:
        if isinstance(event, StartEvent):
            shutil.rmtree(run / "checkpoints", ignore_errors=True)
            (run / "checkpoints").write_text("not a folder")

    return listen


def test_checkpoints_that_cannot_be_written_cost_no_step_and_the_run_can_be_finished_later(task):
    limited, free = task("a", checkpoint_steps=3), task("b", checkpoint_steps=3)
    events: list[Event] = []
    folder = limited.open_folder()
    listeners = [events.append, no_more_room(folder.path)]

    with pytest.raises(CifarzooError, match="all steps are done, and their checkpoint could not"):
        execute(limited, listeners)

    whole = execute(free).weights_sha256
    assert [e.weights_sha256 for e in events if isinstance(e, ResultEvent)] == [whole]
    warnings = messages(events)
    assert len(warnings) == 6
    assert "the checkpoint of step 3 was not written" in warnings[0]
    (folder.path / "checkpoints").unlink()
    assert execute(limited).weights_sha256 == whole
    assert folder.record["status"] == "done"


def test_checkpoints_are_saved_by_time_too(task):
    events: list[Event] = []

    execute(task("run", epochs=1, checkpoint_seconds=1e-6, keep_checkpoints=99), [events.append])

    saved = [event.step for event in events if isinstance(event, CheckpointEvent)]
    assert saved == list(range(1, 9))


def test_a_checkpoint_says_what_it_is_of(task):
    done = task("run", max_steps=3)
    execute(done)

    [folder] = done.open_folder().checkpoints.iterdir()

    manifest = json.loads((folder / "manifest.json").read_text().rpartition("\n}")[0] + "\n}")
    assert manifest["step"] == 3
    assert manifest["config"] == done.digest
    assert (manifest["world_size"], manifest["threads"]) == (1, 1)
    assert {"precision", "torch", "python", "cifarzoo"} <= manifest.keys()
    assert manifest["files"].keys() == {"state.pt"}


def test_a_finished_run_says_that_nothing_is_trained_again(task):
    execute(task("run", max_steps=2))
    events: list[Event] = []

    execute(task("run", max_steps=2), [events.append])

    assert [type(event) for event in events] == [FinishedEvent, ResultEvent]


def test_a_checkpoint_of_another_network_is_refused_in_words(task):
    done = task("run", max_steps=2)
    execute(done)
    done.open_folder().update(status="stopped")
    other = replace(done, run=replace(done.run, architecture=dropping_net, optimizer=other_sgd))

    with pytest.raises(CheckpointError, match=r"does not fit this run \(\w+: .*start a new run"):
        execute(other)


def other_sgd(params: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(params[:1], lr=0.1)


def test_a_signal_without_room_for_a_checkpoint_is_no_success(task):
    full = task("run", checkpoint_seconds=1e9)
    block = no_more_room(full.open_folder().path)

    def send(event: Event) -> None:
        if isinstance(event, EpochEvent):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(CifarzooError, match="after step 9 of 16, and its checkpoint could") as info:
        execute(full, [block, send])

    assert info.value.exit_code == 1
    assert full.open_folder().record["status"] == "failed"


def test_what_is_refused_before_the_first_batch_leaves_nothing(task, tmp_path):
    with pytest.raises(ConfigError, match="batch_size is 999; expected at most the 128"):
        execute(task("run", batch_size=999))

    assert list(tmp_path.iterdir()) == []


def test_a_second_run_in_the_same_folder_is_refused_with_who_is_there(task):
    first = task("run", max_steps=3)
    refusals: list[str] = []

    def intrude(event: Event) -> None:
        if isinstance(event, EpochEvent):
            with pytest.raises(UsageError) as info:
                execute(task("run", max_steps=3))
            refusals.append(str(info.value))

    execute(first, [intrude])

    assert f"is in use by another run (process {os.getpid()} on" in refusals[0]
    assert json.loads((first.open_folder().path / "run.json").read_text())["status"] == "done"


def test_a_network_without_residual_blocks_refuses_a_branch_regularizer(task):
    from cifarzoo.zoo.regularizers.branch.shake_shake import shake_shake

    with pytest.raises(ConfigError, match="acts inside residual blocks, and plain_net has none"):
        execute(task("run", architecture=plain_net, regularizers=[shake_shake]))


def plain_net(num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, num_classes))
