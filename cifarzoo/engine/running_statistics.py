"""Running statistics of averaged weights, computed anew from training images.

BatchNorm's running statistics are of the weights that were trained, and averaged weights give
other features. Here they are a function of the weights and the images alone: batches in a fixed
order, nothing in training mode but the norms, sums in float64 in the batches' order. So they are
the same on any number of ranks, and in a run that was resumed.
"""

from __future__ import annotations

import copy
import math
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cifarzoo.components.hooks import recomputes_statistics
from cifarzoo.components.regularizers import Average
from cifarzoo.data.order import Indices
from cifarzoo.data.store import ImageStore
from cifarzoo.engine.batches import prepare_for_evaluation
from cifarzoo.engine.device.precision import Scaler
from cifarzoo.engine.events import Listener, StatisticsEvent
from cifarzoo.engine.training import Setup
from cifarzoo.layers.batch_norm import Grouped, batch_norm
from cifarzoo.layers.norms import batch_norms, disobedient, replace_batch_norm
from cifarzoo.randomness.keys import generator

BATCH_SIZE = 256  # the most images that share statistics here, whatever the run's groups are
EPOCH_IMAGES = 5000  # of an epoch's test that chooses nothing


def are_recomputed(average: Average) -> bool:
    """Whether the running statistics of an average must be computed before it is tested."""
    tracks = (norm.running_mean is not None for norm in batch_norms(average.module))
    return recomputes_statistics(average) and any(tracks)


def warnings_of(average: Average) -> list[str]:
    """What isn't computed anew though the average needs it, in a line; none: all is."""
    if not are_recomputed(average):
        return []
    names = ", ".join(name for name, _ in disobedient(average.module))
    return [
        f"{names}: running statistics can't be computed for averaged weights, since the module "
        "doesn't take them by F.batch_norm; those of the trained weights are tested with"
    ] * bool(names)


@torch.no_grad()
def recomputed(
    setup: Setup,
    network: nn.Module,
    scaler: Scaler,
    store: ImageStore,
    *,
    num_images: int,
    emit: Listener,
) -> nn.Module:
    """A copy of a network whose running statistics are of its own weights.

    They are the means over batches of each batch's mean and variance, as
    ``torch.optim.swa_utils.update_bn`` has them.

    Args:
        setup: Run, components, arithmetic and ranks, which share the batches out.
        network: The averaged network, which stays as it is.
        scaler: The arithmetic of forward passes.
        store: The training images.
        num_images: How many of them are used; they are chosen at random, and always alike.
        emit: Told how long it took.
    """
    started = time.monotonic()
    network = copy.deepcopy(network)
    collectors = [_Collector(norm) for norm in _in_training(network)]
    batches, world = fixed_batches(len(store), num_images), setup.world
    num_numbers = sum(2 * collector.norm.num_features for collector in collectors)
    rows = torch.zeros(
        math.ceil(len(batches) / world.size), num_numbers, dtype=torch.float64, device=world.device
    )
    for row, batch in zip(rows, batches[world.rank :: world.size], strict=False):
        images, _ = store.batch(batch)
        scaler.forward(network, prepare_for_evaluation(setup.components.augmentations, images))
        row.copy_(torch.cat([torch.empty(0), *(c.taken() for c in collectors)]))
    # Of rank r, row i is batch i * world_size + r.
    in_order = world.gather(rows).transpose(0, 1).flatten(0, 1)[: len(batches)]
    sizes = torch.tensor([len(batch) for batch in batches], dtype=torch.float64)
    means = (in_order * (sizes / sizes.sum())[:, None].to(world.device)).sum(0)
    parts = torch.split(means, [2 * collector.norm.num_features for collector in collectors])
    for collector, part in zip(collectors, parts, strict=True):
        collector.end(part)
    emit(StatisticsEvent(images=num_images, seconds=time.monotonic() - started))
    return network


def fixed_batches(num_all: int, num_images: int) -> list[Indices]:
    """Batches of nearly equal size: a random choice and order that is always the same.

    In the dataset's own order a batch might have a single class.
    """
    order = generator(0, "running statistics").permutation(num_all)[:num_images]
    return list(np.array_split(order, math.ceil(len(order) / BATCH_SIZE)))


def _in_training(network: nn.Module) -> list[Grouped]:
    """The norms with statistics, which alone are in training mode then; frozen ones stay so."""
    network.train()
    norms = [norm for norm in batch_norms(network) if norm.training]
    norms = [norm for norm in norms if norm.running_mean is not None]
    network.eval()
    for norm in norms:
        norm.training = True  # not what is in it, such as a dropout
    return norms


class _Collector:
    """Collects a norm's statistics, a forward pass at a time, and sets them in the end.

    Args:
        norm: The norm, in training mode.
    """

    def __init__(self, norm: Grouped) -> None:
        self.norm = norm
        self._found: list[Tensor] = []
        replace_batch_norm(norm, self._batch_norm)
        self._buffers = {name: buffer.clone() for name, buffer in norm.named_buffers()}

    def _batch_norm(  # noqa: PLR0917  (as F.batch_norm)
        self,
        input: Tensor,  # noqa: A002  (torch's name)
        _running_mean: Tensor | None,
        _running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,  # noqa: ARG002
        momentum: float = 0.1,  # noqa: ARG002
        eps: float = 1e-5,
    ) -> Tensor:
        output, statistics = batch_norm(input, weight, bias, eps)
        mean, var = statistics.double()
        count = input.numel() // input.shape[1]
        self._found.append(torch.cat([mean, var if self.norm.unbiased else var * (1 - 1 / count)]))
        return output

    def taken(self) -> Tensor:
        """Mean and variance (2 C,) of this pass; those that the norm has if it wasn't called."""
        own: Any = (self.norm.running_mean, self.norm.running_var)
        found, self._found = self._found or [torch.cat(own).double()], []
        return torch.stack(found).mean(0)

    def end(self, statistics: Tensor) -> None:
        """Make ``statistics`` (2 C,) the norm's, which is then as any that is tested."""
        self._buffers["running_mean"], self._buffers["running_var"] = statistics.chunk(2)
        for name, value in self._buffers.items():
            self.norm.get_buffer(name).copy_(value)
        replace_batch_norm(self.norm, None)
        self.norm.training = False
