"""Classifiers of features on their way (Lee et al., 2015; arXiv:1409.5185)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import (
    Draws,
    Forward,
    NonNegativeFloat,
    Passed,
    PositiveFloat,
    Regularizer,
    check_settings,
)
from cifarzoo.zoo.regularizers.network.places import after_thirds, module_called


class Classifiers(nn.Module):
    """A linear classifier of the mean over the pixels, for each of several features.

    Args:
        channels: Channels of the features, by the name of the module that gives them.
        num_classes: K.
    """

    def __init__(self, channels: dict[str, int], num_classes: int) -> None:
        super().__init__()
        self.places = tuple(channels)
        self.heads = nn.ModuleList(nn.Linear(count, num_classes) for count in channels.values())

    def forward(self, features: dict[str, Tensor]) -> list[Tensor]:
        """Logits (m, K) of each of the features (m, C, ...), by the names of their places."""
        means = [features[place].flatten(2).mean(2) for place in self.places]
        return [head(mean) for head, mean in zip(self.heads, means, strict=True)]


def companion_loss(logits: Tensor, targets: Tensor, *, threshold: float) -> Tensor:
    """What a classifier's cross-entropy is above ``threshold``, an image (m,)."""
    return (F.cross_entropy(logits, targets, reduction="none") - threshold).clamp(min=0)


@dataclass(frozen=True, kw_only=True)
class DeepSupervision(Regularizer):
    """Adds the losses of classifiers on the way; see ``deep_supervision``."""

    modules: tuple[str, ...] | None
    weight: float
    falls: bool
    threshold: float

    def companions(
        self, network: nn.Module, num_classes: int, image_shape: tuple[int, int, int]
    ) -> nn.Module:
        """A classifier for each place."""
        places = self.modules or after_thirds(network)
        return Classifiers(channels_at(network, places, image_shape), num_classes)

    def network(
        self,
        forward: Forward,
        images: Tensor,
        targets: Tensor,
        draws: Draws,  # noqa: ARG002
    ) -> Passed:
        """The pass, and the losses of the classifiers."""
        classifiers = forward.companions
        if not isinstance(classifiers, Classifiers):
            raise AssertionError("the network was built without the classifiers")
        with kept_outputs(forward.model, classifiers.places) as features:
            logits, targets, penalty = forward(images, targets)
        guesses = classifiers(features)
        wide = images.dtype  # that of the weights, where passes may be in another
        with torch.autocast(images.device.type, enabled=False):
            losses = [
                companion_loss(guess.to(wide), targets.to(wide), threshold=self.threshold).mean()
                for guess in guesses
            ]
        share = 1 - forward.moment.progress if self.falls else 1.0
        return logits, targets, penalty + self.weight * share * torch.stack(losses).sum()


@contextmanager
def kept_outputs(network: nn.Module, places: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Within ``with``, what the modules of these names give is kept, by their names."""
    outputs: dict[str, Tensor] = {}
    handles = []
    try:
        for place in places:

            def keep(_module: nn.Module, _args: object, output: Tensor, at: str = place) -> None:
                outputs[at] = output

            handles.append(module_called(network, place).register_forward_hook(keep))
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def channels_at(
    network: nn.Module, places: Sequence[str], image_shape: tuple[int, int, int]
) -> dict[str, int]:
    """Channels of what the modules of these names give for images (C, H, W), by their names.

    Raises:
        ConfigError: There is no such module, or it gives no features (N, C, ...).
    """
    device = next((p.device for p in network.parameters()), None)
    was_training = network.training
    with kept_outputs(network, places) as outputs, torch.no_grad():
        network.eval()(torch.zeros(1, *image_shape, device=device))
        network.train(was_training)
    for place in places:
        output = outputs.get(place)
        if not isinstance(output, Tensor) or output.ndim < 2:
            given = "isn't called" if output is None else "gives no features (N, C, H, W)"
            raise ConfigError(f"has {place!r}, which {given}", parameter="modules")
    return {place: outputs[place].shape[1] for place in places}


@register.regularizer
def deep_supervision(
    *,
    modules: Sequence[str] | None = None,
    weight: PositiveFloat = 0.3,
    falls: bool = True,
    threshold: NonNegativeFloat = 0.0,
) -> Regularizer:
    """Have features on their way tell the classes too, each by a classifier that tests don't have.

    Deeply-Supervised Nets (Lee et al., 2015; arXiv:1409.5185), equation 3: the loss of each
    companion classifier, as far as it is above ``threshold``, with a weight that falls to 0.

    Args:
        modules: Names of the modules after which a classifier stands; None: after a third and two
            thirds of the network's ``blocks``.
        weight: Factor on the sum of the classifiers' losses, above 0; GoogLeNet's 0.3.
        falls: Whether the factor falls, from ``weight`` at the start to 0 at the end of the run, as
            the paper's alpha does.
        threshold: Loss of an image that a classifier needn't go below, at least 0; the paper's
            gamma.

    Raises:
        ConfigError: A number is out of its range, or the network has no such module.

    Differs from the paper: cross-entropy of the mean over the pixels, where that has a squared
    hinge loss of all pixels; the threshold is an image's; classifiers are decayed as all else is.
    With ``manifold_mixup`` they see the targets of what is mixed behind them.
    """
    check_settings(deep_supervision, locals())
    if modules is not None and not modules:
        raise ConfigError("is empty; expected names, or None", parameter="modules")
    return DeepSupervision(
        modules=None if modules is None else tuple(dict.fromkeys(modules)),
        weight=weight,
        falls=falls,
        threshold=threshold,
    )
