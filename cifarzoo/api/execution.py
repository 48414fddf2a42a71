"""From a checked config to ranks that train it: here, or in processes that are launched."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from cifarzoo.components.plugins import plugin_provenance
from cifarzoo.components.session import is_of_session
from cifarzoo.components.trust import remember
from cifarzoo.engine.distributed.environment import is_worker, lone_task, resolve_world_size
from cifarzoo.engine.distributed.signals import end_at_once
from cifarzoo.errors import EXIT_USAGE, CifarzooError, DataError, UsageError
from cifarzoo.run_folders.labels import UNLABELLED, Labels
from cifarzoo.uncollected import uncollected

if TYPE_CHECKING:
    from cifarzoo.api.branching import Parent
    from cifarzoo.api.progress import ListenerFactory
    from cifarzoo.config import Config
    from cifarzoo.engine.assembly.optimizer_trial import OptimizerTrial
    from cifarzoo.engine.events import Event, Listener, ResultEvent
    from cifarzoo.engine.runner import Task
    from cifarzoo.run_folders.folder import RunFolder

OpenFolder = Callable[[], "RunFolder"]


@dataclass(frozen=True, kw_only=True)
class Processes:
    """The processes that train, and how they are told to stop.

    Attributes:
        nproc: Number of processes on this host; None: as many as it has GPUs, or one.
        max_restarts: How many times all of them may start again.
        warn: Receives the reason of each restart.
        at_second_interrupt: Called at a second Ctrl-C.
    """

    nproc: int | None
    max_restarts: int = 0
    warn: Callable[[str], None]
    at_second_interrupt: Callable[[], NoReturn] = end_at_once


@dataclass(frozen=True, kw_only=True)
class RankJob:
    """What a launched rank is given to train.

    Attributes:
        config: Config of the run.
        folder: Folder of the run, which exists.
        data: Folder of the data; None: not known.
        argv: Command that started the run, for run.json.
        progress: Makes the listener.
        tried: What the launching process found of the optimizer when it tried the run; None: it
            wasn't tried.
        is_anonymous: Whether run.json names no host, user and folder elsewhere.
        labels: What the user calls the run.
    """

    config: Config
    folder: Path
    data: Path | None
    argv: tuple[str, ...]
    progress: ListenerFactory
    tried: OptimizerTrial | None = None
    is_anonymous: bool = False
    labels: Labels = UNLABELLED


def opener(config: Config, *, out: Path, run_dir: Path | None = None) -> OpenFolder:
    """What opens the folder of a run of ``config``, and doesn't ask whether that is what it holds.

    Args:
        config: Config of the run.
        out: Where runs go: a new folder there.
        run_dir: The folder itself, which may hold this run already; None: a new one.
    """

    def open_folder() -> RunFolder:
        from cifarzoo.run_folders import folder

        if run_dir is None:
            return folder.create(out, config.name, config.text())
        opened, _ = folder.adopt(run_dir, config.text())
        return opened

    return open_folder


def execute_config(
    config: Config,
    open_folder: OpenFolder,
    *,
    data: Path | None,
    processes: Processes,
    progress: ListenerFactory,
    parent: Parent | None = None,
    is_anonymous: bool = False,
    labels: Labels = UNLABELLED,
) -> ResultEvent:
    """Train what ``config`` describes to its end, here or in launched processes.

    Args:
        config: Config of the run.
        open_folder: Gives the run's folder.
        data: Folder of the data; None: not known.
        processes: The processes that train.
        progress: Makes the listener, in the process that reports.
        parent: Checkpoint of another run that a new one begins from; None: its first step.
        is_anonymous: Whether run.json names no host, user and folder elsewhere, from now on.
        labels: What the user calls the run, from now on.

    Raises:
        StoppedError: A signal stopped it, and a checkpoint was saved.
        CifarzooError: See ``cifarzoo.errors``.
    """
    with uncollected():
        from cifarzoo.api.branching import check_parent
        from cifarzoo.engine.runner import execute

    size = resolve_world_size(processes.nproc)
    if parent is not None:
        check_parent(parent, config)
    for note in [*config.notes(), *_secrets(config), *filter(None, [lone_task()])]:
        processes.warn(note)
    if size > 1 and not is_worker():
        return _launch(
            config,
            open_folder,
            data=data,
            processes=processes,
            progress=progress,
            parent=parent,
            is_anonymous=is_anonymous,
            labels=labels,
        )
    with config.locating(), progress() as listener:
        task = _task(config, open_folder, listener, data=data, argv=sys.argv, parent=parent)
        task = replace(task, is_anonymous=is_anonymous, labels=labels)
        listeners = [listener, _noting_plugins(config, listener)]
        return execute(task, listeners, at_second_interrupt=processes.at_second_interrupt)


def try_config(config: Config, *, data: Path | None, world_size: int) -> list[str]:
    """Do what comes before the first batch: read and check the data, try a step and a test.

    Args:
        config: Config of the run.
        data: Folder of the data; None: not known.
        world_size: Number of ranks that the run would have.

    Returns:
        What could not be looked at, a line each.

    Raises:
        CifarzooError: What training would raise before its first batch.
    """
    from cifarzoo.api.teachers import open_teacher
    from cifarzoo.engine.assembly.build import build, make
    from cifarzoo.engine.assembly.dataset import read_dataset
    from cifarzoo.engine.distributed.world import pick_device
    from cifarzoo.engine.initial_weights import read_initial_weights
    from cifarzoo.engine.trial_step import try_run

    with config.locating():
        run = config.build()
        try_run(
            run,
            folder=data,
            device=pick_device(),
            world_size=world_size,
            open_run=open_teacher,
        )
        if run.initial_weights is not None:
            initial = read_initial_weights(run.initial_weights)
            initial.matched(build(run, folder=data, device="meta").model)
        dataset = make(run.dataset, "dataset", folder=data)
        try:
            splits = dataset.load()
        except DataError as error:
            if data is not None:
                raise
            return [f"the data were not looked at: {error}"]
        read_dataset(replace(dataset, load=lambda: splits))
    return []


def train_rank(job: RankJob) -> None:
    """Train as one of several ranks."""
    with uncollected():
        from cifarzoo.engine.runner import execute
    from cifarzoo.run_folders.folder import RunFolder

    def open_folder() -> RunFolder:
        return RunFolder(job.folder)

    with job.config.locating(), job.progress() as listener:
        task = _task(job.config, open_folder, listener, data=job.data, argv=job.argv)
        listeners = [listener, _noting_plugins(job.config, listener)]
        task = replace(task, tried=job.tried, is_anonymous=job.is_anonymous)
        task = replace(task, labels=job.labels)
        execute(task, listeners)


def _opened(
    open_folder: OpenFolder, config: Config, parent: Parent | None
) -> tuple[RunFolder, list[str]]:
    """A run's folder, which holds the run of ``config``, and what may not be meant.

    Raises:
        UsageError: It holds another run, or one that didn't begin from ``parent``.
    """
    from cifarzoo.api.branching import note_parent
    from cifarzoo.api.identity import check_same_run, keep_identity

    folder = open_folder()
    with _discarding(folder):
        folder.check()
        is_new = not folder.has_begun
        notes = check_same_run(folder, config)
        keep_identity(folder, config)
        if parent is not None:
            note_parent(folder, parent, is_new=is_new)
    return folder, notes


@contextmanager
def _discarding(folder: RunFolder) -> Iterator[None]:
    """Take away what was created in ``folder`` if the run is refused."""
    try:
        yield
    except CifarzooError as error:
        if error.exit_code == EXIT_USAGE:
            folder.discard()
        raise


def _noting_plugins(config: Config, listener: Listener) -> Listener:
    """What notes the run's plugins as this user's own, once nothing can be refused any more."""
    from cifarzoo.engine.events import StartEvent, WarningEvent

    def note(event: Event) -> None:
        if isinstance(event, StartEvent) and (problem := remember(config.plugin_files())):
            listener(WarningEvent(message=problem))

    return note


def _launch(
    config: Config,
    open_folder: OpenFolder,
    *,
    data: Path | None,
    processes: Processes,
    progress: ListenerFactory,
    parent: Parent | None,
    is_anonymous: bool,
    labels: Labels,
) -> ResultEvent:
    from cifarzoo.api.teachers import open_teacher
    from cifarzoo.engine.assembly.describe import describe
    from cifarzoo.engine.distributed.launcher import launch
    from cifarzoo.engine.distributed.world import pick_device
    from cifarzoo.engine.runner import recorded_result
    from cifarzoo.engine.trial_step import try_run

    size = resolve_world_size(processes.nproc)
    _check_importable(config, size)
    with config.locating():  # what can be refused is refused here, with its file and line
        run = config.build()
        describe(run, data=data, world_size=size)
        device = pick_device()
        # On a GPU by rank 0: a process that has touched one keeps some of its memory.
        tried = (
            try_run(
                run,
                folder=data,
                device=device,
                world_size=size,
                open_run=open_teacher,
                is_checked=True,  # by describe
            )
            if device.type == "cpu"
            else None
        )
    folder, _ = _opened(open_folder, config, parent)  # rank 0 compares again, and warns
    with folder.locked():
        pass  # in use: refused before any process starts; rank 0 holds the lock from then on
    job = RankJob(
        config=config,
        folder=folder.path,
        data=data,
        argv=tuple(sys.argv),
        progress=progress,
        tried=tried,
        is_anonymous=is_anonymous,
        labels=labels,
    )
    with _discarding(folder):
        launch(
            train_rank,
            job,
            nproc=size,
            max_restarts=processes.max_restarts,
            warn=processes.warn,
            at_second_interrupt=processes.at_second_interrupt,
        )
    return recorded_result(folder)


def _secrets(config: Config) -> Iterator[str]:
    """A line for each setting that looks like a secret, which a published folder would tell."""
    from cifarzoo.run_folders.disclosure import is_secret
    from cifarzoo.run_folders.folder import CONFIG, RESOLVED

    for binding in config.bindings.values():
        if is_secret(binding.parameter, binding.value):
            yield (
                f"{binding.component}.{binding.parameter} looks like a secret, and {CONFIG} and "
                f"{RESOLVED} in the run's folder keep it; let the plugin read it from a variable"
            )


def _check_importable(config: Config, size: int) -> None:
    """Refuse components that other processes don't have."""
    for entry in config.components():
        if is_of_session(entry):
            raise UsageError(
                f"{entry.name} was registered by this script or notebook ({entry.source}), and the "
                f"{size} processes that train don't have it; put it in a file, and name that by "
                "plugins=['FILE.py']"
            )


def _task(
    config: Config,
    open_folder: OpenFolder,
    listener: Listener,
    *,
    data: Path | None,
    argv: Iterable[str],
    parent: Parent | None = None,
) -> Task:
    """What the engine is given, with all that run.json says of where a result comes from."""
    from cifarzoo.api.teachers import open_teacher
    from cifarzoo.config.effective import digest
    from cifarzoo.engine.events import WarningEvent
    from cifarzoo.engine.runner import Task
    from cifarzoo.run_folders.provenance import provenance

    def open_and_warn() -> RunFolder:
        folder, notes = _opened(open_folder, config, parent)
        for note in notes:
            listener(WarningEvent(message=note))
        return folder

    return Task(
        run=config.build(),
        name=config.name,
        digest=digest(config),
        open_folder=open_and_warn,
        data=data,
        open_run=open_teacher,
        provenance={
            **provenance(list(argv)),
            "plugins": plugin_provenance(config.components()),
            "data_folder": str(data.resolve()) if data else None,
        },
    )
