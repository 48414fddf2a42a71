"""What a finished run, and a test of one, came to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cifarzoo.engine.events import EvaluationEvent, ResultEvent, Score


@dataclass(frozen=True, kw_only=True, repr=False)
class Result:
    """What a finished run came to: the scores of its last epoch.

    Attributes:
        path: Folder of the run.
        test: Loss and error on the test images.
        tta_test: The same on several views of each; None: no augmentation offers any.
        validation: The same on the validation images; None: none are kept.
        train_loss: Mean training loss of the last epoch's steps.
        train_seconds: Seconds of training steps, over all attempts.
        steps: Optimizer steps done.
        weights_sha256: SHA-256 (hex) of the weights that were tested.
    """

    path: Path
    test: Score
    tta_test: Score | None = None
    validation: Score | None = None
    train_loss: float
    train_seconds: float
    steps: int
    weights_sha256: str

    @classmethod
    def of(cls, event: ResultEvent) -> Self:
        """The result that the engine reported."""
        return cls(
            path=Path(event.run),
            test=event.test,
            tta_test=event.tta_test,
            validation=event.validation,
            train_loss=event.train_loss,
            train_seconds=event.train_seconds,
            steps=event.steps,
            weights_sha256=event.weights_sha256,
        )

    @property
    def test_error(self) -> float:
        """Share of the test images whose most probable class is wrong, 0 to 1."""
        return self.test.error

    @property
    def test_loss(self) -> float:
        """Mean cross-entropy on the test images, in nats."""
        return self.test.loss

    @property
    def validation_error(self) -> float | None:
        """Share of the validation images that is wrong, 0 to 1; None: none are kept."""
        return self.validation.error if self.validation else None

    @property
    def validation_loss(self) -> float | None:
        """Mean cross-entropy on the validation images, in nats; None: none are kept."""
        return self.validation.loss if self.validation else None

    def __repr__(self) -> str:
        numbers: dict[str, Any] = {"test_error": self.test_error, "test_loss": self.test_loss}
        if self.tta_test:
            numbers["tta_test_error"] = self.tta_test.error
        if self.validation:
            numbers["validation_error"] = self.validation.error
        numbers |= {"steps": self.steps}
        seconds = f"train_seconds={self.train_seconds:.1f}"
        return f"Result({_shown(numbers)}, {seconds}, path={str(self.path)!r})"


@dataclass(frozen=True, kw_only=True, repr=False)
class Evaluation:
    """How weights of a run do on the test images.

    Attributes:
        path: Folder of the run.
        test: Loss and error on the test images.
        tta_test: The same on several views of each; None: no augmentation offers any.
        test_images: Images tested on.
        step: Optimizer steps that the weights were trained for.
        steps: Optimizer steps in the run.
        weights: Name of what was tested: ``tested``, ``last``, ``average`` or ``best``.
        weights_sha256: SHA-256 (hex) of the weights that were tested.
    """

    path: Path
    test: Score
    tta_test: Score | None = None
    test_images: int
    step: int
    steps: int
    weights: str
    weights_sha256: str

    @classmethod
    def of(cls, event: EvaluationEvent) -> Self:
        """The evaluation that the engine reported."""
        return cls(
            path=Path(event.run),
            test=event.test,
            tta_test=event.tta_test,
            test_images=event.test_images,
            step=event.step,
            steps=event.steps,
            weights=event.weights,
            weights_sha256=event.weights_sha256,
        )

    @property
    def test_error(self) -> float:
        """Share of the test images whose most probable class is wrong, 0 to 1."""
        return self.test.error

    @property
    def test_loss(self) -> float:
        """Mean cross-entropy on the test images, in nats."""
        return self.test.loss

    def __repr__(self) -> str:
        numbers: dict[str, Any] = {"test_error": self.test_error, "test_loss": self.test_loss}
        if self.tta_test:
            numbers["tta_test_error"] = self.tta_test.error
        numbers |= {"test_images": self.test_images, "step": self.step, "steps": self.steps}
        return f"Evaluation({_shown(numbers)}, path={str(self.path)!r})"


def _shown(numbers: dict[str, Any]) -> str:
    return ", ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in numbers.items()
    )
