"""The layers of a network in their order, and how much more slowly the earlier ones learn.

A layer is an element of the network's list of blocks, or of a group of such: a residual block, a
dense layer, a half of a transformer's layer. What is registered before the list, such as the stem,
is the layer before the first, and what is registered behind it, such as the classifier, the last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from torch import nn

from cifarzoo.components.hooks import SupportsLayerOrder
from cifarzoo.errors import ConfigError

LISTS = (nn.Sequential, nn.ModuleList)
# What such a list is called in cifarzoo, timm and torchvision; some count theirs: layer1, layer2.
NAMES = ("blocks", "groups", "body", "stages", "features", "layers")
NUMBERED = re.compile(r"layer\d+")


def layer_scales(model: nn.Module, decay: float) -> dict[str, float]:
    """Factors ``decay**(L - l)`` on the rates of the parameters of layer l, of L the last.

    Args:
        model: Any network.
        decay: Factor from a layer to the one before it.

    Returns:
        Factors by the names of all parameters.

    Raises:
        ConfigError: The layers of the network have no order.
    """
    numbers = layer_numbers(model)
    last = max(numbers.values())
    return {name: decay ** (last - number) for name, number in numbers.items()}


def layer_numbers(model: nn.Module) -> dict[str, int]:
    """The number of the layer that each parameter belongs to, by name; that of the stem is 0.

    Raises:
        ConfigError: The layers of the network have no order.
    """
    layers = [parameters for layer in _layers(model) if (parameters := _parameters(*layer))]
    if not layers:
        raise ConfigError(
            f"is for networks of layers in order, and {type(model).__name__} has no list of blocks "
            f"({', '.join(NAMES)}, layer1 …); expected 1, or a network that has layers_in_order()",
            parameter="layer_decay",
        )
    number_of = {
        id(parameter): number
        for number, parameters in enumerate(layers, start=1)
        for parameter in parameters
    }
    found: dict[str, int] = {}
    is_behind = False
    for name, parameter in model.named_parameters():
        number = number_of.get(id(parameter))
        if number is None:
            number = len(layers) + 1 if is_behind else 0
        is_behind = is_behind or number == len(layers)
        found[name] = number
    return found


def _layers(model: nn.Module) -> Iterable[Sequence[nn.Module]]:
    """The modules of each layer."""
    if isinstance(model, SupportsLayerOrder):
        return [[layer] for layer in model.layers_in_order()]
    for name in NAMES:
        if isinstance(blocks := getattr(model, name, None), LISTS):
            return _blocks(blocks)
    numbered = [child for name, child in model.named_children() if NUMBERED.fullmatch(name)]
    if len(numbered) > 1:
        return _blocks(nn.ModuleList(numbered))
    return [[layer] for layer in model] if isinstance(model, LISTS) else []


def _blocks(blocks: nn.Module) -> Iterator[Sequence[nn.Module]]:
    """The elements of a list, those of groups of blocks in the place of the groups.

    What a group has between its blocks, such as a norm and a convolution that halve the images, is
    one layer.
    """
    for is_plain, elements in groupby(blocks.children(), key=_is_plain):
        if is_plain:
            yield [*elements]
            continue
        for element in elements:
            yield from _blocks(element) if _is_group(element) else [[element]]


def _is_group(element: nn.Module) -> bool:
    """Whether it is a list of blocks, and not a block that is written as a list of its parts.

    Parts are convolutions, or these with their norms: lists again.
    """
    inner = [child for child in element.children() if _parameters(child)]
    parts = [child for child in inner if not _is_plain(child)]
    is_whole = len(parts) == len(inner) or not any(isinstance(each, LISTS) for each in parts)
    return isinstance(element, LISTS) and bool(parts) and is_whole


def _is_plain(module: nn.Module) -> bool:
    return not any(True for _ in module.children())


def _parameters(*modules: nn.Module) -> list[nn.Parameter]:
    return [parameter for module in modules for parameter in module.parameters()]
