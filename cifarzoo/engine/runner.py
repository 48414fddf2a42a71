"""One run from its folder to its result: ranks, lock, resume, status."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import cifarzoo
from cifarzoo.components.run import Run
from cifarzoo.engine import running_statistics
from cifarzoo.engine.assembly.forward import network_stages
from cifarzoo.engine.assembly.optimizer_trial import OptimizerTrial
from cifarzoo.engine.assembly.plan import length_warnings
from cifarzoo.engine.assembly.repeated_calls import changing_answers
from cifarzoo.engine.device.allocator import keep_freed_memory, use_huge_pages
from cifarzoo.engine.device.kernels import agreed, summary
from cifarzoo.engine.device.precision import Policy, choose, numerics
from cifarzoo.engine.device.slow_paths import slow_paths
from cifarzoo.engine.distributed.consistency import (
    check_same_data,
    check_same_teachers,
    fingerprint,
)
from cifarzoo.engine.distributed.environment import is_worker
from cifarzoo.engine.distributed.signals import StopRequest, end_at_once
from cifarzoo.engine.distributed.world import World, init_distributed
from cifarzoo.engine.divergence import not_finite
from cifarzoo.engine.events import (
    DataFacts,
    FinishedEvent,
    HardwareFacts,
    LengthFacts,
    Listener,
    NetworkFacts,
    ResultEvent,
    StartEvent,
    StoppedEvent,
    WarningEvent,
    emit_to_all,
    ignore_event,
    numbers_of,
)
from cifarzoo.engine.initial_weights import InitialWeights, read_initial_weights
from cifarzoo.engine.loop import fit
from cifarzoo.engine.resume import restore
from cifarzoo.engine.state import TrainingState, digest_of
from cifarzoo.engine.step_graph import step_graph
from cifarzoo.engine.teachers import (
    OpenRun,
    give_teachers,
    opens_none,
    record_teachers,
    teachers_digest,
)
from cifarzoo.engine.tensorboard import TensorBoard
from cifarzoo.engine.training import Training, open_session, prepare
from cifarzoo.engine.trial_step import try_run
from cifarzoo.errors import CheckpointError, CifarzooError, NotFiniteError, StoppedError, UsageError
from cifarzoo.run_folders.attempts import Attempt
from cifarzoo.run_folders.folder import METRICS, PUT_BACK, RECORD, TENSORBOARD, RunFolder
from cifarzoo.run_folders.labels import UNLABELLED, Labels

RECORDED = (
    "num_parameters",
    "weight_decay",
    "steps",
    "steps_per_epoch",
    "world_size",
    "device",
    "kernels",
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A run to be trained, or gone on with.

    Attributes:
        run: The run that the config describes.
        name: Name of the config.
        digest: SHA-256 (hex) of what the config means, which ranks have in common.
        open_folder: Gives the run's folder; called by rank 0 alone.
        data: Folder of the data; None: not known.
        provenance: What run.json says of where the result comes from.
        open_run: Opens the runs of teachers.
        tried: What the process that launched this one found of the optimizer when it tried the
            run; None: it wasn't tried.
        is_anonymous: Whether run.json names no host, user and folder elsewhere, from now on.
        labels: What the user calls the run.
    """

    run: Run
    name: str
    digest: str
    open_folder: Callable[[], RunFolder]
    data: Path | None
    provenance: dict[str, Any]
    open_run: OpenRun = opens_none
    tried: OptimizerTrial | None = None
    is_anonymous: bool = False
    labels: Labels = UNLABELLED


def execute(
    task: Task,
    listeners: Sequence[Listener] = (),
    *,
    at_second_interrupt: Callable[[], NoReturn] = end_at_once,
) -> ResultEvent:
    """Train a run to its end on this process's rank, from its newest checkpoint if it has one.

    Args:
        task: The run, and where it comes from and goes to.
        listeners: Called with each event, on rank 0 only.
        at_second_interrupt: Called at a second Ctrl-C, in a process that no launcher started.

    Returns:
        The result; that of an earlier attempt if the run was finished.

    Raises:
        CifarzooError: See ``cifarzoo.errors``; run.json has the status then.
    """
    digests = fingerprint(task.digest, task.provenance.get("plugins", ()))
    with (
        ExitStack() as held,
        StopRequest(at_second_interrupt=None if is_worker() else at_second_interrupt) as stop,
        init_distributed(digests, while_waiting=stop.end_if_asked) as world,
    ):
        folder = world.on_main(task.open_folder)
        world.on_main(lambda: held.enter_context(folder.locked()) and None)
        if task.is_anonymous:
            world.on_main(folder.anonymize)
        if task.labels != UNLABELLED:
            world.on_main(lambda: task.labels.keep(folder))
        emit = emit_to_all(listeners) if world.is_main else ignore_event
        finished = world.on_main(lambda: _finished(folder))
        if finished is not None:
            emit(FinishedEvent(run=str(folder.path)))
            emit(finished)
            return finished
        attempt = Attempt(folder) if world.is_main else None
        with _status(folder, attempt, emit), world.naming_lost_ranks():
            return _train(task, folder, attempt, world=world, stop=stop, emit=emit)


def recorded_result(folder: RunFolder) -> ResultEvent:
    """The result of a run that is done, as run.json has it.

    Raises:
        UsageError: It isn't all there.
    """
    try:
        return ResultEvent.from_record(str(folder.path), folder.record)
    except KeyError as missing:
        raise UsageError(
            f"{folder.path / RECORD} has status 'done' and no {missing}; {PUT_BACK}"
        ) from None


def _train(
    task: Task,
    folder: RunFolder,
    attempt: Attempt | None,
    *,
    world: World,
    stop: StopRequest,
    emit: Listener,
) -> ResultEvent:
    policy = choose(task.run, world.device)
    policy = replace(policy, kernels=agreed(policy.kernels, world))
    tensorboard = TensorBoard(folder.path / TENSORBOARD)
    config_digest = world.on_main(lambda: folder.config_digest)
    if attempt:
        emit = emit_to_all([emit, tensorboard])
        attempt.begin(
            config=folder.record.get("config", task.name),
            digest=config_digest,
            precision=policy.record(),
            **task.provenance,
        )
    with closing(tensorboard), numerics(policy, strict=bool(task.run.deterministic)):
        tried = task.tried or world.on_main(partial(_try, task, world))
        initial = world.on_main(partial(_initial_weights, task, folder))
        setup, data, state = prepare(
            task.run, folder=task.data, world=world, policy=policy, initial=initial, tried=tried
        )
        if initial and attempt:
            _record_initial(initial, state, folder, emit)
        teachers = give_teachers(setup, task.open_run)
        facts = {"config": config_digest, "data": data.digest, **_facts(world, policy)}
        session = open_session(setup, data, folder, facts=facts, stop=stop, emit=emit)
        training = Training(
            setup=setup, data=data, state=state, session=session, graph=step_graph(setup, emit)
        )
        _say_where(training, attempt)
        check_same_data(world, data.digest)
        check_same_teachers(world, teachers_digest(teachers))
        world.on_main(partial(record_teachers, folder, teachers))
        restore(training)
        _begin(task, training, attempt, [note for each in teachers.values() for note in each.notes])
        keep_freed_memory()
        use_huge_pages()
        fit(training)
        result = _result(training)
    _finish(training, result, attempt)
    return result


def _try(task: Task, world: World) -> OptimizerTrial:
    return try_run(
        task.run,
        folder=task.data,
        device=world.device,
        world_size=world.size,
        open_run=task.open_run,
    )


def _initial_weights(task: Task, folder: RunFolder) -> InitialWeights | None:
    """What a run starts from that has no checkpoint, nor one of a parent, to go on from."""
    begins = not any(folder.checkpoints.glob("*")) and "parent" not in folder.record
    given = task.run.initial_weights
    return read_initial_weights(given) if given is not None and begins else None


def _record_initial(
    initial: InitialWeights, state: TrainingState, folder: RunFolder, emit: Listener
) -> None:
    matched = initial.matched(state.model)
    folder.update(
        initial_weights={
            "path": initial.path,
            "sha256": initial.sha256,
            "loaded": len(matched.tensors),
            "not_loaded": [*matched.misfits, *matched.missing],
            "unused": matched.unused,
        }
    )
    if not matched.is_whole:
        emit(WarningEvent(message=matched.summary(initial.path)))


def _facts(world: World, policy: Policy) -> dict[str, Any]:
    """What decides bits beside the config and the data, for the manifests of checkpoints."""
    return {
        "world_size": world.size,
        "threads": policy.threads,
        "precision": policy.name,
        "kernels": str(policy.kernels),
        "cuda_graph": policy.captured,
        "torch": version("torch"),
        "python": platform.python_version(),
        "cifarzoo": cifarzoo.__version__,
    }


def _say_where(training: Training, attempt: Attempt | None) -> None:
    """Let the other ranks, and run.json, know in which step a rank was that is lost."""
    world = training.setup.world
    if world.heartbeat is None:
        return
    world.heartbeat.where = lambda: f"in step {training.state.step + 1}"
    if attempt:
        world.heartbeat.exit_callbacks.append(lambda text: attempt.end("failed", text))


def _begin(
    task: Task, training: Training, attempt: Attempt | None, notes: Sequence[str] = ()
) -> None:
    """Report the start, and what may not be meant, once nothing more can be refused."""
    setup, state, session = training.setup, training.state, training.session
    start = _start_event(task, training)
    if attempt:
        numbers = numbers_of(start)
        attempt.go_on(
            from_step=state.step,
            data={"title": start.data.dataset, "sha256": training.data.digest},
            **{name: numbers[name] for name in RECORDED},
        )
    session.emit(start)
    found = [*notes, *setup.components.warnings(setup.plan.total_epochs, state.base_rates)]
    found += length_warnings(setup.run, setup.plan)
    found += state.trial.warnings
    found += changing_answers(setup.components, loss=setup.components.loss_maker(setup.run))
    around = [*network_stages(setup.components.regularizers)]
    found += slow_paths(state.model, setup.plan, setup.policy, setup.world.device, around)
    if state.average is not None:
        found += running_statistics.warnings_of(state.average)
    for message in found:
        session.emit(WarningEvent(message=message))


def _finish(training: Training, result: ResultEvent, attempt: Attempt | None) -> None:
    """Write and report the result; the run isn't done without the weights that it is of."""
    world, session = training.setup.world, training.session
    # From rank 0, which writes.
    was_saved = world.broadcast(session.checkpoints.saved_step == training.state.step)
    if attempt:
        attempt.end("done" if was_saved else "failed", **numbers_of(result))
    session.emit(result)
    if not was_saved:
        raise CifarzooError(
            "all steps are done, and their checkpoint could not be written; make room, then "
            "cifarzoo resume goes on from the one before it"
        )


def _start_event(task: Task, training: Training) -> StartEvent:
    setup = training.setup
    plan, run, world = setup.plan, setup.run, setup.world
    return StartEvent(
        run=str(training.session.folder.path),
        name=task.name,
        data=DataFacts(
            dataset=setup.components.dataset.title,
            train_images=plan.train_images,
            validation_images=plan.validation_images,
            test_images=plan.test_images,
        ),
        network=NetworkFacts(
            num_parameters=sum(p.numel() for p in training.state.model.parameters()),
            weight_decay=setup.components.coverage.summary(),
        ),
        length=LengthFacts(
            epochs=run.epochs,
            steps=plan.total_steps,
            steps_per_epoch=plan.steps_per_epoch,
            batch_size=run.batch_size,
            seed=run.seed,
        ),
        hardware=HardwareFacts(
            device=str(world.device),
            world_size=world.size,
            precision=str(setup.policy),
            kernels=summary(training.state.model, setup.policy.kernels),
        ),
    )


def _result(training: Training) -> ResultEvent:
    """The scores of the last line of metrics, which a run that was done but unsaved has too.

    Raises:
        NotFiniteError: One of the losses isn't finite.
        CheckpointError: The metrics don't end with the last step.
    """
    folder, state = training.session.folder, training.state
    last = training.setup.world.on_main(partial(_last_epoch, folder, state.step))
    result = ResultEvent.from_record(
        str(folder.path),
        {
            **last,
            "train_seconds": state.progress.train_seconds,
            "steps": state.step,
            "weights_sha256": digest_of(
                {**state.evaluated.state_dict(), **(state.statistics_now or {})}
            ),
        },
    )
    found = not_finite(result.tests)
    if found is not None:
        raise NotFiniteError(
            f"the loss on {found} is not finite after the last epoch, though the weights are: the "
            "network gives NaN or infinity in evaluation; look at what it does there, such as with "
            "BatchNorm's statistics; the last checkpoint has the weights"
        )
    return result


def _last_epoch(folder: RunFolder, step: int) -> dict[str, Any]:
    lines = folder.metrics()
    if lines and lines[-1].get("step") == step and {"test_error", "train_loss"} <= lines[-1].keys():
        return lines[-1]
    raise CheckpointError(
        f"{folder.path / METRICS} doesn't end with the scores of step {step}, which are the "
        f"result; {PUT_BACK}, or test the weights with cifarzoo eval"
    )


def _finished(folder: RunFolder) -> ResultEvent | None:
    return recorded_result(folder) if folder.record.get("status") == "done" else None


@contextmanager
def _status(folder: RunFolder, attempt: Attempt | None, emit: Listener) -> Iterator[None]:
    """Note in run.json how an attempt ended early."""
    try:
        yield
    except BaseException as error:
        if attempt:
            with suppress(CifarzooError):  # a disk that is full must not hide why it ended
                _note(folder, attempt, error)
            if isinstance(error, StoppedError):
                emit(StoppedEvent(run=str(folder.path), step=error.step, signal=error.signal))
        raise


def _note(folder: RunFolder, attempt: Attempt, error: BaseException) -> None:
    text = str(error) or type(error).__name__
    if not isinstance(error, UsageError):
        status = {StoppedError: "stopped", NotFiniteError: "diverged"}.get(type(error), "failed")
        attempt.end(status, text)
    elif "started" in folder.record or not folder.has_created(RECORD):
        attempt.refuse(text)
    else:
        folder.discard()  # nothing was done in it
