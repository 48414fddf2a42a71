"""The consistency loss of AugMix: what is said of the views of an image should agree."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Draws, Forward, Passed, PositiveFloat, Regularizer, check_settings


def jensen_shannon(logits: Tensor) -> Tensor:
    """``(KL[p_1, M] + ... + KL[p_V, M]) / V`` with M the mean of the p, on average over images.

    Args:
        logits: Logits (N, V, K) of V views of each image; p_v is their softmax.
    """
    log_p = logits.log_softmax(2)
    log_mean = log_p.logsumexp(1, keepdim=True) - math.log(logits.shape[1])
    apart = F.kl_div(log_mean.expand_as(log_p), log_p, reduction="none", log_target=True)
    return apart.sum(2).mean()


@dataclass(frozen=True, kw_only=True)
class JensenShannon(Regularizer):
    """Adds ``jensen_shannon`` of an image's views; see ``jsd``."""

    capturable: ClassVar[bool] = True
    weight: float

    def network(
        self,
        forward: Forward,
        images: Tensor,
        targets: Tensor,
        draws: Draws,  # noqa: ARG002
    ) -> Passed:
        """The pass, whose loss is that of the first views, and the penalty."""
        if forward.num_views < 2:
            raise ConfigError(
                "compares views of an image, and there is one; set augmix.num_views = 3, or list "
                "something else that gives several"
            )
        logits, targets, penalty = forward(images, targets)
        with torch.autocast(images.device.type, enabled=False):
            wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
            apart = jensen_shannon(by_image(wide, forward.num_views))
        # As many rows as there were: a weighted loss has weights for each.
        firsts = [first_views(rows, forward.num_views) for rows in (logits, targets)]
        return firsts[0], firsts[1], penalty + self.weight * apart


def by_image(rows: Tensor, num_views: int) -> Tensor:
    """The rows (N * V, ...) of the views of images as (N, V, ...)."""
    return rows.reshape(-1, num_views, *rows.shape[1:])


def first_views(rows: Tensor, num_views: int) -> Tensor:
    """Of rows (N * V, ...) those of each image's first view in the place of all of its views."""
    views = by_image(rows, num_views)
    return views[:, :1].expand_as(views).flatten(0, 1)


@register.regularizer
def jsd(*, weight: PositiveFloat = 12.0) -> Regularizer:
    """Ask for the same answer on all views of an image, of which the first alone has a label.

    The Jensen-Shannon divergence consistency loss of AugMix (Hendrycks et al., 2020;
    arXiv:1912.02781), section 3: the run's loss of the image as it is, and ``weight`` times the
    divergence of the softmax on its views, which ``augmix.num_views = 3`` gives.

    Args:
        weight: Factor on the divergence, above 0; the paper's lambda, 12.

    Raises:
        ConfigError: ``weight`` is out of its range; or there is one view of an image.
    """
    check_settings(jsd, locals())
    return JensenShannon(weight=weight)
