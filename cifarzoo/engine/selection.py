"""Which images of a batch a step trains on, by their losses when they were last trained on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from cifarzoo.data.order import Indices
from cifarzoo.engine.assembly.selection import Selector
from cifarzoo.engine.state import UNSEEN, TrainingState
from cifarzoo.engine.training import Setup, tell_norms


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a step trains on.

    Attributes:
        setup: The run's, with the sizes of this step.
        rows: Places in the global batch of the images that are trained on; None: all.
        seen: Cross-entropies (m,) of each forward pass of this rank's, as they are noted.
    """

    setup: Setup
    rows: Indices | None = None
    seen: list[Tensor] = field(default_factory=list)

    @torch.no_grad()
    def note(self, logits: Tensor, targets: Tensor) -> None:
        """Note the losses of a forward pass: logits (m, K) and class probabilities (m, K)."""
        log_probabilities = F.log_softmax(logits.detach().float(), 1)
        self.seen.append(-(log_probabilities * targets.float()).sum(1))

    def remember(self, state: TrainingState, images: Indices) -> None:
        """Keep what was noted.

        Args:
            state: State of the run.
            images: Which training images those of the batch are.
        """
        if state.losses is None:
            return
        # The views of an image follow each other.
        mine = torch.cat(self.seen).view(-1, self.setup.plan.num_views).mean(1)
        trained_on = images if self.rows is None else images[self.rows]
        state.losses[torch.tensor(trained_on)] = self.setup.world.gather(mine).flatten().cpu()


def select(setup: Setup, state: TrainingState, images: Indices) -> Selection:
    """What the step at which ``state`` stands trains on; the network's norms are told.

    Args:
        setup: Run, sizes, components, arithmetic and ranks.
        state: State of the run.
        images: Which training images those of the batch are.

    Raises:
        ConfigError: The regularizer that selects fails, or gives what can't be trained on.
    """
    if state.losses is None:
        return Selection(setup=setup)
    regularizers = setup.components.regularizers
    selector = Selector(regularizers, seed=setup.run.seed, plan=setup.plan)
    losses = state.losses[torch.tensor(images)]
    rows, sizes = selector.rows(torch.where(losses == UNSEEN, torch.inf, losses), state.step)
    tell_norms(state.model, sizes)
    of_step = replace(setup, plan=sizes)
    return Selection(setup=of_step, rows=None if rows is None else rows.numpy())
