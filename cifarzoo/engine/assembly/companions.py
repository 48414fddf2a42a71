"""Modules that regularizers train beside the network, and which its forward pass doesn't call.

They are in the network's tree under a name of their own, so that all that goes through its
parameters (optimizers, policies of weight decay, averages, checkpoints, the exchange of gradients)
has them too, and a network without any is as it always was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from cifarzoo.components.hooks import SupportsCompanions
from cifarzoo.components.regularizers import Regularizer
from cifarzoo.engine.assembly.failures import failed, own_lines, unfit
from cifarzoo.errors import ConfigError
from cifarzoo.randomness.gates import Counts, built_apart, next_owner, own_dropouts

NAME = "companions"  # in the network, and so in its state dict
NO_SITE = 0  # residual blocks count from 1


class Companions(nn.Module):
    """The modules by the names of their regularizers; an identity where a network calls it.

    A network that is an ``nn.Sequential`` itself calls whatever it has.
    """

    def forward(self, x: Tensor) -> Tensor:
        """What it was given."""
        return x


def add_companions(
    network: nn.Module,
    regularizers: Mapping[str, Regularizer],
    *,
    num_classes: int,
    image_shape: tuple[int, int, int],
) -> None:
    """Put what ``regularizers`` train beside ``network`` into its tree, if they do.

    Args:
        network: Network, which is changed.
        regularizers: Those of the run, by name.
        num_classes: K.
        image_shape: Shape of an image (C, H, W).

    Raises:
        ConfigError: One gives something else, or doesn't fit the network.
    """
    owners = {name: r for name, r in regularizers.items() if isinstance(r, SupportsCompanions)}
    made: dict[str, nn.Module] = {}
    counts = Counts()
    for name, regularizer in owners.items():
        with built_apart(next_owner(name, NO_SITE, counts)):
            given = _given(name, regularizer, network, num_classes, image_shape)
        own_dropouts(given, name, NO_SITE, counts)
        made[name] = given
    if not made:
        return
    if hasattr(network, NAME):
        raise ConfigError(
            f"has {next(iter(made))}, whose modules would be the network's {NAME}, and it has an "
            "attribute of that name",
            parameter="regularizers",
        )
    network.add_module(NAME, Companions())
    for name, module in made.items():
        network.get_submodule(NAME).add_module(name, module)


def companions_of(network: nn.Module, name: str) -> nn.Module | None:
    """What the regularizer called ``name`` trains beside ``network``; None: nothing."""
    all_of_them = getattr(network, NAME, None)
    if not isinstance(all_of_them, Companions):
        return None
    return dict(all_of_them.named_children()).get(name)


def remove_companions(network: nn.Module) -> None:
    """Leave ``network`` with what its forward pass calls."""
    if isinstance(getattr(network, NAME, None), Companions):
        delattr(network, NAME)


def _given(
    name: str,
    regularizer: SupportsCompanions,
    network: nn.Module,
    num_classes: int,
    image_shape: tuple[int, int, int],
) -> nn.Module:
    try:
        given: Any = regularizer.companions(network, num_classes, image_shape)
    except ConfigError as error:
        error.component = error.component or name.partition("#")[0]
        raise
    except Exception as error:
        if not own_lines(error):
            raise
        raise failed(name, "when its companions are made", error) from error
    if not isinstance(given, nn.Module):
        raise unfit(name, f"gives the companions {given!r}; expected a torch.nn.Module")
    return given
