"""Training from Python: ``train`` and ``resume``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cifarzoo import config as configs
from cifarzoo.api.branching import Parent, find_parent
from cifarzoo.api.execution import OpenFolder, Processes, execute_config, opener
from cifarzoo.api.global_state import own_global_state
from cifarzoo.api.loaded_run import RunName, name_of
from cifarzoo.api.progress import Progress, listener_factory, print_event
from cifarzoo.api.reopening import asks_anonymous, data_folder, reopen
from cifarzoo.api.result import Result
from cifarzoo.components.user_paths import expanded
from cifarzoo.config import Config
from cifarzoo.engine.distributed.environment import resolve_world_size
from cifarzoo.engine.distributed.signals import interrupt
from cifarzoo.engine.events import WarningEvent
from cifarzoo.errors import StoppedError, UsageError
from cifarzoo.run_folders.finding import runs_folder
from cifarzoo.run_folders.labels import UNLABELLED, Labels

if TYPE_CHECKING:
    from cifarzoo.run_folders.folder import RunFolder


def train(
    config: str | os.PathLike[str] | Config,
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002  # as the command line's --set
    plugins: Sequence[str | os.PathLike[str]] = (),
    seed: int | None = None,
    data: str | os.PathLike[str] | None = None,
    nproc: int | None = 1,
    max_restarts: int = 0,
    out: str | os.PathLike[str] | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    from_run: RunName | None = None,
    trust_plugins: bool = False,
    anonymous: bool = False,
    name: str | None = None,
    tags: Sequence[str] = (),
    progress: Progress = True,
) -> Result:
    """Train what a config describes, as ``cifarzoo run`` does.

    Components that this script or notebook registered can be used. Ctrl-C ends the step, saves
    and raises; a second one raises at once. The generators of torch, NumPy and Python, and torch's
    other global state, are the caller's again after it.

    Args:
        config: Path of a config, name of a recipe, text of a config, or a loaded one.
        set: Values by name, which override what the config says, such as ``{"run.epochs": 4,
            "run.regularizers": ["@mixup"]}``. They are Python's; texts that start with ``@``
            refer to components.
        plugins: Plugin files, beside installed ones and those of ``CIFARZOO_PLUGINS``.
        seed: Short for ``run.seed`` in ``set``.
        data: Folder of the data; None: that of ``CIFARZOO_DATA``, if it is set.
        nproc: Number of processes on this host, one a GPU; None: as many as it has GPUs.
        max_restarts: With several processes: how many times all may start again, from the
            newest checkpoint, when one is killed or hangs.
        out: Where runs go; None: ``CIFARZOO_RUNS``, or ``runs``.
        run_dir: The run's folder itself, where the same call goes on with the same run; None: a
            new one in ``out``.
        from_run: Run, or path of one of its checkpoints, that this one begins from, as a run of its
            own: for longer, or by another schedule; None: it begins at the first step.
        trust_plugins: Whether the plugins that lie beside the config of a run may be run though
            no run of this user's is known to have begun with them.
        anonymous: Whether the run's folder names no host, no user and no folder elsewhere, also of
            earlier attempts; then a resumed run needs ``data``. ``CIFARZOO_ANONYMOUS=1`` asks too.
        name: Name for the run, by which commands find it; it changes nothing else.
        tags: Words to find the run by in ``cifarzoo.runs``.
        progress: Whether lines are printed; or a function that is called with each event, a dict
            as ``cifarzoo run --json`` writes it.

    Returns:
        The result; that of an earlier attempt if the run in ``run_dir`` was finished.

    Raises:
        KeyboardInterrupt: Ctrl-C stopped it; the message says how to go on.
        StoppedError: Another signal did.
        ConfigProblemsError: Anything is wrong with the config: all problems, a line each.
        UntrustedPluginError: The config is a run's, whose plugins may be somebody else's code.
        UsageError: Another argument can't be used; also all other errors before the first batch.
        NotFiniteError: The loss, a gradient or a weight is not finite.
        CifarzooError: Something else that the user can act on; see ``cifarzoo.errors``.
    """
    labels = Labels(name=name, tags=_tags(tags))
    loaded = _loaded(config, set, plugins, seed)
    if trust_plugins:
        loaded = loaded.trusting(_warn)
    folder = opener(loaded, out=runs_folder(out), run_dir=expanded(run_dir) if run_dir else None)
    processes = _processes(nproc, max_restarts)
    parent = find_parent(name_of(from_run), out=runs_folder(out)) if from_run else None
    return _train(
        loaded,
        folder,
        data_folder(data),
        processes,
        progress,
        parent=parent,
        is_anonymous=asks_anonymous(anonymous),
        labels=labels,
    )


def resume(
    run: RunName,
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002  # as the command line's --set
    data: str | os.PathLike[str] | None = None,
    nproc: int | None = None,
    max_restarts: int = 0,
    out: str | os.PathLike[str] | None = None,
    trust_plugins: bool = False,
    anonymous: bool = False,
    progress: Progress = True,
) -> Result:
    """Go on with a run that was stopped, from its last checkpoint, as ``cifarzoo resume`` does.

    Args:
        run: Path of a run's folder; ``latest``; the start of a run's id; or a loaded run.
        set: Other values for ``run.checkpoint_seconds``, ``run.checkpoint_steps`` or
            ``run.keep_checkpoints``, which decide no number.
        data: Folder of the data; None: where they lay before.
        nproc: Number of processes; None: as many as before.
        max_restarts: See ``train``.
        out: Where runs are; None: ``CIFARZOO_RUNS``, or ``runs``.
        trust_plugins: Whether the plugins in its folder may be run though no run of this user's
            is known to have begun with them.
        anonymous: See ``train``; the run is so from then on.
        progress: See ``train``.

    Returns:
        The result; that of an earlier attempt if the run was finished.

    Raises:
        CifarzooError: See ``train``, which raises the same.
    """
    reopened = reopen(name_of(run), out=runs_folder(out), data=data_folder(data))
    if trust_plugins:
        reopened = reopened.trusting(_warn)
    folder = reopened.folder
    processes = _processes(nproc or folder.record.get("world_size"), max_restarts)
    config = reopened.with_bookkeeping(values=set)
    return _train(
        config,
        lambda: folder,
        reopened.data,
        processes,
        progress,
        is_anonymous=asks_anonymous(anonymous),
    )


def _train(
    config: Config,
    open_folder: OpenFolder,
    data: Path | None,
    processes: Processes,
    progress: Progress,
    *,
    parent: Parent | None = None,
    is_anonymous: bool,
    labels: Labels = UNLABELLED,
) -> Result:
    is_launched = resolve_world_size(processes.nproc, name="nproc") > 1
    listeners = listener_factory(progress, is_launched=is_launched)
    opened: list[RunFolder] = []

    def open_and_note() -> RunFolder:
        opened.append(open_folder())
        return opened[-1]

    try:
        with own_global_state():
            event = execute_config(
                config,
                open_and_note,
                data=data,
                processes=processes,
                progress=listeners,
                parent=parent,
                is_anonymous=is_anonymous,
                labels=labels,
            )
    except StoppedError as stopped:
        if stopped.signal != "SIGINT":
            raise
        how = f"; cifarzoo.resume({str(opened[-1].path)!r}) goes on" if opened else ""
        # Python's own way to end whatever loop the call stands in; ``except CifarzooError``
        # around one run of several must not swallow it.
        raise KeyboardInterrupt(f"{stopped}{how}") from stopped
    return Result.of(event)


def _tags(tags: Sequence[str]) -> tuple[str, ...]:
    if isinstance(tags, str):
        raise UsageError(f"tags is {tags!r}; expected a list, [{tags!r}]")
    return tuple(tags)


def _warn(message: str) -> None:
    print_event(WarningEvent(message=message))


def _processes(nproc: int | None, max_restarts: int) -> Processes:
    for name, value, least in (("nproc", nproc, 1), ("max_restarts", max_restarts, 0)):
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and not (is_whole and value >= least):
            raise UsageError(f"{name} is {value!r}; expected a whole number of at least {least}")
    return Processes(
        nproc=nproc,
        max_restarts=max_restarts,
        warn=_warn,
        at_second_interrupt=interrupt,
    )


def _loaded(
    config: str | os.PathLike[str] | Config,
    values: Mapping[str, Any] | None,
    plugins: Sequence[str | os.PathLike[str]],
    seed: int | None,
) -> Config:
    if values is not None and not isinstance(values, Mapping):
        raise UsageError(f"set is {values!r}; expected values by name, such as {{'run.epochs': 4}}")
    if isinstance(plugins, str | os.PathLike):
        raise UsageError(f"plugins is {str(plugins)!r}; expected a list, [{str(plugins)!r}]")
    if isinstance(config, Config):
        if plugins:
            raise UsageError("plugins go with a config that is read; a loaded one has its own")
        loaded = config.with_values(values) if values else config
    elif isinstance(config, str | os.PathLike):
        source = config if isinstance(config, str) else Path(config)
        files = [Path(plugin) for plugin in plugins]
        loaded = configs.load(source, values=values, plugins=files)
    else:
        raise UsageError(
            f"the config is of the type {type(config).__name__}; expected a path, the name of a "
            "recipe, or a config's text"
        )
    if seed is None:
        return loaded
    return loaded.with_values({"run.seed": seed}, location="seed")
