"""Muon: momentum whose matrices are made orthogonal, and plain SGD for all other parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.protocols import Fraction, NonNegativeFloat, PositiveFloat, check_settings
from cifarzoo.zoo.optimizers.stepping import PerParameter, descend

QUINTIC = (3.4445, -4.7750, 2.0315)  # slope at 0 as steep as it goes, all values end near 1


def orthogonalized(matrix: Tensor, steps: int) -> Tensor:
    """The nearest matrix whose singular values are all about 1, by Newton-Schulz iterations.

    Each iteration applies an odd polynomial of degree five to the singular values, chosen for
    speed: after five of them values from 0.01 on lie between 0.68 and 1.13.

    Args:
        matrix: Float (m, n).
        steps: Iterations.

    Returns:
        Float (m, n), with about the same singular vectors.
    """
    a, b, c = QUINTIC
    is_tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.T if is_tall else matrix
    x = x / (x.norm() + 1e-7)  # the largest singular value is at most 1 then
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if is_tall else x


class Muon(PerParameter):
    """SGD with Nesterov momentum, whose groups with ``ns_steps`` have orthogonal updates.

    Args:
        groups: Each with ``params``, ``lr``, ``momentum``, ``weight_decay``, ``nesterov``,
            ``ns_steps`` (None: plain SGD) and ``normalize`` (whether the rows of a kernel are
            kept at a mean square norm of 1).

    Attributes:
        compute_dtype: Type in which updates are made orthogonal; None: that of the parameters,
            float32 at least.
    """

    capturable = True

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, {})
        self.compute_dtype: torch.dtype | None = None

    def update(
        self,
        parameter: nn.Parameter,
        gradient: Tensor,
        state: dict[str, Any],
        group: dict[str, Any],
    ) -> None:
        """See ``PerParameter``."""
        if group["weight_decay"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        if "momentum_buffer" in state:
            momentum = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        else:
            momentum = state["momentum_buffer"] = gradient.clone()
        direction = gradient.add(momentum, alpha=group["momentum"])
        if not group["nesterov"]:
            direction = momentum
        if group["ns_steps"] is not None:
            dtype = self.compute_dtype or torch.promote_types(direction.dtype, torch.float32)
            flat = orthogonalized(direction.to(dtype).flatten(1), group["ns_steps"])
            direction = flat.view(parameter.shape).to(parameter.dtype)
        if group["normalize"]:
            parameter.mul_(len(parameter) ** 0.5 / parameter.norm())
        descend(parameter, direction, group["lr"])


@register.optimizer
def muon(
    params: Iterable[dict[str, Any]],
    *,
    lr: PositiveFloat = 0.24,
    momentum: Fraction = 0.6,
    ns_steps: Annotated[int, Ge(1), Le(20)] = 5,
    normalize: bool = True,
    head_lr: PositiveFloat = 0.1,
    vector_lr: PositiveFloat = 0.1,
    sgd_momentum: Fraction = 0.85,
    sgd_decay: NonNegativeFloat = 0.0,
    nesterov: bool = True,
) -> torch.optim.Optimizer:
    """Orthogonal momentum for kernels and hidden matrices; SGD for the classifier and vectors.

    Muon (Jordan et al., 2024, "Muon: An optimizer for hidden layers in neural networks"), in
    the form that Jordan's airbench94_muon has for convolutions: a kernel is the matrix of its
    outputs by all else. What has two dimensions and comes last is taken for the classifier;
    biases and the like, with one dimension, are the vectors.

    Args:
        params: Groups of parameters; where a group's own ``weight_decay`` is 0, that stands.
        lr: Base learning rate of kernels and hidden matrices, above 0. Their updates are
            orthogonal, so that the scale of the loss has no effect on them.
        momentum: Momentum of these, 0 to below 1.
        ns_steps: Newton-Schulz iterations, at least 1.
        normalize: Whether each of them is first scaled so that the mean square norm of its
            rows is 1; they are not decayed otherwise.
        head_lr: Base learning rate of the classifier, above 0.
        vector_lr: Base learning rate of vectors, above 0.
        sgd_momentum: Momentum of classifier and vectors, 0 to below 1.
        sgd_decay: Their weight decay times their base learning rate, at least 0.
        nesterov: Whether gradients are taken one momentum step ahead, for all.

    Raises:
        ConfigError: A number is out of its range.

    Updates are made orthogonal in the type that the run's passes have: bfloat16, as the authors',
    where ``run.precision`` is that.

    Differs from the paper: the authors scale the updates of tall matrices, and decay instead of
    ``normalize``.
    """
    check_settings(muon, locals())
    hidden = {"lr": lr, "momentum": momentum, "ns_steps": ns_steps, "normalize": normalize}
    plain = {"momentum": sgd_momentum, "ns_steps": None, "normalize": False}
    groups = []
    given = [{**group, "params": list(group["params"])} for group in params]
    matrices = [p for group in given for p in group["params"] if p.ndim == 2]
    head = id(matrices[-1]) if matrices else None
    for group in given:
        decay = sgd_decay * (group.get("weight_decay") != 0)
        roles = [_role(p, head) for p in group["params"]]
        for role, settings in (
            ("hidden", {**hidden, "weight_decay": 0.0}),
            ("head", {**plain, "lr": head_lr, "weight_decay": decay / head_lr}),
            ("vector", {**plain, "lr": vector_lr, "weight_decay": decay / vector_lr}),
        ):
            chosen = [p for p, its in zip(group["params"], roles, strict=True) if its == role]
            if chosen:
                groups.append({**group, **settings, "nesterov": nesterov, "params": chosen})
    return Muon(groups)


def _role(parameter: Tensor, head: int | None) -> str:
    if id(parameter) == head:
        return "head"
    return "hidden" if parameter.ndim > 1 else "vector"
