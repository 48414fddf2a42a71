"""Manifold mixup (Verma et al., 2019; arXiv:1806.05236)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import (
    Draws,
    Forward,
    Passed,
    PositiveFloat,
    Regularizer,
    check_settings,
)
from cifarzoo.zoo.regularizers.network.places import after_thirds, module_called

IMAGES = ""  # in the place of a module's name


def mixed(values: Tensor, share: Tensor) -> Tensor:
    """Rows mixed with their neighbours: 0 with 1, 2 with 3; an odd last one stays as it is.

    Args:
        values: Images, features or targets (m, ...).
        share: Share of the row itself (m,).
    """
    rows = torch.arange(len(values), device=values.device)
    neighbour = (rows ^ 1).clamp(max=len(values) - 1)
    kept = share.to(values.dtype).view(-1, *[1] * (values.ndim - 1))
    return kept * values + (1 - kept) * values[neighbour]


def _mix_output(share: Tensor, _module: nn.Module, _args: Any, output: Tensor) -> Tensor:
    return mixed(output, share)


@dataclass(frozen=True, kw_only=True)
class ManifoldMixup(Regularizer):
    """Mixes neighbours at a place that is drawn; see ``manifold_mixup``."""

    alpha: float
    modules: tuple[str, ...] | None

    def network(self, forward: Forward, images: Tensor, targets: Tensor, draws: Draws) -> Passed:
        """The pass, mixed at one of the places."""
        places = self.modules or (IMAGES, *after_thirds(forward.model))
        place = places[int(draws.on_cpu.integers(len(places), per="batch")[0])]
        share = draws.beta(self.alpha, self.alpha, per="batch")
        if place == IMAGES:
            logits, aims, penalty = forward(mixed(images, share), targets)
        else:
            hook = partial(_mix_output, share)
            handle = module_called(forward.model, place).register_forward_hook(hook)
            try:
                logits, aims, penalty = forward(images, targets)
            finally:
                handle.remove()
        return logits, mixed(aims, share), penalty


@register.regularizer
def manifold_mixup(
    *, alpha: PositiveFloat = 2.0, modules: Sequence[str] | None = None
) -> Regularizer:
    """Mix the features of pairs of images, in a layer that is drawn anew, and their targets.

    Manifold Mixup (Verma et al., 2019; arXiv:1806.05236), section 2. Each pass draws a place and a
    weight; pairs are the rows 2i and 2i + 1 of the batch, whose order is random.

    Args:
        alpha: The weight is drawn from Beta(alpha, alpha); above 0. The paper has 2 on CIFAR.
        modules: Names of the modules after which features are mixed, one of which is drawn;
            ``''`` are the images. None: the images, and after a third and two thirds of the
            network's ``blocks``, as the paper has for its ResNets.

    Raises:
        ConfigError: ``alpha`` isn't a positive number, or there is no such module.

    Differs from the paper: partners are neighbours and not a permutation of the batch.
    """
    check_settings(manifold_mixup, locals())
    if modules is not None and not modules:
        raise ConfigError("is empty; expected names, or None", parameter="modules")
    return ManifoldMixup(alpha=alpha, modules=None if modules is None else tuple(modules))
