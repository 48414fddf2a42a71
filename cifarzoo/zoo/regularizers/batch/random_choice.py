"""One of several batch regularizers at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import (
    Draws,
    NonNegativeFloat,
    Regularizer,
    RegularizerFactory,
    acting_stages,
    check_settings,
)


@dataclass(frozen=True, kw_only=True)
class RandomChoice(Regularizer):
    """Gives each batch to one of its members; see ``random_choice``."""

    members: tuple[Regularizer, ...]
    ends: tuple[float, ...]

    def batch(self, images: Tensor, targets: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """What the member that was drawn makes of the batch."""
        number = float(draws.on_cpu.uniform(0.0, 1.0, per="batch")[0])
        for member, end in zip(self.members, self.ends, strict=True):
            if number < end:
                return member.batch(images, targets, draws)
        return images, targets


@register.regularizer
def random_choice(
    *,
    regularizers: Sequence[RegularizerFactory],
    probabilities: Sequence[NonNegativeFloat] | None = None,
) -> Regularizer:
    """Give each batch to one of several regularizers, drawn at random.

    timm (Wightman, 2019) so switches between mixup and CutMix, each with probability 1/2:
    ``random_choice.regularizers = [@mixup, @cutmix]``.

    Args:
        regularizers: Those to choose from, which act in the ``batch`` stage alone.
        probabilities: Probability of each, whose sum is at most 1: the rest of the batches are
            left as they are. None: all are as likely.

    Raises:
        ConfigError: A member acts elsewhere too, or the probabilities don't fit.
    """
    check_settings(random_choice, locals())
    if not regularizers:
        raise ConfigError("is empty; expected at least one", parameter="regularizers")
    members = tuple(make() for make in regularizers)
    for i, member in enumerate(members):
        stages = acting_stages(member)
        if stages != ["batch"] or member.num_views != 1:
            acts = ", ".join(stages) or "no stage"
            raise ConfigError(
                f"[{i}] acts in {acts}; expected the batch stage alone, and one view an image",
                parameter="regularizers",
            )
    chosen = probabilities or [1 / len(members)] * len(members)
    if len(chosen) != len(members) or sum(chosen) > 1 + 1e-6:
        raise ConfigError(
            f"is {list(chosen)}; expected {len(members)} numbers whose sum is at most 1",
            parameter="probabilities",
        )
    ends = [math.fsum(chosen[: i + 1]) for i in range(len(chosen))]
    if math.isclose(ends[-1], 1.0, abs_tol=1e-6):
        ends[-1] = 1.0  # no batch is left over by rounding
    return RandomChoice(members=members, ends=tuple(ends))
