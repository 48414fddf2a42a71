"""Initialisers of the kernels of convolutions and dense layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

# Standard deviation of a unit normal that is cut off at two of its own.
TRUNCATED_STD = 0.87962566103423978


def lecun_truncated(kernel: Tensor) -> None:
    """Normal of variance 1 / fan_in after a cut at two standard deviations (Flax, JAX)."""
    std = fan_in(kernel) ** -0.5 / TRUNCATED_STD
    nn.init.trunc_normal_(kernel, std=std, a=-2 * std, b=2 * std)


def he_fan_in(kernel: Tensor) -> None:
    """Normal of variance 2 / fan_in (He et al., 2015; arXiv:1502.01852, equation 10)."""
    nn.init.kaiming_normal_(kernel, mode="fan_in", nonlinearity="relu")


def he_fan_out(kernel: Tensor) -> None:
    """Normal of variance 2 / fan_out (the same, equation 14), as the Torch7 codes have it."""
    nn.init.kaiming_normal_(kernel, mode="fan_out", nonlinearity="relu")


def torch_uniform(kernel: Tensor) -> None:
    """Uniform within 1 / sqrt(fan_in), as torch and Torch7 initialise by themselves."""
    bound = fan_in(kernel) ** -0.5
    nn.init.uniform_(kernel, -bound, bound)


def uniform_fan_out(kernel: Tensor) -> None:
    """Uniform within 1 / sqrt(fan_out), of a classifier 1 / sqrt(K) (AutoAugment's code)."""
    bound = fan_out(kernel) ** -0.5
    nn.init.uniform_(kernel, -bound, bound)


def fan_in(kernel: Tensor) -> int:
    """Numbers that one output of a convolution or dense layer is a sum over."""
    return kernel[0].numel()


def fan_out(kernel: Tensor) -> int:
    """Outputs that one input of a convolution, of stride 1, or of a dense layer is in."""
    return kernel[:, 0].numel()


INITIALISERS: Mapping[str, Callable[[Tensor], None]] = {
    "lecun_truncated": lecun_truncated,
    "he_fan_in": he_fan_in,
    "he_fan_out": he_fan_out,
    "torch": torch_uniform,
    "uniform_fan_out": uniform_fan_out,
}
