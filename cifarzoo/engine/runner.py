"""One run from its folder to its result: ranks, lock, resume, status."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from cifarzoo.components.run import Run
from cifarzoo.engine.device.allocator import keep_freed_memory
from cifarzoo.engine.device.precision import choose, numerics
from cifarzoo.engine.device.slow_paths import slow_paths
from cifarzoo.engine.distributed.consistency import check_same_data, fingerprint
from cifarzoo.engine.distributed.environment import is_worker
from cifarzoo.engine.distributed.signals import StopRequest, end_at_once
from cifarzoo.engine.distributed.world import World, init_distributed
from cifarzoo.engine.events import Event, Listener, emit_to_all, ignore_event
from cifarzoo.engine.loop import fit, score, score_in_views
from cifarzoo.engine.resume import restore
from cifarzoo.engine.training import Training, prepare
from cifarzoo.errors import (
    CheckpointError,
    CifarzooError,
    NotFiniteError,
    StoppedError,
    UsageError,
)
from cifarzoo.runs.folder import RunFolder, this_process
from cifarzoo.runs.tensorboard import TensorBoard


@dataclass(frozen=True, kw_only=True)
class Task:
    """A run to be trained, or gone on with.

    Attributes:
        run: What is trained.
        name: Of its config.
        digest: SHA-256 (hex) of its config's text.
        open_folder: Gives the run's folder; called by rank 0 alone.
        data: Where data lie, or None.
        provenance: What run.json says of where the result comes from.
    """

    run: Run
    name: str
    digest: str
    open_folder: Callable[[], RunFolder]
    data: Path | None
    provenance: dict[str, Any]


def execute(
    task: Task,
    listeners: Sequence[Listener] = (),
    *,
    at_second_interrupt: Callable[[], NoReturn] = end_at_once,
) -> Event:
    """Train a run to its end on this process's rank, from its newest checkpoint if it has one.

    Args:
        task: What to do.
        listeners: Called with each event, on rank 0 only.
        at_second_interrupt: Called at a second Ctrl-C, in a process that no launcher started.

    Returns:
        The ``result`` event; that of an earlier attempt if the run was finished.

    Raises:
        CifarzooError: See ``cifarzoo.errors``; run.json has the status then.
    """
    with (
        ExitStack() as held,
        StopRequest(at_second_interrupt=None if is_worker() else at_second_interrupt) as stop,
        init_distributed(_identity(task), while_waiting=stop.end_if_asked) as world,
    ):
        folder = world.on_main(task.open_folder)
        world.on_main(lambda: held.enter_context(folder.locked()) and None)
        emit = emit_to_all(listeners) if world.is_main else ignore_event
        finished = world.on_main(lambda: _finished(folder))
        if finished is not None:
            emit({"event": "finished", "run": str(folder.path)})
            emit(finished)
            return finished
        with _status(folder, world, emit), world.naming_lost_ranks():
            return _train(task, folder, world=world, stop=stop, emit=emit)


def _train(
    task: Task, folder: RunFolder, *, world: World, stop: StopRequest, emit: Listener
) -> Event:
    policy = choose(task.run, world.device)
    facts = {
        "config": task.digest,
        "world_size": world.size,
        "threads": policy.threads,
        "precision": policy.name,
        "torch": version("torch"),
        "python": platform.python_version(),
        "cifarzoo": version("cifarzoo"),
    }
    tensorboard = TensorBoard(folder.path / "tensorboard")
    if world.is_main:
        emit = emit_to_all([emit, tensorboard])
        folder.update(
            status="running",
            error=None,
            config=task.name,
            digest=task.digest,
            process=this_process(),
            precision=policy.record(),
            **task.provenance,
        )
    with closing(tensorboard), numerics(policy, strict=bool(task.run.deterministic)):
        training = prepare(
            task.run,
            data=task.data,
            world=world,
            policy=policy,
            folder=folder,
            facts=facts,
            stop=stop,
            emit=emit,
        )
        _say_where(training)
        check_same_data(world, training.data_digest)
        restore(training)
        start = _start_event(task, training)
        if world.is_main:
            folder.update(data={"title": start["dataset"], "sha256": training.data_digest})
            folder.update(**{name: start[name] for name in RECORDED})
        emit(start)
        total, rates = training.plan.total_epochs, training.state.base_rates
        slow = slow_paths(training.state.model, training.plan, policy, world.device)
        for message in training.components.warnings(total, rates) + slow:
            emit({"event": "warning", "message": message})
        keep_freed_memory()
        fit(training)
        result = _result_event(training)
    # From rank 0, which writes; not done without the weights that the result is of.
    was_saved = world.broadcast(training.state.saved_step == training.state.step)
    if world.is_main:
        numbers = {name: value for name, value in result.items() if name != "event"}
        folder.update(**numbers, **({"status": "done"} if was_saved else {}))
    emit(result)
    if not was_saved:
        raise CifarzooError(
            "all steps are done, and their checkpoint could not be written; make room, then "
            "cifarzoo resume goes on from the one before it"
        )
    return result


def _identity(task: Task) -> dict[str, str]:
    return fingerprint(task.digest, task.provenance.get("plugins", ()))


def _say_where(training: Training) -> None:
    """Let the other ranks, and run.json, know in which step a rank was that is lost."""
    heartbeat, folder = training.world.heartbeat, training.folder
    if heartbeat is None:
        return
    heartbeat.where = lambda: f"in step {training.state.step + 1}"
    if training.world.is_main:
        heartbeat.exit_callbacks.append(lambda text: folder.update(status="failed", error=text))


RESULT = (
    "test_loss",
    "test_error",
    "tta_test_loss",
    "tta_test_error",
    "validation_loss",
    "validation_error",
    "train_loss",
    "train_seconds",
    "steps",
    "weights_sha256",
)
RECORDED = ("num_parameters", "weight_decay", "steps", "steps_per_epoch", "world_size", "device")


def evaluate_run(task: Task, listener: Listener) -> Event:
    """Test the newest weights of a run, on one process; nothing in its folder changes."""
    # Tests do without BatchNorm's groups, which may fit the ranks that trained and not one.
    run = replace(task.run, bn_group_size=1)
    with init_distributed() as world:
        folder = task.open_folder()
        policy = choose(run, world.device)
        with numerics(policy, strict=bool(run.deterministic)):
            training = prepare(
                run,
                data=task.data,
                world=world,
                policy=policy,
                folder=folder,
                facts={"config": task.digest},
                stop=StopRequest(),
                emit=listener,
            )
            loaded = training.checkpoints.load(task.digest)
            if loaded is None:
                raise CheckpointError(f"{folder.path} has no checkpoint yet")
            training.state.load_state_dict(loaded.state)
            tested = score(training, training.test)
            in_views = score_in_views(training)
    return {
        "event": "eval",
        "run": str(folder.path),
        "step": loaded.step,
        "steps": training.plan.total_steps,
        "test_loss": tested.loss,
        "test_error": tested.error,
        **in_views,
        "test_images": len(training.test),
        "weights_sha256": digest_of(training.state.evaluated.state_dict()),
    }


def digest_of(tensors: dict[str, Any]) -> str:
    """SHA-256 (hex) of named tensors: names, types, shapes and bytes, sorted by name."""
    sha256 = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        if isinstance(tensor, Tensor):
            plain = tensor.detach().cpu().contiguous()
            sha256.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
            sha256.update(plain.flatten().view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()


def _start_event(task: Task, training: Training) -> Event:
    plan, run = training.plan, training.run
    return {
        "event": "start",
        "run": str(training.folder.path),
        "name": task.name,
        "dataset": training.components.dataset.title,
        "train_images": plan.train_images,
        "validation_images": plan.validation_images,
        "test_images": plan.test_images,
        "num_parameters": sum(p.numel() for p in training.state.model.parameters()),
        "weight_decay": training.components.coverage.summary(),
        "epochs": run.epochs,
        "steps": plan.total_steps,
        "steps_per_epoch": plan.steps_per_epoch,
        "batch_size": run.batch_size,
        "seed": run.seed,
        "device": str(training.world.device),
        "world_size": training.world.size,
        "precision": str(training.policy),
    }


def _result_event(training: Training) -> Event:
    last = training.world.on_main(lambda: training.folder.metrics()[-1])
    kept = ("tta_test_loss", "tta_test_error", "validation_loss", "validation_error")
    return {
        "event": "result",
        "run": str(training.folder.path),
        "test_loss": last["test_loss"],
        "test_error": last["test_error"],
        **{name: last[name] for name in kept if name in last},
        "train_loss": last["train_loss"],
        "train_seconds": training.state.train_seconds,
        "steps": training.state.step,
        "weights_sha256": digest_of(training.state.evaluated.state_dict()),
    }


def _finished(folder: RunFolder) -> Event | None:
    record = folder.record
    if record.get("status") != "done":
        return None
    numbers = {name: record[name] for name in RESULT if name in record}
    return {"event": "result", "run": str(folder.path), **numbers}


@contextmanager
def _status(folder: RunFolder, world: World, emit: Listener) -> Iterator[None]:
    """Note in run.json how an attempt ended early."""
    try:
        yield
    except BaseException as error:
        status = {StoppedError: "stopped", NotFiniteError: "diverged"}.get(type(error), "failed")
        if world.is_main:
            if isinstance(error, UsageError) and "started" not in folder.record:
                folder.discard()  # nothing was done in it
            else:
                with suppress(CifarzooError):  # a disk that is full must not hide why it ended
                    folder.update(status=status, error=str(error) or type(error).__name__)
            if isinstance(error, StoppedError):
                about = {"step": error.step, "signal": error.signal}
                emit({"event": "stopped", "run": str(folder.path), **about})
        raise
