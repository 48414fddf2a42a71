"""The kernels as operations of torch: what they promise beside their values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.library import opcheck
from torch.nn import functional as F

from cifarzoo.layers.dropout import LEVELS, Rows, kept
from cifarzoo.layers.kernels.library import Library
from cifarzoo.layers.kernels.operations import Activation

ops = torch.ops.cifarzoo
EPS = 1e-5
channels_last = torch.channels_last


def images_of(
    num: int, channels: int, size: int, dtype: torch.dtype, *, mean: float = 1.0, seed: int = 0
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(num, channels, size, size, generator=generator) * 2 + mean
    return drawn.to(dtype).contiguous(memory_format=channels_last)


def affine(channels: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(channels, generator=generator) + 0.5, torch.randn(
        channels, generator=generator
    )


def normalised(images: Tensor, weight: Tensor, bias: Tensor, groups: int) -> Tensor:
    """Batch norm over groups, by its definition."""
    split = images.unflatten(0, (groups, -1))
    mean = split.mean((1, 3, 4), keepdim=True)
    var = split.var((1, 3, 4), unbiased=False, keepdim=True)
    return ((split - mean) / torch.sqrt(var + EPS)).flatten(0, 1) * weight[:, None, None] + bias[
        :, None, None
    ]


def norm(  # noqa: PLR0917  (as the operation, with groups in place of moments)
    images: Tensor,
    weight: Tensor,
    bias: Tensor,
    masks: Tensor | None,
    after: Activation,
    groups: int,
    threshold: int = 0,
) -> tuple[Tensor, Tensor]:
    """The output and moments of images by their own statistics."""
    moments = ops.norm_statistics(images.detach(), groups)
    return ops.norm(images, weight, bias, moments, masks, EPS, int(after), threshold), moments


def test_statistics_depend_on_the_batch_alone_and_keep_a_large_mean():
    images = images_of(16, 24, 8, torch.float32, mean=1e4)

    first, again = (ops.norm_statistics(images, 2) for _ in range(2))

    exact = images.double().unflatten(0, (2, 8))
    assert torch.equal(first, again)
    torch.testing.assert_close(first[0], exact.mean((1, 3, 4)), rtol=1e-13, atol=0)
    torch.testing.assert_close(first[1], exact.var((1, 3, 4), unbiased=False), rtol=5e-7, atol=0)


def test_a_constant_channel_is_its_shift():
    images = images_of(6, 16, 5, torch.bfloat16)
    images[:, 3] = 7.0
    weight, bias = affine(16)

    output, moments = norm(images, weight, bias, None, Activation.NONE, 1)

    assert moments[1, 0, 3] == 0
    assert (output[:, 3] == bias[3].bfloat16()).all()


@pytest.mark.parametrize("channels", [1, 16, 30, 160])
@pytest.mark.parametrize("first", [0, 7, 2**40])
def test_dropout_has_numpys_masks_and_the_gradient_of_what_it_keeps(channels, first):
    num, size, threshold = 6, 5, round(0.3 * LEVELS)
    key = np.random.SeedSequence(channels).generate_state(2, np.uint64)
    rows = Rows(int(key[0]) | int(key[1]) << 64, first)
    images = images_of(num, channels, size, torch.float32).requires_grad_()
    weight, bias = affine(channels)
    masks = torch.tensor([*key.view(np.int64).tolist(), first])

    output, _ = norm(images, weight, bias, masks, Activation.RELU, 2, threshold)
    output.sum().backward()

    exact = images.detach().double().requires_grad_()
    keep = kept(rows, images, threshold)
    z = F.relu(normalised(exact, weight.double(), bias.double(), 2))
    expected = z * keep / (1 - threshold / LEVELS)
    expected.sum().backward()
    assert torch.equal(output == 0, ~keep | (z == 0))
    torch.testing.assert_close(output.double(), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(images.grad.double(), exact.grad, rtol=1e-4, atol=2e-6)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's own check
@pytest.mark.parametrize("after", list(Activation))
def test_torch_finds_nothing_wrong_with_the_operations(after):
    images = images_of(4, 16, 4, torch.float32).requires_grad_()
    weight, bias = (tensor.requires_grad_() for tensor in affine(16))
    plain = (images.detach(), weight.detach(), bias.detach())
    moments = ops.norm_statistics(plain[0], 2)
    settings_ = (EPS, int(after), 0)
    output = ops.norm_apply(plain[0], moments, *plain[1:], None, *settings_)
    back = (plain[0], plain[0], output, moments, *plain[1:])
    sums, *_ = ops.norm_sums(*back, *settings_)

    opcheck(ops.norm, (images, weight, bias, moments, None, *settings_))
    opcheck(ops.norm_statistics, (plain[0], 2))
    opcheck(ops.norm_apply, (plain[0], moments, *plain[1:], None, *settings_))
    opcheck(ops.norm_sums, (*back, *settings_))
    opcheck(ops.norm_gradient, (*back, sums, 32.0, *settings_))
    opcheck(ops.max_pool, (images,))
    opcheck(ops.max_pool_forward, (images.detach(),))
    opcheck(ops.max_unpool, (images.detach(), images.detach().to(torch.uint8), 8, 9))


def test_a_second_derivative_is_refused_with_the_way_out():
    images = images_of(4, 16, 4, torch.float32).requires_grad_()
    output, _ = norm(images, *affine(16), None, Activation.RELU, 1)

    with pytest.raises(RuntimeError, match=r"no second derivative; set run.kernels = 'torch'"):
        torch.autograd.grad(output.sum(), images, create_graph=True)
    with pytest.raises(RuntimeError, match=r"no second derivative; set run.kernels = 'torch'"):
        torch.autograd.grad(ops.max_pool(images).sum(), images, create_graph=True)


@pytest.mark.parametrize("after", list(Activation))
def test_the_output_may_be_changed_in_place_as_that_of_torchs_modules(after):
    images = images_of(4, 16, 4, torch.float32).requires_grad_()
    output, _ = norm(images, *affine(16), None, after, 1)

    output.mul_(2).sum().backward()

    assert images.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(1, 131072, 32), (8, 512, 512), (1, 1, 3), (2, 2048, 512)])
def test_chunks_keep_eight_cores_busy(shape, library: Library):
    groups, rows, channels = shape

    chunk = library.chunk_rows(*shape)

    num_chunks = groups * -(-rows // chunk)
    assert chunk * channels <= 2**15 + 128
    assert num_chunks >= 16 or chunk * channels <= 256
