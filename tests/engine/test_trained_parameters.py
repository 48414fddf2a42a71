"""Parameters that are trained for a part of a run, by their ``requires_grad``."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cifarzoo.engine.assembly.build import build
from cifarzoo.engine.runner import execute
from cifarzoo.errors import CifarzooError, ConfigError
from cifarzoo.protocols import Timestamp
from tests.tiny import tiny_task

UNFROZEN_AT = 3


class Probe(nn.Module):
    """A classifier on a body that is trained from the fourth step on."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.body, self.out = nn.Conv2d(3, 4, 4, 4), nn.Linear(4, num_classes)

    def begin_step(self, timestamp: Timestamp) -> None:
        self.body.requires_grad_(timestamp.step >= UNFROZEN_AT)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.body(x).relu().mean((2, 3)))


class BornFrozen(Probe):
    """The same, frozen by its constructor."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.body.requires_grad_(False)


class Late(BornFrozen):
    """Says only in training, and not by the timestamp, that its body will be trained."""

    def begin_step(self, timestamp: Timestamp) -> None:
        self.body.requires_grad_(self.out.weight.grad is not None and timestamp.step > 1)


class Ending(Probe):
    """Is frozen as a whole in the end."""

    def begin_step(self, timestamp: Timestamp) -> None:
        self.requires_grad_(timestamp.step < UNFROZEN_AT)


class Failing(BornFrozen):
    """Can't say what is trained before it was."""

    def begin_step(self, _timestamp: Timestamp) -> None:
        self.body.requires_grad_(bool(self.out.weight.grad.isfinite().all()))


def weights(task) -> dict[str, Tensor]:
    newest = max(task.open_folder().checkpoints.iterdir())
    return torch.load(newest / "state.pt", weights_only=True)["model"]


def test_it_does_not_matter_who_froze_what_is_trained_later(tmp_path):
    trained = {}
    for network in (Probe, BornFrozen):
        for steps in (UNFROZEN_AT, UNFROZEN_AT + 3):
            task = tiny_task(
                tmp_path, f"{network.__name__}{steps}", architecture=network, max_steps=steps
            )
            execute(task)
            trained[network, steps] = weights(task)

    for steps in (UNFROZEN_AT, UNFROZEN_AT + 3):
        torch.testing.assert_close(
            trained[BornFrozen, steps], trained[Probe, steps], rtol=0, atol=0
        )
    first = build(
        tiny_task(tmp_path, "none", architecture=Probe).run, folder=None
    ).model.state_dict()
    before, after = (trained[Probe, steps] for steps in (UNFROZEN_AT, UNFROZEN_AT + 3))
    assert torch.equal(before["body.weight"], first["body.weight"])
    assert not torch.equal(before["body.weight"], after["body.weight"])


@pytest.mark.parametrize(
    ("network", "error", "message"),
    [
        (Late, CifarzooError, "body.weight is trained from step 3 on, and the optimizer doesn't"),
        (Ending, CifarzooError, r"begin_step froze every parameter .* in step 4; leave one"),
        (Failing, ConfigError, r"fails in Failing.begin_step at Timestamp.*'isfinite'"),
    ],
)
def test_what_would_be_trained_wrongly_is_refused_in_words(tmp_path, network, error, message):
    with pytest.raises(error, match=message):
        execute(tiny_task(tmp_path, architecture=network))
