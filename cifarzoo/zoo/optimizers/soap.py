"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.protocols import (
    Fraction,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    check_settings,
)
from cifarzoo.zoo.optimizers.stepping import PerParameter, check_betas


def eigenvectors(covariance: Tensor) -> Tensor:
    """Eigenvectors of a symmetric matrix (n, n) as columns, that of the largest value first."""
    vectors: Tensor = torch.linalg.eigh(covariance).eigenvectors
    return vectors.flip(1)


def refreshed(basis: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """One step of orthogonal iteration towards the eigenvectors, algorithm 4.

    Args:
        basis: Former eigenvectors (n, n), as columns.
        covariance: Symmetric matrix (n, n) that has moved since.

    Returns:
        Columns (n, n), in the order of their estimated eigenvalues, and that order (n,).
    """
    moved = covariance @ basis
    order = (basis * moved).sum(0).argsort(descending=True)
    return torch.linalg.qr(moved[:, order]).Q, order


class Soap(PerParameter):
    """Adam in a slowly turning basis for matrices and kernels; plain Adam for vectors.

    See ``soap``.
    """

    def update(
        self,
        parameter: nn.Parameter,
        gradient: Tensor,
        state: dict[str, Any],
        group: dict[str, Any],
    ) -> None:
        """Algorithm 3 of the paper; see ``PerParameter``."""
        matrix = gradient.flatten(1) if gradient.ndim > 1 else gradient
        if not state:
            state.update(step=0, mean=torch.zeros_like(matrix))
            state.update(mean_square=torch.zeros_like(matrix))
            if self._begin(matrix, state, group):
                return  # the first gradient makes the basis alone, as in the authors' code
        state["step"] += 1
        beta1, beta2 = group["betas"]
        turned = self._turned(matrix, state)
        mean = self._turned(state["mean"].lerp_(matrix, 1 - beta1), state)
        square = state["mean_square"].mul_(beta2).addcmul_(turned, turned, value=1 - beta2)
        root = (square / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
        step = self._turned(mean / root, state, back=True) / (1 - beta1 ** state["step"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(step.view_as(parameter), alpha=group["lr"])
        self._follow(matrix, state, group)

    def state_shapes(self, parameter: Tensor) -> Mapping[str, tuple[int, ...]]:
        """Shapes of the means, covariances and bases; see ``SupportsStateShapes``."""
        if parameter.ndim == 1:
            return {}
        left, right = parameter.shape[0], parameter[0].numel()
        means = dict.fromkeys(("mean", "mean_square"), (left, right))
        sides = {"left": (left, left), "right": (right, right)}
        return means | sides | {f"{side}_basis": shape for side, shape in sides.items()}

    def _begin(self, matrix: Tensor, state: dict[str, Any], group: dict[str, Any]) -> bool:
        """Make the basis of each side that is small enough; whether there is any."""
        if matrix.ndim == 1:
            return False
        for side, length in zip(("left", "right"), matrix.shape, strict=True):
            if length <= group["max_dim"]:
                state[side] = _outer(matrix, side) * (1 - group["betas"][1])
                state[f"{side}_basis"] = eigenvectors(state[side])
        return "left" in state or "right" in state

    def _turned(self, matrix: Tensor, state: dict[str, Any], *, back: bool = False) -> Tensor:
        """``matrix`` (m, n) in the basis, or back from it."""
        if "left_basis" in state:
            basis = state["left_basis"]
            matrix = (basis if back else basis.T) @ matrix
        if "right_basis" in state:
            basis = state["right_basis"]
            matrix = matrix @ (basis.T if back else basis)
        return matrix

    def _follow(self, matrix: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Take the gradient into the covariances, and turn the basis when it is due."""
        for side, axis in (("left", 0), ("right", 1)):
            if side not in state:
                continue
            state[side].lerp_(_outer(matrix, side), 1 - group["betas"][1])
            if state["step"] % group["basis_steps"] == 0:
                basis, order = refreshed(state[f"{side}_basis"], state[side])
                state[f"{side}_basis"] = basis
                state["mean_square"] = state["mean_square"].index_select(axis, order)


def _outer(matrix: Tensor, side: str) -> Tensor:
    """The covariance (m, m) of the rows of a matrix (m, n), or (n, n) of its columns."""
    return matrix @ matrix.T if side == "left" else matrix.T @ matrix


@register.optimizer
def soap(
    params: Iterable[dict[str, Any]],
    *,
    lr: PositiveFloat = 3e-3,
    betas: Sequence[Fraction] = (0.95, 0.95),
    eps: PositiveFloat = 1e-8,
    weight_decay: NonNegativeFloat = 1e-2,
    basis_steps: PositiveInt = 10,
    max_dim: PositiveInt = 2500,
) -> torch.optim.Optimizer:
    """Adam in the eigenbasis of Shampoo's preconditioner, which is turned every few steps.

    SOAP (Vyas et al., 2024; arXiv:2409.11321), algorithm 3. A kernel is the matrix of its outputs
    by all else; parameters of one dimension have plain Adam. The first step moves no matrix.

    Args:
        params: Groups of parameters; a group's own ``weight_decay`` stands.
        lr: Base learning rate, above 0.
        betas: Decay of the running means of the gradient, and of its square and the covariances,
            each from 0 to below 1.
        eps: Added to the root of the mean square, above 0.
        weight_decay: Decay, at least 0; each step takes ``lr * weight_decay`` of a parameter.
        basis_steps: Steps from one turn of the basis to the next, at least 1; the paper's f.
        max_dim: Largest side of a matrix that has a basis, at least 1; along a longer one Adam
            goes on as it is. A side of n takes n x n numbers, twice.

    Raises:
        ConfigError: A number is out of its range.

    Differs from the paper: the mean square keeps to its eigenvector when their order changes, as
    in the authors' code.
    """
    check_settings(soap, locals())
    check_betas(betas, count=2)
    settings: dict[str, Any] = {"lr": lr, "betas": tuple(betas), "eps": eps}
    settings |= {"weight_decay": weight_decay, "basis_steps": basis_steps, "max_dim": max_dim}
    return Soap(params, settings)
