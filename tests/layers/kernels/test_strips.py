"""Convolutions in strips: the plain ones' sums, and theirs to the bit wherever strips don't fit."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F

from cifarzoo import create_model
from cifarzoo.layers.kernels import strips
from cifarzoo.zoo.layers.padding import SameConv2d

LAST = torch.channels_last
HAS_BFLOAT16 = any(torch.cpu.get_capabilities().get(f"{name}_bf16") for name in ("avx512", "amx"))
in_bfloat16 = pytest.mark.skipif(
    not HAS_BFLOAT16, reason="without bfloat16 in the processor torch's convolutions add up in it"
)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of the images that were taken in strips."""
    shapes: list[tuple[int, ...]] = []
    original = strips.convolve

    def convolve(images: Tensor, *arguments: object, **named: object) -> Tensor:
        shapes.append(tuple(images.shape))
        return original(images, *arguments, **named)

    monkeypatch.setattr(strips, "convolve", convolve)
    return shapes


def normal(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def images_of(num: int = 8, size: int = 4, channels: int = 32) -> Tensor:
    return normal(num, channels, size, size, dtype=torch.float32).contiguous(memory_format=LAST)


def images_like(images: Tensor, size: int) -> Tensor:
    return images_of(len(images), size, images.shape[1])


def small(**changed: object) -> nn.Conv2d:
    torch.manual_seed(0)
    given = {"in_channels": 32, "out_channels": 32, "kernel_size": 3, "padding": 1, **changed}
    return nn.Conv2d(**given).to(memory_format=LAST)


def converted(module: nn.Module) -> nn.Module:
    return strips.convert(module, quick=True)


def halved() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def results(
    convolution: Callable[..., Tensor], inputs: Sequence[Tensor | None], gradient: Tensor
) -> list[Tensor]:
    """The outputs, and the gradients of the inputs that ask for one."""
    outputs = convolution(*inputs)
    asking = [each for each in inputs if each is not None and each.requires_grad]
    return [outputs.detach(), *torch.autograd.grad(outputs, asking, gradient.to(outputs.dtype))]


@st.composite
def cases(draw: st.DrawFn) -> dict[str, object]:
    """Narrow images of which strips can be made."""
    stride, padding = draw(st.sampled_from([1, 2])), draw(st.tuples(*[st.integers(0, 1)] * 2))
    height = draw(st.integers(3 - 2 * padding[0], 8))
    width = draw(st.integers(3 - 2 * padding[1], 8 * stride))
    slot = -(-(width + padding[1]) // stride)
    count = draw(st.integers(2, min(64, strips.LENGTH // slot)))
    return {
        "shape": (count * draw(st.integers(1, 3)), draw(st.integers(1, 24)), height, width),
        "out_channels": draw(st.integers(1, 24)),
        "stride": stride,
        "padding": padding,
        "has_bias": draw(st.booleans()),
        "asks": draw(st.sampled_from([(1, 1), (1, 0), (0, 1)])),
    }


def inputs_of(case: dict[str, object], dtype: torch.dtype) -> list[Tensor | None]:
    shape, out_channels = case["shape"], case["out_channels"]
    images = normal(*shape, dtype=dtype).contiguous(memory_format=LAST)
    weight = normal(out_channels, shape[1], 3, 3, dtype=dtype, seed=1)
    bias = normal(out_channels, dtype=dtype, seed=2) if case["has_bias"] else None
    asks_images, asks_weight = case["asks"]
    for each, asks in ((images, asks_images), (weight, asks_weight), (bias, asks_weight)):
        if each is not None:
            each.requires_grad_(bool(asks))
    return [images, weight, bias]


def in_float64(inputs: Sequence[Tensor | None], *, positive: bool = False) -> list[Tensor | None]:
    found: list[Tensor | None] = []
    for each in inputs:
        exact = None if each is None else each.detach().double()
        if exact is not None:
            exact = (exact.abs() if positive else exact).requires_grad_(each.requires_grad)
        found.append(exact)
    return found


@pytest.mark.parametrize(
    ("dtype", "of_result", "of_sum"),
    [
        (torch.float64, 0, 1e-14),
        (torch.float32, 0, 2e-6),
        # A unit of the result; sums are in float32.
        pytest.param(torch.bfloat16, 2**-8, 2e-6, marks=in_bfloat16),
    ],
)
@settings(max_examples=60)
@given(case=cases())
def test_sums_are_those_of_the_plain_convolution(dtype, of_result, of_sum, case):
    geometry = {"stride": case["stride"], "padding": case["padding"]}
    inputs = inputs_of(case, dtype)

    def plain(*of: Tensor | None) -> Tensor:
        return F.conv2d(*of, **geometry)

    gradient = normal(*plain(*inputs).shape, dtype=dtype, seed=3)
    found = results(lambda *of: strips.convolve(*of, **geometry), inputs, gradient)

    expected = results(plain, in_float64(inputs), gradient)
    # Sums of absolute values say how much rounding they may have met.
    sizes = results(plain, in_float64(inputs, positive=True), gradient.abs())
    for ours, exact, size in zip(found, expected, sizes, strict=True):
        assert ours.dtype is dtype
        assert ours.shape == exact.shape
        assert ((ours.double() - exact).abs() <= of_result * exact.abs() + of_sum * size).all()


@in_bfloat16
@pytest.mark.parametrize("size", [2, 4, 7, 8])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_converted_module_learns_as_the_plain_one(stride, size, taken):
    plain = small(stride=stride, out_channels=48)
    ours = converted(copy.deepcopy(plain))
    images = images_of(size=size)
    outcomes = []
    for module in (plain, ours):
        given_images = images.clone().requires_grad_()
        with halved():
            outputs = module(given_images)
        outputs.float().square().sum().backward()
        outcomes.append([outputs, given_images.grad, module.weight.grad, module.bias.grad])

    assert taken == [tuple(images.shape)]
    for expected, found in zip(*outcomes, strict=True):
        assert found.dtype is expected.dtype
        torch.testing.assert_close(found, expected, rtol=2**-7, atol=2**-7 * expected.std().item())


@in_bfloat16
def test_gradients_come_in_any_layout(taken):
    plain, ours = small(), converted(small())
    weights = []
    for module in (plain, ours):
        with halved():
            outputs = module(images_of())
        outputs.transpose(2, 3).contiguous().float().sum().backward()  # expanded, then turned
        weights.append(module.weight.grad)
    assert taken
    torch.testing.assert_close(*weights, rtol=2**-7, atol=1e-3)


@in_bfloat16
def test_outputs_may_be_changed_in_place(taken):
    plain, ours = small(), converted(small())
    found = []
    for module in (plain, ours):
        with halved():
            outputs = F.relu_(module(images_of(size=3)))
        outputs.float().sum().backward()
        found.append(module.weight.grad)
    assert taken
    torch.testing.assert_close(*found, rtol=2**-7, atol=1e-2)


@pytest.mark.parametrize("size", [3, 7])
def test_second_derivatives_are_those_of_the_plain_convolution(size):
    case = {"shape": (4, 3, size, size), "out_channels": 5, "has_bias": True, "asks": (1, 1)}
    geometry = {"stride": 1, "padding": (1, 1)}
    penalties = []
    for convolve in (F.conv2d, strips.convolve):
        inputs = inputs_of(case, torch.float64)
        loss = convolve(*inputs, **geometry).pow(3).sum()
        (of_images,) = torch.autograd.grad(loss, inputs[:1], create_graph=True)
        penalties.append(torch.autograd.grad(of_images.square().sum(), inputs))
    for expected, found in zip(*penalties, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-8)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
def test_a_forward_derivative_names_the_setting_that_has_one():
    module = converted(small()).to(torch.bfloat16)
    images = images_of().to(torch.bfloat16)
    with (
        forward_ad.dual_level(),
        pytest.raises(RuntimeError, match=r"set run\.kernels = 'torch'"),
    ):
        module(forward_ad.make_dual(images, images))


def test_transforms_of_functions_have_the_plain_convolution(taken):
    module = converted(small())

    def loss(weight: Tensor) -> Tensor:
        with halved():
            return torch.func.functional_call(module, {"weight": weight}, images_of()).sum()

    torch.func.grad(loss)(module.weight.detach())
    assert taken == []


@pytest.mark.parametrize(
    "prepare",
    [
        lambda module, images: (module.eval(), images),
        lambda module, images: (module, images.contiguous()),
        lambda module, images: (module, images[:1]),
        lambda module, images: (module, images_like(images, 9)),
        lambda module, images: (module.requires_grad_(False), images_like(images, 7)),
        lambda module, images: (module, nn.Parameter(images)),
        lambda module, images: (module, images.double()),
        lambda module, images: (module, images[0]),
    ],
    ids=["evaluation", "nchw", "one image", "wide", "frozen", "subclass", "float64", "no batch"],
)
def test_where_strips_do_not_fit_the_bits_are_the_plain_convolutions(prepare, taken):
    outcomes = []
    for module in (small(), converted(small())):
        ready, images = prepare(module, images_of())
        with halved():
            try:
                outcomes.append(ready(images))
            except RuntimeError as error:
                outcomes.append(str(error))
    assert taken == []
    if isinstance(outcomes[0], str):
        assert outcomes[0] == outcomes[1]
    else:
        torch.testing.assert_close(*outcomes, rtol=0, atol=0)


def test_float32_is_left_alone(taken):
    assert torch.equal(converted(small())(images_of()), small()(images_of()))
    assert taken == []


def test_tensors_without_memory_and_compiled_networks_have_the_plain_convolution(taken):
    module = converted(small())
    with halved():
        on_meta = copy.deepcopy(module).to("meta")(images_of().to("meta"))
        torch.compile(module, backend="eager", fullgraph=True)(images_of())
    assert tuple(on_meta.shape) == (8, 32, 4, 4)
    assert taken == []


@pytest.mark.parametrize(
    "changed",
    [
        {"kernel_size": 1, "padding": 0},
        {"kernel_size": (3, 1)},
        {"groups": 2},
        {"dilation": 2},
        {"padding": 2},
        {"padding": (1, 2)},
        {"padding": "same"},
        {"padding_mode": "reflect"},
        {"stride": 3},
        {"stride": (1, 2)},
        {"in_channels": 3},
    ],
)
def test_other_convolutions_keep_their_class(changed):
    assert type(converted(small(**changed))) is nn.Conv2d


def test_a_class_of_somebody_else_keeps_its_forward_pass():
    class Doubled(nn.Conv2d):
        def forward(self, images: Tensor) -> Tensor:
            return 2 * super().forward(images)

    module = converted(Doubled(32, 32, 3))
    assert type(module) is Doubled
    assert sum(strips.count(module).values()) == 0


def test_what_is_too_small_to_gain_is_left_alone(taken):
    work = 8 * 4 * 4 * 9 * 32 * 32
    with halved():
        for least in (work, work + 1):
            strips.convert(small(), quick=True, least=least)(images_of())
    assert len(taken) == 1


def test_nothing_is_converted_where_strips_are_slow():
    assert type(strips.convert(small(), quick=False)) is nn.Conv2d
    assert strips.are_quick() == bool(torch.cpu.get_capabilities().get("amx_bf16"))


def test_a_converted_module_is_copied_pickled_and_printed_as_the_plain_one(taken):
    plain, ours = small(), converted(small())
    assert repr(ours) == repr(plain)
    assert ours.state_dict().keys() == plain.state_dict().keys()
    for copied in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        with halved():
            copied(images_of())
    assert len(taken) == 2
    plain.load_state_dict(ours.state_dict())


def test_hooks_of_a_converted_module_are_called(taken):
    module, seen = small(), []
    module.register_forward_hook(lambda _module, _inputs, outputs: seen.append(outputs.shape))
    with halved():
        converted(module)(images_of())
    assert len(taken) == len(seen) == 1


def test_layers_of_ours_take_strips(taken):
    same = converted(SameConv2d(32, 32, 3, 2)).to(memory_format=LAST)
    with halved():
        same(images_of(size=8))
    assert taken == [(8, 32, 9, 9)]


def test_airbench_trains_in_strips_as_without(taken):
    torch.manual_seed(0)
    plain = create_model("airbench94").to(memory_format=LAST).train()
    ours = converted(copy.deepcopy(plain))
    images = images_of(8, 32, 3)
    losses = []
    for model in (plain, ours):
        with halved():
            losses.append(model(images).float().logsumexp(1).sum())
        losses[-1].backward()
    assert strips.count(ours) == {"strips": 5}
    # 15 pixels, pooled to 7, of which the convolution before a pooling makes 6, and 3.
    assert taken == [(8, 256, 7, 7), (8, 256, 8, 8), (8, 256, 3, 3)]
    torch.testing.assert_close(*losses, rtol=1e-2, atol=0)
    for expected, found in zip(plain.parameters(), ours.parameters(), strict=True):
        if expected.grad is not None:
            off = (found.grad - expected.grad).norm()
            assert off <= 0.1 * expected.grad.norm()
