"""Kernels compared with plain torch in float64, with NumPy's masks, and with themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.library import opcheck
from torch.nn import functional as F

from cifarzoo.layers.dropout import LEVELS, Rows, kept
from cifarzoo.layers.kernels.library import Library
from cifarzoo.layers.kernels.operations import Activation

ops = torch.ops.cifarzoo
HALF_UNIT = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8}
ROUNDING = 4 * 2.0**-24  # of float32 arithmetic, for each term
GELU_ERROR = 4e-7  # of the normal distribution function, absolute
EPS = 1e-5
AFTER = {Activation.NONE: lambda z: z, Activation.RELU: F.relu, Activation.GELU: F.gelu}
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


@settings(max_examples=60, deadline=None)
@given(
    channels=st.integers(1, 200) | st.sampled_from([256, 640]),
    per_group=st.integers(1, 12),
    groups=st.sampled_from([1, 1, 2, 3]),
    size=st.sampled_from([1, 2, 3, 4, 7, 8]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    after=st.sampled_from(list(Activation)),
    mean=st.sampled_from([0.0, 1.0, -30.0, 1e4]),
)
def test_norms_are_those_of_float64(  # noqa: PLR0917  (hypothesis gives them by name)
    channels, per_group, groups, size, dtype, after, mean
):
    if per_group * size * size < 2:
        per_group = 2
    images = images_of(per_group * groups, channels, size, dtype, mean=mean).requires_grad_()
    weight, bias = (tensor.requires_grad_() for tensor in affine(channels))
    gradient = images_of(per_group * groups, channels, size, dtype, seed=2)
    exact = [t.detach().double().requires_grad_() for t in (images, weight, bias)]

    output, _ = norm(images, weight, bias, None, after, groups)
    output.backward(gradient)
    z = normalised(*exact, groups)
    expected = AFTER[after](z)
    expected.backward(gradient.double())

    of_gelu = GELU_ERROR * (after == Activation.GELU)
    with torch.no_grad():
        unscaled = normalised(exact[0], torch.ones(channels), torch.zeros(channels), groups)
        scaled = unscaled * exact[1][:, None, None]
        # By channel: the mean's own error is one of the largest numbers, not of the nearest.
        of_z = ROUNDING * (scaled.abs().amax((0, 2, 3)) + exact[2].abs())[:, None, None]
        allowed = of_z + HALF_UNIT[dtype] * expected.abs() + of_gelu * z.abs()
        assert ((output.double() - expected).abs() <= allowed).all()
        if after == Activation.RELU and (z.abs() < 2 * of_z).any():
            return  # a gradient at ReLU's corner belongs to either side
        slope = gradient.double().abs() * (ROUNDING + 4 * of_gelu) * 4
        steep = slope.amax((0, 2, 3)) * (1 + unscaled.abs().amax((0, 2, 3)) ** 2)
        deviation = exact[0].unflatten(0, (groups, -1)).std((1, 3, 4), unbiased=False) ** 2 + EPS
        of_images = steep * exact[1] * deviation.rsqrt().amax(0)
        error = [
            (given_.grad.double() - right.grad).abs()
            for given_, right in zip((images, weight, bias), exact, strict=True)
        ]
        rounded = HALF_UNIT[dtype] * exact[0].grad.abs()
        assert (error[0] <= rounded + of_images[:, None, None]).all()
        assert (error[1] <= (slope * unscaled.abs()).sum((0, 2, 3))).all()
        assert (error[2] <= slope.sum((0, 2, 3))).all()


def test_statistics_depend_on_the_batch_alone_and_keep_a_large_mean():
    images = images_of(16, 24, 8, torch.float32, mean=1e4)

    first, again = (ops.norm_statistics(images, 2) for _ in range(2))

    exact = images.double().unflatten(0, (2, 8))
    assert torch.equal(first, again)
    torch.testing.assert_close(first[0], exact.mean((1, 3, 4)), rtol=1e-13, atol=0)
    torch.testing.assert_close(first[1], exact.var((1, 3, 4), unbiased=False), rtol=5e-7, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_threads_change_no_bit(dtype):
    images = images_of(40, 48, 9, dtype)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            x = images.clone().requires_grad_()
            weight, bias = (tensor.requires_grad_() for tensor in affine(48))
            masks = torch.tensor([3, 4, 5])
            output, moments = norm(x, weight, bias, masks, Activation.RELU, 2, 20000)
            output.backward(images)
            results.append((output, moments, x.grad, weight.grad, bias.grad))
    finally:
        torch.set_num_threads(before)

    assert all(
        torch.equal(a, b) for others in results[1:] for a, b in zip(results[0], others, strict=True)
    )


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_channel_with_a_number_that_is_not_finite_is_nan_throughout(bad):
    images = images_of(6, 20, 5, torch.float32)
    images[4, 7, 1, 1] = bad

    output, moments = norm(images, *affine(20), None, Activation.RELU, 2)

    is_bad = torch.zeros(2, 20, dtype=torch.bool)
    is_bad[1, 7] = True
    assert torch.equal(moments[1].isnan(), is_bad)
    by_channel = output.unflatten(0, (2, 3)).isnan()
    assert torch.equal(by_channel.all(3).all(3).all(1), is_bad)
    assert torch.equal(by_channel.any(3).any(3).any(1), is_bad)


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(5, 3, 5, 7), (4, 64, 30, 30), (2, 24, 31, 30), (3, 8, 2, 2)])
def test_pooling_is_torchs_to_the_bit(dtype, shape):
    generator = torch.Generator().manual_seed(0)
    images = (
        torch.randn(shape, generator=generator).to(dtype).contiguous(memory_format=channels_last)
    )
    images[0, 0, 0, 0] = float("nan")
    images[:, :, :2, :2] = images[:, :, :1, :1]  # of equal ones the first is chosen
    ours, theirs = (images.clone().requires_grad_() for _ in range(2))

    output, expected = ops.max_pool(ours), F.max_pool2d(theirs, 2)
    gradient = torch.randn(expected.shape, generator=generator).to(dtype)
    output.backward(gradient)
    expected.backward(gradient)

    assert torch.equal(output.nan_to_num(9), expected.nan_to_num(9))
    assert torch.equal(ours.grad, theirs.grad)


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
