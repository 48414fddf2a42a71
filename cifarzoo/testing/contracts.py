"""Which contracts a component has to keep, by its kind, and what is said of one that is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cifarzoo.errors import CifarzooError, ConfigError
from cifarzoo.testing import batches, capture, declaration, networks, training, updates
from cifarzoo.testing.subject import Subject

# Raises a ``CifarzooError`` that says what is wrong; the folder is empty, and its own.
Check: TypeAlias = Callable[[Subject, Path], None]


class BrokenContractError(AssertionError):
    """A component that doesn't keep a contract: which one, what it gave, what to do."""


@dataclass(frozen=True)
class Contract:
    """Something that cifarzoo relies on.

    Attributes:
        name: Name of the contract, which is that of its test.
        promise: What a component promises, in words.
        check: Function that finds out whether it does.
        trains: Whether that takes a training, and so a second.
    """

    name: str
    promise: str
    check: Check
    trains: bool = False

    def hold(self, subject: Subject, folder: Path) -> None:
        """Find out whether ``subject`` keeps the contract.

        Args:
            subject: Component that is tested.
            folder: Empty folder for runs.

        Raises:
            BrokenContractError: It doesn't.
        """
        try:
            self.check(subject, folder)
        except CifarzooError as error:
            raise BrokenContractError(self._said(subject, error)) from error

    def _said(self, subject: Subject, error: CifarzooError) -> str:
        if isinstance(error, ConfigError) and (error.location or "").startswith("--set "):
            error.location = None  # nobody has written that
        problem = str(error).removeprefix(f"{subject.name}: ")
        lines = [*problem.split("\n"), *getattr(error, "__notes__", ())]
        shown = "".join(f"\n  {line}" for line in lines)
        return f"{subject.name} breaks the contract {self.name!r}: {self.promise}{shown}"


EVERY_KIND = (
    Contract(
        "signature",
        "its settings have types, defaults of these types, and a line that says what it does",
        declaration.check_signature,
    ),
    Contract(
        "config",
        "a config can name it and set all its settings, and is the same when it is read again",
        declaration.check_config,
    ),
    Contract("training", "a run with it trains, and is tested", training.check_training, True),
    Contract(
        "resume", "a run that is resumed ends with the same bits", training.check_resume, True
    ),
    Contract("ranks", "two processes train what one does", training.check_ranks, True),
)
NOTHING_KEPT = "what it keeps from call to call is in no checkpoint: it keeps nothing"
CAPTURE = Contract(
    "capture",
    "if it says that it is capturable, steps that are captured once give what others give",
    capture.check_capture,
    True,
)
OF_KIND: dict[str, tuple[Contract, ...]] = {
    "architecture": (
        Contract("logits", "it gives logits (N, K) for any K", networks.check_logits),
        Contract("gradients", "it can be trained", networks.check_gradients),
        Contract("evaluation", "a test is the same again", networks.check_evaluation),
        Contract("sites", "its residual blocks are numbered from 1", networks.check_sites),
        CAPTURE,
    ),
    "layers": (
        Contract("shapes", "it makes layers of the sizes asked", networks.check_layers),
        CAPTURE,
    ),
    "regularizer": (
        Contract("stages", "each stage gives what the next takes", updates.check_stages),
        Contract("state", "what it keeps is in its state_dict", updates.check_optimizer_state),
        Contract("repeat", NOTHING_KEPT, batches.check_repeat),
        CAPTURE,
    ),
    "augmentation": (
        Contract("pixels", "it keeps shapes and types of images", batches.check_pixels),
        Contract("share", "an image's pixels don't depend on the ranks", batches.check_share),
        Contract("repeat", NOTHING_KEPT, batches.check_repeat),
    ),
    "loss": (
        Contract("values", "it gives finite losses and gradients", batches.check_loss),
        Contract("repeat", NOTHING_KEPT, batches.check_repeat),
        CAPTURE,
    ),
    "schedule": (
        Contract("factors", "it gives finite factors in runs of any length", updates.check_factors),
    ),
    "optimizer": (
        Contract("groups", "it goes by the settings of each group", updates.check_groups),
        Contract("state", "what it keeps is in its state_dict", updates.check_optimizer_state),
        CAPTURE,
    ),
    "dataset": (Contract("splits", "it gives uint8 images and labels", batches.check_splits),),
}


def contracts_of(kind: str) -> tuple[Contract, ...]:
    """The contracts of a kind of component, the quick ones first."""
    by_time = sorted((*EVERY_KIND, *OF_KIND[kind]), key=lambda contract: contract.trains)
    return tuple(by_time)
