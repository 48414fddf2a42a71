"""The layers of a network: what each gives, its parameters and its arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from cifarzoo.errors import CifarzooError, ConfigError, in_one_line


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A module without modules of its own, in the order in which a pass comes to it.

    Attributes:
        name: Name in the network.
        kind: Name of its class.
        output_shape: Shape of what it gives, without the batch; empty: no single tensor.
        num_parameters: Parameters of its own.
        flops: Operations of its convolutions and matrices on one image, a multiplication with its
            addition as two.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    num_parameters: int
    flops: int


@dataclass(frozen=True, kw_only=True)
class LayerTable:
    """The layers of a network, and what there is in all.

    Attributes:
        layers: Layers in the order of a pass.
        num_parameters: Parameters of the network, those included that no layer holds.
        flops: Operations of the network on one image, likewise.
    """

    layers: list[Layer]
    num_parameters: int
    flops: int


def layers_of(model: nn.Module, image_shape: tuple[int, ...]) -> LayerTable:
    """The layers of ``model`` that one image of ``image_shape`` (C, H, W) goes through.

    Args:
        model: Network, on any device, also without weights.
        image_shape: Channels, height and width of the images.

    Raises:
        ConfigError: The network doesn't take such an image.
    """
    counter = FlopCounterMode(display=False)
    found: list[Layer] = []

    def begin(_module: nn.Module, _args: Any) -> None:
        started.append(counter.get_total_flops())

    def end(module: nn.Module, _args: Any, output: Any) -> None:
        flops = counter.get_total_flops() - started.pop()
        is_tensor = isinstance(output, Tensor)
        found.append(
            Layer(
                name=names[module],
                kind=type(module).__name__,
                output_shape=tuple(output.shape[1:]) if is_tensor else (),
                num_parameters=sum(p.numel() for p in module.parameters()),
                flops=flops,
            )
        )

    started: list[int] = []
    names = {m: name for name, m in model.named_modules() if not any(m.children())}
    handles = [m.register_forward_pre_hook(begin) for m in names]
    handles += [m.register_forward_hook(end) for m in names]
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    was_training = model.training
    try:
        # Attention as products of matrices, which are counted.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            model.eval()(torch.zeros(1, *image_shape, device=device))
    except CifarzooError:
        raise
    except Exception as error:  # a plugin's network may raise anything
        raise ConfigError(f"fails on an image {image_shape}: {in_one_line(error)}") from error
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return LayerTable(
        layers=found,
        num_parameters=sum(p.numel() for p in model.parameters()),
        flops=counter.get_total_flops(),
    )
