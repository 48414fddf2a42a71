"""Kernels beside the plain form in float64, by channel, over shapes as networks have them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from cifarzoo.layers.dropout import LEVELS, Rows, kept
from cifarzoo.layers.kernels.operations import Activation
from tests.layers.kernels.conftest import IS_INTERPRETED

Test = TypeVar("Test", bound=Callable[..., Any])

ops = torch.ops.cifarzoo
DTYPES = (torch.float32, torch.bfloat16)
HALF_UNIT = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8}
ROUNDING = 4 * 2.0**-24  # of float32 arithmetic, for each term
GELU_ERROR = 4e-7  # absolute
EPS = 1e-5
AFTER = {Activation.NONE: lambda z: z, Activation.RELU: F.relu, Activation.GELU: F.gelu}
NUMBERS = 2**16  # of a batch, about: what is slow here is float64
MANY, SOME = 250, 40  # examples
PHASES = tuple(Phase)
if IS_INTERPRETED:  # which takes a thousand times as long, and cuts off where GPUs round
    NUMBERS, MANY, SOME = 2**10, 12, 4
    HALF_UNIT[torch.bfloat16] *= 2
    PHASES = (Phase.explicit, Phase.generate)
channels_last = torch.channels_last


@dataclass(frozen=True, kw_only=True)
class Case:
    """A norm, what follows it, and what it is given."""

    shape: tuple[int, int, int, int]
    groups: int
    dtype: torch.dtype
    after: Activation
    mean: float
    deviation: float
    threshold: int
    has_constants: bool
    seed: int

    @property
    def scale(self) -> float:
        """What dropout multiplies by what it keeps."""
        return LEVELS / (LEVELS - self.threshold)

    @property
    def of_gelu(self) -> float:
        return GELU_ERROR * (self.after is Activation.GELU)

    def images(self) -> Tensor:
        images = drawn(self.shape, self.seed) * self.deviation + self.mean
        if self.has_constants:
            images[:, :: 1 + self.shape[1] // 3] = self.mean
        return images.to(self.dtype).contiguous(memory_format=channels_last)

    def gradient(self) -> Tensor:
        return (
            drawn(self.shape, self.seed + 1).to(self.dtype).contiguous(memory_format=channels_last)
        )

    def affine(self) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(self.seed + 2)
        weight = torch.rand(self.shape[1], generator=generator) + 0.5
        return weight, torch.randn(self.shape[1], generator=generator)

    def rows(self) -> Rows:
        """Masks of rows from anywhere on, with keys of 128 bits."""
        rng = np.random.default_rng(self.seed)
        columns = int(np.prod(self.shape[1:]))
        last = 2**63 // -(-columns // 16) - self.shape[0]
        words = [int(word) for word in rng.integers(0, 2**64, 2, np.uint64)]
        return Rows(words[0] | words[1] << 64, int(rng.choice([0, 1, 2**20 + 3, last])))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Channels 1 to 640, images of 1 to 40 pixels a side, batches of 1 to 300, 1 to 5 groups."""
    channels = draw(st.integers(1, 640))
    height = draw(st.integers(1, 40))
    width = draw(st.integers(1, max(1, min(40, NUMBERS // (channels * height)))))
    groups = draw(st.integers(1, 5))
    most = NUMBERS // (channels * height * width * groups)
    per_group = draw(st.integers(1, max(1, min(300 // groups, most))))
    if height * width * per_group < 2:
        per_group = 2  # one value a channel is refused
    after = draw(st.sampled_from(list(Activation)))
    return Case(
        shape=(per_group * groups, channels, height, width),
        groups=groups,
        dtype=draw(st.sampled_from(DTYPES)),
        after=after,
        mean=draw(st.sampled_from([0.0, 1.0, -30.0, 1e4, -1e6])),
        deviation=draw(st.sampled_from([1e-3, 2.0, 100.0])),
        threshold=draw(st.sampled_from([0, 1, 20000, LEVELS - 1])) * (after is Activation.RELU),
        has_constants=draw(st.booleans()),
        seed=draw(st.integers(0, 1000)),
    )


def drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def norm(case: Case, images: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Output and moments, as a fused layer has them."""
    masks = None
    if case.threshold:
        rows = case.rows()
        words = np.array([rows.key % 2**64, rows.key >> 64, rows.first], np.uint64)
        masks = torch.from_numpy(words.view(np.int64))
    moments = ops.norm_statistics(images.detach(), case.groups)
    settings_ = (EPS, int(case.after), case.threshold)
    return ops.norm(images, weight, bias, moments, masks, *settings_), moments


@dataclass(frozen=True)
class Plain:
    """The plain form in float64: leaves, what they give, and how far ours may be off it."""

    images: Tensor
    weight: Tensor
    bias: Tensor
    mean: Tensor
    var: Tensor
    unscaled: Tensor
    z: Tensor
    off: Tensor


def plain(case: Case, *given_: Tensor) -> Plain:
    """Batch norm over groups, by its definition."""
    images, weight, bias = (tensor.detach().double().requires_grad_() for tensor in given_)
    split = images.unflatten(0, (case.groups, -1))
    mean = split.mean((1, 3, 4), keepdim=True)
    var = split.var((1, 3, 4), unbiased=False, keepdim=True)
    unscaled = ((split - mean) / torch.sqrt(var + EPS)).flatten(0, 1)
    z = unscaled * by_channel(weight) + by_channel(bias)
    # By channel: the mean's own error is one of the largest numbers, not of the nearest.
    off = ROUNDING * (largest(unscaled) * by_channel(weight) + by_channel(bias).abs())
    moments = (moment.detach().flatten(1) for moment in (mean, var))
    return Plain(images, weight, bias, *moments, unscaled.detach(), z, off.detach())


def by_channel(numbers: Tensor) -> Tensor:
    return numbers[:, None, None]


def largest(images: Tensor) -> Tensor:
    """The largest of each channel, as broadcast against images."""
    return images.abs().amax((0, 2, 3), keepdim=True)


LARGE = {  # of more numbers than a chunk has
    "groups": 2,
    "mean": 1.0,
    "deviation": 2.0,
    "has_constants": True,
    "seed": 0,
}


def of_several_chunks(test: Test) -> Test:
    """A test with two large cases too."""
    if IS_INTERPRETED:
        return test
    gelu = Case(
        shape=(300, 64, 9, 8), dtype=torch.float32, after=Activation.GELU, threshold=0, **LARGE
    )
    relu = Case(
        shape=(4, 640, 17, 25), dtype=torch.bfloat16, after=Activation.RELU, threshold=999, **LARGE
    )
    return example(gelu)(example(relu)(test))


@settings(max_examples=MANY, phases=PHASES)
@given(case=cases())
@of_several_chunks
def test_norms_are_those_of_float64(case):
    ours, gradient = [case.images(), *case.affine()], case.gradient()
    exact = plain(case, *ours)
    if case.after is Activation.RELU:
        gradient[exact.z.abs() < 2 * exact.off] = 0  # at its corner it belongs to either side
    expected = AFTER[case.after](exact.z)
    if case.threshold:
        keep = kept(case.rows(), ours[0], case.threshold)
        expected = expected * keep * case.scale
    expected.backward(gradient.double())

    output, moments = norm(case, *(tensor.requires_grad_() for tensor in ours))
    output.backward(gradient)

    torch.testing.assert_close(moments[0], exact.mean, rtol=1e-9, atol=ROUNDING * case.deviation)
    torch.testing.assert_close(moments[1], exact.var, rtol=1e-6, atol=0)
    off = (exact.off + case.of_gelu) * case.scale + HALF_UNIT[case.dtype] * expected.abs()
    assert ((output.double() - expected).abs() <= off).all()
    if case.threshold:
        is_positive = exact.z > exact.off
        assert torch.equal(output[is_positive] == 0, ~keep[is_positive])
    allowed = allowed_of_gradients(case, exact, gradient)
    for found, right, most in zip(
        ours, (exact.images, exact.weight, exact.bias), allowed, strict=True
    ):
        assert ((found.grad.double() - right.grad).abs() <= most).all()


def allowed_of_gradients(case: Case, exact: Plain, gradient: Tensor) -> tuple[Tensor, ...]:
    """How far the gradients of images, scale and shift may be off: by what is added up."""
    slope = gradient.double().abs() * case.scale * (ROUNDING + 2 * case.of_gelu)
    steepest = largest(slope) * (1 + largest(exact.unscaled) ** 2)
    inverse = (exact.var + EPS).rsqrt().amax(0)
    return (
        HALF_UNIT[case.dtype] * exact.images.grad.abs()
        + steepest * by_channel(exact.weight.detach() * inverse),
        (slope * exact.unscaled.abs()).sum((0, 2, 3)),
        slope.sum((0, 2, 3)),
    )


@settings(max_examples=SOME, phases=PHASES)
@given(
    case=cases(),
    bad=st.sampled_from([float("nan"), float("inf"), -float("inf")]),
    at=st.integers(0, 2**20),
)
def test_what_is_not_finite_spoils_its_channel_and_group_alone(case, bad, at):
    images, per_group = case.images(), case.shape[0] // case.groups
    group, channel = at % case.groups, at % case.shape[1]
    clean = results(case, images)
    images[group * per_group + at % per_group, channel, -1, at % case.shape[3]] = bad

    spoilt = results(case, images)

    is_bad = torch.zeros(case.groups, case.shape[1], dtype=torch.bool)
    is_bad[group, channel] = True
    assert torch.equal(spoilt["moments"][1].isnan(), is_bad)
    for name in ("output", "of_images"):
        found, right = (
            each[name].unflatten(0, (case.groups, -1)).transpose(1, 2) for each in (spoilt, clean)
        )
        assert found[is_bad].isnan().all()
        assert torch.equal(found[~is_bad], right[~is_bad])
    others = torch.arange(case.shape[1]) != channel
    for name in ("of_weight", "of_bias"):
        assert torch.equal(spoilt[name][others], clean[name][others])


@settings(max_examples=20)
@given(case=cases())
@example(
    Case(shape=(40, 48, 9, 11), dtype=torch.float32, after=Activation.RELU, threshold=9, **LARGE)
)
def test_threads_change_no_bit(case):
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3, 8):
            torch.set_num_threads(threads)
            found.append(results(case, case.images()))
    finally:
        torch.set_num_threads(before)

    for others in found[1:]:
        assert all(torch.equal(others[name], found[0][name]) for name in found[0])


def results(case: Case, images: Tensor) -> dict[str, Tensor]:
    """What a norm gives, forward and backward."""
    ours = [tensor.clone().requires_grad_() for tensor in (images, *case.affine())]
    output, moments = norm(case, *ours)
    output.backward(case.gradient())
    gradients = {f"of_{n}": t.grad for n, t in zip(("images", "weight", "bias"), ours, strict=True)}
    return {"output": output.detach(), "moments": moments, **gradients}


@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 70), st.integers(2, 41), st.integers(2, 41)),
    dtype=st.sampled_from(DTYPES),
    values=st.sampled_from(
        [(-1.0, -0.0, 0.0, 2.0), (float("nan"), float("inf"), 1.0, -float("inf"))]
    ),
    seed=st.integers(0, 1000),
)
def test_pooling_is_torchs_to_the_bit(shape, dtype, values, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.tensor(values)[torch.randint(len(values), shape, generator=generator)]
    images = images.to(dtype).contiguous(memory_format=channels_last)
    ours, theirs = (images.clone().requires_grad_() for _ in range(2))

    output, expected = ops.max_pool(ours), F.max_pool2d(theirs, 2)
    gradient = torch.randn(expected.shape, generator=generator).to(dtype)
    output.backward(gradient)
    expected.backward(gradient)

    bits = {torch.float32: torch.int32, torch.bfloat16: torch.int16}[dtype]
    is_nan = expected.isnan()
    assert torch.equal(output.isnan(), is_nan)
    assert torch.equal(output.view(bits)[~is_nan], expected.view(bits)[~is_nan])
    assert torch.equal(ours.grad, theirs.grad)
