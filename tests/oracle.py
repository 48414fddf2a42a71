"""The recorded runs of the original code, and the same networks of ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cifarzoo import flax_weights
from cifarzoo.engine.assembly.residual import ResidualPort
from cifarzoo.zoo.architectures.residual.pyramidnet import pyramidnet
from cifarzoo.zoo.architectures.residual.shake_resnet import shake_resnet
from cifarzoo.zoo.architectures.residual.wide_resnet import wide_resnet
from cifarzoo.zoo.regularizers.branch.shake_drop import shake_drop
from cifarzoo.zoo.regularizers.branch.shake_shake import shake_shake

FOLDER = Path(__file__).parent / "fixtures" / "flax2020"
MEAN = np.array([0.4914 * 255, 0.4822 * 255, 0.4465 * 255], np.float32)
STD = np.array([0.2470 * 255, 0.2435 * 255, 0.2616 * 255], np.float32)
L2 = 5e-4

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "wrn_n1m1": lambda: wide_resnet(10, ResidualPort(), blocks_per_group=1, widen_factor=1),
    "wrn_n1m1_drop": lambda: wide_resnet(
        10, ResidualPort(), blocks_per_group=1, widen_factor=1, dropout_rate=0.3
    ),
    "ss_n1m1": lambda: shake_resnet(
        10, ResidualPort([shake_shake()]), blocks_per_group=1, widen_factor=1
    ),
    "pyr_d11a8": lambda: pyramidnet(10, ResidualPort([shake_drop()]), depth=11, alpha=8.0),
}


class Recording:
    """What the original code was given and what it gave, for one network."""

    def __init__(self, variant: str) -> None:
        self.variant = variant
        with np.load(FOLDER / f"{variant}.npz") as file:
            self.arrays: dict[str, np.ndarray[Any, Any]] = dict(file)

    def part(self, prefix: str) -> dict[str, np.ndarray[Any, Any]]:
        """The arrays under ``prefix``, without it."""
        found = {k.removeprefix(prefix): v for k, v in self.arrays.items() if k.startswith(prefix)}
        assert found, prefix
        return found

    def tensor(self, name: str) -> Tensor:
        return torch.as_tensor(self.arrays[name])

    @cached_property
    def images(self) -> Tensor:
        """Float32 (steps, N, 3, 32, 32)."""
        pixels = (self.arrays["x_uint8"].astype(np.float32) - MEAN) / STD
        return torch.from_numpy(pixels).permute(0, 1, 4, 2, 3).contiguous()

    @property
    def labels(self) -> Tensor:
        """Int64 (steps, N)."""
        return self.tensor("labels").long()

    def gates(self, step: int) -> list[Tensor]:
        """The random draws of a training step, in call order."""
        names = sorted(name for name in self.arrays if name.startswith("gate/"))
        return [self.tensor(name)[step] for name in names]

    def network(self, dtype: torch.dtype) -> nn.Module:
        """Ours, with the original's weights."""
        model = NETWORKS[self.variant]().to(dtype)
        flax_weights.load(model, self.part("params/"), self.part("state0/"))
        return model

    def expected(self, kind: str) -> dict[str, Tensor]:
        """Recorded float64 tensors of one kind (``grads``, ``state1``, ...) by our names."""
        arrays = self.part(f"f64/{kind}/").items()
        return {flax_weights.our_name(k): flax_weights.to_torch(v) for k, v in arrays}
