"""A run taken apart: its networks, what they take, and what became of it. Nothing is changed."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from cifarzoo.api.evaluation import evaluate_reopened
from cifarzoo.api.global_state import own_global_state
from cifarzoo.api.history import History
from cifarzoo.api.identity import trained_otherwise
from cifarzoo.api.preprocess import Preprocess
from cifarzoo.api.reopening import Reopened, data_folder, reopen
from cifarzoo.api.result import Evaluation, Result
from cifarzoo.config import Config
from cifarzoo.engine.events import Event, WarningEvent
from cifarzoo.engine.runner import recorded_result
from cifarzoo.engine.trained import Trained, Weights, load_trained
from cifarzoo.errors import UsageError
from cifarzoo.escaping import visible_line
from cifarzoo.run_folders.finding import runs_folder
from cifarzoo.run_folders.predictions import Predictions, read_predictions

if TYPE_CHECKING:
    from torch import nn

    from cifarzoo.components.run import Run


class LoadedRun:
    """A run of this machine; ``cifarzoo.load_run`` makes it.

    What it has is read when it is asked for, and kept.

    Args:
        reopened: The run's folder, config and data.
    """

    def __init__(self, reopened: Reopened) -> None:
        self._reopened = reopened

    @property
    def path(self) -> Path:
        """Folder of the run."""
        return self._reopened.folder.path

    @property
    def config(self) -> Config:
        """Config of the run; ``run.config.text()`` is all that it sets."""
        return self._reopened.config

    @property
    def status(self) -> str:
        """``done``, ``stopped``, ``running``, ``failed``, ``diverged``; ``new`` before a step."""
        return str(self._reopened.folder.record.get("status", "new"))

    @property
    def result(self) -> Result:
        """What the run came to.

        Raises:
            UsageError: It isn't finished.
        """
        if self.status != "done":
            raise UsageError(
                f"{self.path} has no result: it is {self.status}; cifarzoo.resume goes on with it"
            )
        return Result.of(recorded_result(self._reopened.folder))

    @property
    def history(self) -> History:
        """What each epoch came to, as ``metrics.jsonl`` has it by now: a list of dicts."""
        return History(self._reopened.folder.metrics())

    @cached_property
    def predictions(self) -> Predictions:
        """What the network said of each test image in the last test: logits, classes, labels.

        Raises:
            UsageError: The run isn't finished, has none, or they are damaged.
        """
        return read_predictions(self._reopened.folder)

    @cached_property
    def model(self) -> nn.Module:
        """The network with the weights that were tested, averaged ones if the run averages them.

        It is on the CPU, in evaluation mode, and takes what ``preprocess`` gives.

        Raises:
            CheckpointError: There are no weights yet, or they don't fit.
        """
        return self._tested.network

    @cached_property
    def last_model(self) -> nn.Module:
        """The network with the newest weights as the optimizer left them, not averaged."""
        return self._load("last").network

    @cached_property
    def average_model(self) -> nn.Module:
        """The network with the newest averaged weights.

        Raises:
            UsageError: The run averages none.
        """
        return self._load("average").network

    @cached_property
    def best_model(self) -> nn.Module:
        """The network as it was when the error on the validation images was lowest.

        Raises:
            UsageError: The run keeps no validation images.
        """
        return self._load("best").network

    @cached_property
    def preprocess(self) -> Preprocess:
        """Makes of uint8 images, PIL images or lists of them what the network takes."""
        components = self._tested.components
        dtype = next(self.model.parameters()).dtype
        return Preprocess(
            components.augmentations,
            components.dataset.image_shape,
            dtype,
            channels_last=self._run.channels_last,
        )

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes, in the order of the network's outputs."""
        return tuple(self._tested.components.dataset.classes)

    def evaluate(
        self, *, data: str | os.PathLike[str] | None = None, weights: Weights = "tested"
    ) -> Evaluation:
        """Test weights on the test images, as ``cifarzoo eval`` does.

        Args:
            data: Folder of the data; None: where they lay in training.
            weights: ``tested``: the newest, averaged if the run averages them; ``last``: the
                newest, not averaged; ``average``: the newest average; ``best``: those of
                the lowest error on the validation images.

        Raises:
            UsageError: The run has no such weights.
            CheckpointError: There are no weights yet, or they don't fit.
            DataError: The dataset is missing, damaged or of another shape.
        """
        if weights not in get_args(Weights):
            expected = f"expected one of {', '.join(map(repr, get_args(Weights)))}"
            raise UsageError(f"weights is {weights!r}; {expected}")
        given = data_folder(data) or self._reopened.data
        with own_global_state():
            event = evaluate_reopened(
                replace(self._reopened, data=given), _warn_of, weights=weights
            )
        return Evaluation.of(event)

    def __repr__(self) -> str:
        return f"LoadedRun({str(self.path)!r}, {self.status})"

    @cached_property
    def _tested(self) -> Trained:
        return self._load("tested")

    @cached_property
    def _run(self) -> Run:
        with self.config.locating():
            return self.config.build()

    def _load(self, weights: Weights) -> Trained:
        folder = self._reopened.folder
        with own_global_state(), self.config.locating():
            run = self._run  # refused before anything is said of it
            for note in trained_otherwise(folder, self.config):
                _warn(note)
            return load_trained(
                run,
                folder,
                weights=weights,
                warn=_warn,
            )


RunName: TypeAlias = "str | os.PathLike[str] | Result | LoadedRun"


def load_run(
    run: RunName,
    *,
    data: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    trust_plugins: bool = False,
) -> LoadedRun:
    """Take a run apart: its networks, its history, what its network takes.

    Args:
        run: Path of a run's folder; ``latest``; the start of a run's id; or a result.
        data: Folder of the data, for ``evaluate``; None: where they lay in training.
        out: Where runs are; None: ``CIFARZOO_RUNS``, or ``runs``.
        trust_plugins: Whether the plugins in its folder may be run though no run of this user's
            is known to have begun with them. Only networks, ``preprocess``, ``classes`` and
            ``evaluate`` need them.

    Raises:
        UsageError: No run is called so, or more than one.
        ConfigProblemsError: Its config can't be used any more.
    """
    reopened = reopen(name_of(run), out=runs_folder(out), data=data_folder(data))
    return LoadedRun(reopened.trusting(_warn) if trust_plugins else reopened)


def evaluate(
    run: RunName,
    *,
    data: str | os.PathLike[str] | None = None,
    weights: Weights = "tested",
    out: str | os.PathLike[str] | None = None,
    trust_plugins: bool = False,
) -> Evaluation:
    """Test weights of a run on its test images, as ``cifarzoo eval`` does.

    Args:
        run: See ``load_run``.
        data: Folder of the data; None: where they lay in training.
        weights: ``tested``, ``last``, ``average`` or ``best``; see ``LoadedRun.evaluate``.
        out: Where runs are; None: ``CIFARZOO_RUNS``, or ``runs``.
        trust_plugins: See ``load_run``.

    Raises:
        UsageError: No run is called so, or more than one, or it has no such weights.
        UntrustedPluginError: It needs a plugin in its folder, which may be somebody else's code.
        CheckpointError: There are no weights yet, or they don't fit.
        DataError: The dataset is missing, damaged or of another shape.
    """
    loaded = load_run(run, data=data, out=out, trust_plugins=trust_plugins)
    return loaded.evaluate(weights=weights)


def name_of(run: Any) -> str | Path:
    """The name of a run, or the path of its folder.

    Raises:
        UsageError: It is none.
    """
    match run:
        case Result() | LoadedRun():
            return run.path
        case str():
            return run
        case os.PathLike():
            return Path(run)
    raise UsageError(
        f"the run is of the type {type(run).__name__}; expected a path, 'latest', the start of an "
        "id, or a result"
    )


def _warn_of(event: Event) -> None:
    if isinstance(event, WarningEvent):
        _warn(event.message)


def _warn(message: str) -> None:
    warnings.warn(visible_line(message), stacklevel=3)
