"""What training reports, as frozen records, and their one way to JSON.

``to_json`` makes the lines of ``--json`` and of ``metrics.jsonl`` and the numbers of
``run.json``: their names and their order are what scripts read. Listeners receive the records and
can change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, ClassVar, Self, TypeAlias


@dataclass(frozen=True)
class Score:
    """How well a network does on a split.

    Attributes:
        loss: Mean cross-entropy, in nats.
        error: Share of images whose most probable class is wrong.
    """

    loss: float
    error: float

    @property
    def is_finite(self) -> bool:
        """Whether the network gave numbers: where it doesn't, the error says nothing."""
        return math.isfinite(self.loss)


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What is learned from.

    Attributes:
        dataset: Title of the dataset.
        train_images: Images trained on.
        validation_images: Images kept for validation.
        test_images: Images tested on.
    """

    dataset: str
    train_images: int
    validation_images: int
    test_images: int


@dataclass(frozen=True, kw_only=True)
class NetworkFacts:
    """What is trained.

    Attributes:
        num_parameters: Values of the network's parameters.
        weight_decay: Which of the parameters are decayed, in words.
    """

    num_parameters: int
    weight_decay: str


@dataclass(frozen=True, kw_only=True)
class LengthFacts:
    """How long it is trained, and from which seed.

    Attributes:
        epochs: Passes over the training images.
        steps: Optimizer steps in the run.
        steps_per_epoch: Optimizer steps in an epoch.
        batch_size: Images an optimizer step, over all ranks.
        seed: Seed of the run.
    """

    epochs: int
    steps: int
    steps_per_epoch: int
    batch_size: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class HardwareFacts:
    """Where it is trained, and in which arithmetic.

    Attributes:
        device: Device of rank 0, such as ``cpu``.
        world_size: Number of ranks.
        precision: Precision and layout, in words.
        kernels: Whose kernels layers use, in words.
    """

    device: str
    world_size: int
    precision: str
    kernels: str


@dataclass(frozen=True, kw_only=True)
class StartEvent:
    """A run begins, or goes on.

    Attributes:
        run: Path of the run's folder.
        name: Name of the config.
        data: Dataset and numbers of images.
        network: Size of the network, and its weight decay.
        length: Length of the training, and its seed.
        hardware: Device, ranks and arithmetic.
    """

    kind: ClassVar[str] = "start"
    run: str
    name: str
    data: DataFacts
    network: NetworkFacts
    length: LengthFacts
    hardware: HardwareFacts


@dataclass(frozen=True, kw_only=True)
class ResumedEvent:
    """A run goes on from its newest checkpoint.

    Attributes:
        run: Path of the run's folder.
        step: Optimizer steps done.
        steps: Optimizer steps in the run.
        epoch: Epochs done, in fractions.
        restart: How many times a launcher has started all ranks again; None: never.
        max_restarts: How many times it may.
    """

    kind: ClassVar[str] = "resumed"
    run: str
    step: int
    steps: int
    epoch: float
    restart: int | None = None
    max_restarts: int | None = None


@dataclass(frozen=True, kw_only=True)
class BranchedEvent:
    """A run begins at a checkpoint of another one, by its own schedule.

    Attributes:
        run: Path of the run's folder.
        parent: Path of the other run's folder.
        step: Optimizer steps done there.
        steps: Optimizer steps in the run, those included.
        epoch: Epochs done, in fractions.
        lr_before: Learning rate of the last step there.
        lr: Learning rate of the first step here.
    """

    kind: ClassVar[str] = "branched"
    run: str
    parent: str
    step: int
    steps: int
    epoch: float
    lr_before: float
    lr: float

    @property
    def message(self) -> str:
        """It all on one line."""
        return (
            f"from step {self.step:,} of {self.parent}, by this run's own schedule of "
            f"{self.steps:,} steps: learning rate {self.lr_before:.3g} before, {self.lr:.3g} from "
            "here on"
        )


@dataclass(frozen=True, kw_only=True)
class CompiledEvent:
    """The first step of a compiled network was done.

    Attributes:
        seconds: Seconds that it took, nearly all of them for compiling.
    """

    kind: ClassVar[str] = "compiled"
    seconds: float


@dataclass(frozen=True, kw_only=True)
class StatisticsEvent:
    """Running statistics were computed for averaged weights that are then tested.

    Attributes:
        images: Training images that they were computed from.
        seconds: Seconds that it took, which are no training time.
    """

    kind: ClassVar[str] = "statistics"
    images: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class StepEvent:
    """An optimizer step was done; reported a few times a second.

    Attributes:
        step: Optimizer steps done.
        steps: Optimizer steps in the run.
        epoch: Epochs done, in fractions.
        loss: Mean training loss of the epoch so far.
        step_loss: Training loss of the newest step.
        lr: Learning rate of the first group of parameters.
        images_per_second: Training speed of the epoch so far.
        eta_seconds: Seconds of training that are left; None: not known yet.
    """

    kind: ClassVar[str] = "step"
    step: int
    steps: int
    epoch: float
    loss: float
    step_loss: float
    lr: float
    images_per_second: float
    eta_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast an epoch was trained.

    Attributes:
        images_per_second: Training images a second.
        seconds: Seconds of its training steps.
    """

    images_per_second: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class EpochEvent:
    """An epoch was trained and tested; a line of ``metrics.jsonl``.

    Attributes:
        epoch: Epochs done.
        epochs: Epochs in the run.
        step: Optimizer steps done.
        train_loss: Mean training loss of the epoch's steps.
        test: Score on the test images.
        lr: Learning rate of the epoch's last step.
        speed: How fast it was trained.
        tta_test: Score on several views of the test images; None: not tested so.
        validation: Score on the validation images; None: none are kept.
    """

    kind: ClassVar[str] = "epoch"
    epoch: int
    epochs: int
    step: int
    train_loss: float
    test: Score
    lr: float
    speed: Speed
    tta_test: Score | None = None
    validation: Score | None = None

    @property
    def tests(self) -> dict[str, Score]:
        """Its scores, by the name of the images in words."""
        return named_scores(self.test, self.tta_test, self.validation)


@dataclass(frozen=True, kw_only=True)
class CheckpointEvent:
    """A checkpoint was written.

    Attributes:
        step: Optimizer steps done.
        seconds: Seconds that writing it took.
    """

    kind: ClassVar[str] = "checkpoint"
    step: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class WarningEvent:
    """Something that the user should know and that stops nothing.

    Attributes:
        message: What to know, on one line.
    """

    kind: ClassVar[str] = "warning"
    message: str


@dataclass(frozen=True, kw_only=True)
class StoppedEvent:
    """A signal stopped the run, and a checkpoint was saved.

    Attributes:
        run: Path of the run's folder.
        step: Optimizer steps done.
        signal: Name of the signal.
    """

    kind: ClassVar[str] = "stopped"
    run: str
    step: int
    signal: str


@dataclass(frozen=True, kw_only=True)
class FinishedEvent:
    """The run was finished by an earlier attempt: nothing is trained.

    Attributes:
        run: Path of the run's folder.
    """

    kind: ClassVar[str] = "finished"
    run: str


@dataclass(frozen=True, kw_only=True)
class ResultEvent:
    """What a finished run came to: the scores of its last epoch.

    Attributes:
        run: Path of the run's folder.
        test: Score on the test images.
        tta_test: Score on several views of the test images; None: not tested so.
        validation: Score on the validation images; None: none are kept.
        train_loss: Mean training loss of the last epoch's steps.
        train_seconds: Seconds of training steps, over all attempts.
        steps: Optimizer steps done.
        weights_sha256: SHA-256 (hex) of the weights that were tested.
    """

    kind: ClassVar[str] = "result"
    run: str
    test: Score
    tta_test: Score | None = None
    validation: Score | None = None
    train_loss: float
    train_seconds: float
    steps: int
    weights_sha256: str

    @property
    def tests(self) -> dict[str, Score]:
        """Its scores, by the name of the images in words."""
        return named_scores(self.test, self.tta_test, self.validation)

    @classmethod
    def from_record(cls, run: str, record: Mapping[str, Any]) -> Self:
        """The result that ``run.json`` of a finished run holds.

        Args:
            run: Path of the run's folder.
            record: Entries of its ``run.json``.

        Raises:
            KeyError: One of the entries isn't there.
        """
        test = score_in(record, "test")
        if test is None:
            raise KeyError("test_error")
        return cls(
            run=run,
            test=test,
            tta_test=score_in(record, "tta_test"),
            validation=score_in(record, "validation"),
            train_loss=record["train_loss"],
            train_seconds=record["train_seconds"],
            steps=record["steps"],
            weights_sha256=record["weights_sha256"],
        )


@dataclass(frozen=True, kw_only=True)
class EvaluationEvent:
    """Weights of a run were tested.

    Attributes:
        run: Path of the run's folder.
        step: Optimizer steps that the weights were trained for.
        steps: Optimizer steps in the run.
        test: Score on the test images.
        tta_test: Score on several views of the test images; None: not tested so.
        test_images: Images tested on.
        weights: Name of what was tested: ``tested``, as training tests; ``last``, ``average`` or
            ``best``.
        weights_sha256: SHA-256 (hex) of the weights that were tested.
        data_sha256: SHA-256 (hex) of the images and labels of the dataset.
        is_data_of_training: Whether that is what the run was trained on; None: not known.
    """

    kind: ClassVar[str] = "eval"
    run: str
    step: int
    steps: int
    test: Score
    tta_test: Score | None = None
    test_images: int
    weights: str
    weights_sha256: str
    data_sha256: str
    is_data_of_training: bool | None = None


Event: TypeAlias = (
    StartEvent
    | ResumedEvent
    | BranchedEvent
    | CompiledEvent
    | StatisticsEvent
    | StepEvent
    | EpochEvent
    | CheckpointEvent
    | WarningEvent
    | StoppedEvent
    | FinishedEvent
    | ResultEvent
    | EvaluationEvent
)
Listener: TypeAlias = Callable[[Event], None]


def to_json(event: Event) -> dict[str, Any]:
    """The entries of ``event`` for JSON, its kind first, as ``event``.

    A score of the field ``test`` is ``test_loss`` and ``test_error``, other groups are spread
    out, and what an event may be without is left out where it isn't there.
    """
    return {"event": event.kind, **_entries(event)}


def numbers_of(event: Event) -> dict[str, Any]:
    """``to_json`` without the event's kind, for ``run.json``."""
    return _entries(event)


def score_in(entries: Mapping[str, Any], name: str) -> Score | None:
    """The score that ``to_json`` wrote of the field ``name``; None: there is none.

    A loss that wasn't finite was written as null, and is NaN again.
    """
    if entries.get(f"{name}_error") is None:
        return None
    loss = entries.get(f"{name}_loss")
    return Score(math.nan if loss is None else loss, entries[f"{name}_error"])


def named_scores(test: Score, tta_test: Score | None, validation: Score | None) -> dict[str, Score]:
    """Those of the scores that there are, by the name of their images in words."""
    named = {"test images": test, "views of test images": tta_test, "validation images": validation}
    return {name: score for name, score in named.items() if score is not None}


def ignore_event(_event: Event) -> None:
    """The listener of every rank but the first."""


def emit_to_all(listeners: Sequence[Listener]) -> Listener:
    """One listener that passes events on to all of ``listeners``.

    One that cannot write, to a full disk or a pipe that nobody reads, is no reason to stop: it
    is asked again, and the others are warned once.
    """
    failed: list[Listener] = []

    def emit(event: Event) -> None:
        for listener in listeners:
            try:
                listener(event)
            except OSError as error:
                if listener not in failed:
                    failed.append(listener)
                    emit(WarningEvent(message=f"progress is lost: {error.strerror}"))

    return emit


def _entries(part: Any) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for field in fields(part):
        value = getattr(part, field.name)
        if isinstance(value, Score):
            entries |= {f"{field.name}_loss": value.loss, f"{field.name}_error": value.error}
        elif is_dataclass(value):
            entries |= _entries(value)
        elif value is not None or field.default is MISSING:
            entries[field.name] = value
    return entries
