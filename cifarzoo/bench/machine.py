"""What the machine can do: the rates of a large matrix product and of a 3x3 convolution.

A training step is mostly convolutions, which are matrix products inside: these rates are what
its own can be held against.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from cifarzoo.bench.timing import Job, Work, timed
from cifarzoo.engine.device.precision import DTYPES

MATMUL_SIZE = {"cpu": 1024, "cuda": 8192}  # by type of device: a GPU needs more to be busy
CONV_BATCH = {"cpu": 64, "cuda": 512}
CONV_CHANNELS, CONV_PIXELS = 160, 32  # those of the first group of WRN-26-10
SECONDS = 0.5  # at least, a sample


@dataclass(frozen=True)
class Arithmetic:
    """What a rate depends on.

    Attributes:
        precision: Name of the ``Policy``'s precision.
        threads: Number of threads on the CPU.
    """

    precision: str
    threads: int


def matmul(arithmetic: Arithmetic, device: torch.device) -> Job:
    """Products of two square matrices; gives floating-point operations."""
    flops = 2 * MATMUL_SIZE[device.type] ** 3
    return _repeated(_matmul(device, dtype_of(arithmetic)), flops, device)


def convolution(arithmetic: Arithmetic, device: torch.device) -> Job:
    """3x3 convolutions with both their gradients; gives floating-point operations."""
    one_pass = 2 * CONV_BATCH[device.type] * CONV_PIXELS**2 * CONV_CHANNELS**2 * 9
    return _repeated(_convolution(device, dtype_of(arithmetic)), 3 * one_pass, device)


def dtype_of(arithmetic: Arithmetic) -> torch.dtype:
    """The type of the numbers."""
    return DTYPES[arithmetic.precision]


def _repeated(once: Callable[[], None], flops: int, device: torch.device) -> Job:
    """``once`` as often as makes a sample long enough, which the first job finds out."""
    repeats = 1
    seconds = 0.0

    def work() -> float:
        for _ in range(repeats):
            once()
        return repeats * flops

    def job() -> Work:
        nonlocal repeats, seconds
        while seconds < SECONDS:  # the first pass is slower, so that one guess isn't enough
            _, seconds, _ = timed(work, device)
            repeats = math.ceil(repeats * max(1, 1.2 * SECONDS / seconds))
        return work

    return job


def _matmul(device: torch.device, dtype: torch.dtype) -> Callable[[], None]:
    size = MATMUL_SIZE[device.type]
    a, b = torch.randn(2, size, size, device=device, dtype=dtype)
    product = torch.empty_like(a)

    def work() -> None:
        torch.mm(a, b, out=product)

    return work


def _convolution(device: torch.device, dtype: torch.dtype) -> Callable[[], None]:
    shape = (CONV_BATCH[device.type], CONV_CHANNELS, CONV_PIXELS, CONV_PIXELS)
    layout = torch.channels_last
    images = torch.randn(shape, device=device, dtype=dtype).contiguous(memory_format=layout)
    kernel = torch.randn(CONV_CHANNELS, CONV_CHANNELS, 3, 3, device=device, dtype=dtype)
    kernel = kernel.contiguous(memory_format=layout).requires_grad_()
    images.requires_grad_()
    upstream = images.detach().clone()

    def work() -> None:
        output = F.conv2d(images, kernel, padding=1)
        torch.autograd.grad(output, (images, kernel), upstream)

    return work
