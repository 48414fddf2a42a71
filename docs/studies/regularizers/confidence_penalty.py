"""A plugin: a penalty on confident outputs."""

from dataclasses import dataclass

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Loss, Regularizer


@dataclass(frozen=True)
class ConfidencePenalty(Regularizer):
    beta: float

    def loss(self, loss: Loss) -> Loss:
        def penalised(logits, targets):
            log_p = logits.log_softmax(1)
            entropy = -(log_p.exp() * log_p).sum(1).mean()
            return loss(logits, targets) - self.beta * entropy

        return penalised


@register.regularizer
def confidence_penalty(*, beta: float = 0.1) -> Regularizer:
    """Reward outputs of high entropy (Pereyra et al., 2017; arXiv:1701.06548)."""
    if not beta >= 0:
        raise ConfigError(f"is {beta!r}; expected a number of at least 0", parameter="beta")
    return ConfidencePenalty(beta)
