"""Networks whose norms are kernels: the same but for rounding, and torch's where it has to be."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from cifarzoo import create_model
from cifarzoo.layers import dropout, norms
from cifarzoo.layers.dropout import Dropout
from cifarzoo.layers.kernels import fused
from cifarzoo.layers.kernels.fused import FusedSequential

NETWORKS = ("wrn26_2", "resnet8", "airbench94", "pyramid110_a84")


def prepared(model: nn.Module) -> nn.Module:
    return dropout.convert(norms.convert(model)).to(memory_format=torch.channels_last)


def small(**changed: nn.Module) -> nn.Sequential:
    """Two norms, the second with a dropout, as a branch has them."""
    torch.manual_seed(0)
    layers = {
        "conv": nn.Conv2d(3, 16, 3),
        "norm1": nn.BatchNorm2d(16),
        "gelu": nn.GELU(),
        "norm2": nn.BatchNorm2d(16),
        "relu": nn.ReLU(inplace=True),
        "dropout": nn.Dropout(0.3),
        **changed,
    }
    model = nn.Sequential()
    for name, layer in layers.items():
        model.add_module(name, layer)
    return prepared(model)


def images_of(num: int, size: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randn(num, 3, size, size, generator=generator)
    return drawn.contiguous(memory_format=torch.channels_last)


def pair(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    other = copy.deepcopy(model)
    assert fused.count(fused.convert(other))["norms"] > 0
    return model, other


def step_of(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """What one pass gives and changes, by name."""
    layers = dropout.dropouts(model)
    dropout.feed(layers, dropout.rows_of(layers, seed=3, step=5, first=2))
    output = model(images)
    output.square().mean().backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    buffers = {f"buffer {name}": buffer for name, buffer in model.named_buffers()}
    return {"output": output.detach(), **gradients, **buffers}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], *, rtol: float) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        # A bias before a norm has a gradient of 0 but for rounding.
        scale = max(tensor.abs().max().item(), 0.01) if tensor.is_floating_point() else 0
        torch.testing.assert_close(
            found[name], tensor, rtol=rtol, atol=rtol * scale, msg=lambda m, n=name: f"{n}: {m}"
        )


def distance(found: dict[str, Tensor], exact: dict[str, Tensor]) -> float:
    """The largest relative error of any tensor, by its norm."""
    assert found.keys() == exact.keys()
    largest = max(tensor.norm().item() for tensor in exact.values() if tensor.is_floating_point())
    return max(
        ((found[name] - tensor).double().norm() / max(tensor.norm(), 1e-4 * largest)).item()
        for name, tensor in exact.items()
        if tensor.is_floating_point()
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_compute_the_same_and_keep_their_names(name, called):
    torch.manual_seed(0)
    plain, other = pair(prepared(create_model(name)))
    images = images_of(8, 32)

    exact = step_of(copy.deepcopy(plain).double(), images.double())
    expected, found = (step_of(model, images) for model in (plain, other))

    # A ReLU whose input is 0 but for rounding may be on in one and off in the other.
    assert distance(found, exact) <= 10 * distance(expected, exact) + 1e-6
    assert list(other.state_dict()) == list(plain.state_dict())
    assert [n for n, _ in other.named_modules()] == [n for n, _ in plain.named_modules()]
    assert called.count("gradient") == len(norms.batch_norms(other))


def test_groups_and_dropout_are_those_of_the_modules(called):
    plain, other = pair(small())
    for model in (plain, other):
        for norm in norms.batch_norms(model):
            norm.group_size = 4

    expected, found = (step_of(model, images_of(12)) for model in (plain, other))

    assert torch.equal(found["output"] == 0, expected["output"] == 0)
    assert_same(found, expected, rtol=1e-5)
    assert called.count("apply") == 2


class Ranks:
    """Ranks as threads of one process, which gather as processes do."""

    def __init__(self, size: int) -> None:
        self._there = threading.Barrier(size, timeout=30)
        self._sent: dict[int, Tensor] = {}

    def gather_of(self, rank: int) -> Callable[[Tensor], Tensor]:
        def gather(tensor: Tensor) -> Tensor:
            self._sent[rank] = tensor
            self._there.wait()
            every = torch.stack([self._sent[other] for other in sorted(self._sent)])
            self._there.wait()
            return every

        return gather


@pytest.mark.parametrize("unbiased", [True, False])
def test_ranks_that_share_statistics_have_those_of_the_whole_batch(called, unbiased):
    plain, other = pair(small(dropout=nn.Identity()))
    for norm in [*norms.batch_norms(plain), *norms.batch_norms(other)]:
        norm.unbiased = unbiased
    expected = step_of(plain, images_of(8))
    ranks, models = Ranks(2), [copy.deepcopy(other) for _ in range(2)]
    for rank, model in enumerate(models):
        for norm in norms.batch_norms(model):
            norm.gather = ranks.gather_of(rank)

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(step_of, models, images_of(8).chunk(2)))

    assert called.count("apply") == 4
    averaged = {
        name: torch.cat([each[name] for each in found])
        if name == "output"
        else torch.stack([each[name].double() for each in found]).mean(0).to(tensor.dtype)
        for name, tensor in expected.items()
    }
    assert_same(averaged, expected, rtol=1e-5)
    for name in expected:
        if name.startswith("buffer"):
            assert torch.equal(found[0][name], found[1][name])


def test_copies_and_pickles_are_fused_too(called):
    _, model = pair(small())

    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(again) is FusedSequential
        assert_same(
            step_of(again, images_of(4)), step_of(copy.deepcopy(model), images_of(4)), rtol=0
        )
    assert called.count("apply") == 8


def untrained_norm(model: nn.Module) -> None:
    model.norm2.eval()


def no_momentum(model: nn.Module) -> None:
    model.norm2.momentum = None


def in_float64(model: nn.Module) -> None:
    model.double()


def with_a_hook(model: nn.Module) -> None:
    model.norm2.register_forward_hook(lambda *_: None)


def with_another_forward(model: nn.Module) -> None:
    model.norm2.forward = model.norm2.forward


@pytest.mark.parametrize(
    ("change", "kernels"),
    [
        (untrained_norm, 1),
        (no_momentum, 1),
        (with_a_hook, 1),
        (with_another_forward, 1),
        (in_float64, 0),
        (nn.Module.eval, 0),
    ],
)
def test_what_kernels_are_not_for_is_left_to_the_modules(change, kernels, called):
    plain, other = pair(small())
    images = images_of(8)
    for model in (plain, other):
        change(model)
    images = images.double() if change is in_float64 else images

    expected, found = (step_of(model, images) for model in (plain, other))

    assert_same(found, expected, rtol=1e-5)
    assert called.count("apply") == kernels


LEFT: dict[str, Callable[[], dict[str, nn.Module]]] = {
    "no scale": lambda: {"norm2": nn.BatchNorm2d(16, affine=False)},
    "no statistics": lambda: {"norm2": nn.BatchNorm2d(16, track_running_stats=False)},
    "another norm": lambda: {"norm2": nn.InstanceNorm2d(16)},
}


@pytest.mark.parametrize("layers", LEFT.values(), ids=LEFT)
def test_norms_of_other_kinds_are_left_to_the_modules(layers, called):
    plain, other = pair(small(**layers()))

    assert_same(step_of(other, images_of(8)), step_of(plain, images_of(8)), rtol=1e-5)
    assert called.count("apply") == 1


@pytest.mark.parametrize(
    "layers",
    [
        {"gelu": nn.GELU(approximate="tanh")},
        {"relu": nn.ReLU6()},
        {"dropout": nn.Dropout(0.0)},
        {"dropout": nn.Dropout(1.0)},
        {"relu": nn.GELU()},  # the mask of a dropout behind it has to be kept
        {"dropout": nn.Dropout2d(0.0)},
    ],
)
def test_what_follows_is_called_where_the_kernel_does_not_do_it(layers, called):
    plain, other = pair(small(**layers))

    assert_same(step_of(other, images_of(8)), step_of(plain, images_of(8)), rtol=1e-5)
    assert called.count("apply") == 2


def test_a_dropout_that_is_evaluated_drops_nothing(called):
    plain, other = pair(small())
    for model in (plain, other):
        model.dropout.eval()

    assert_same(step_of(other, images_of(8)), step_of(plain, images_of(8)), rtol=1e-5)
    assert called.count("apply") == 2


def test_refusals_are_the_norms_own():
    _, model = pair(small())
    for norm in norms.batch_norms(model):
        norm.group_size = 3
    with pytest.raises(ValueError, match="groups of 3 images don't divide a local batch of 8"):
        model(images_of(8))
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        pair(small())[1](images_of(1, 3))


def test_an_output_that_is_changed_in_place_has_its_gradient_or_the_way_out(called):
    plain, other = pair(small(relu=nn.Identity(), dropout=nn.Identity()))
    found, expected = (model(images_of(8)).mul_(2).square().mean() for model in (other, plain))
    found.backward()
    expected.backward()
    torch.testing.assert_close(other.conv.weight.grad, plain.conv.weight.grad)

    _, other = pair(small())
    with pytest.raises(RuntimeError, match=r"inplace operation.*set run.kernels = 'torch', or add"):
        other(images_of(8)).mul_(2).sum().backward()


def test_in_nchw_torchs_layers_stay_and_what_they_give_can_be_viewed(called):
    _, model = pair(small(pool=nn.MaxPool2d(2)))
    images = images_of(8).contiguous()

    output = model.to(memory_format=torch.contiguous_format)(images)

    assert output.is_contiguous()
    assert not called


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own
def test_transformed_functions_have_torchs_layers(called):
    plain, other = pair(small(dropout=nn.Identity()))

    def gradient(model: nn.Module) -> dict[str, Tensor]:
        def loss(parameters: dict[str, Tensor]) -> Tensor:
            buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
            return torch.func.functional_call(model, (parameters, buffers), images_of(4)).sum()

        return torch.func.grad(loss)({n: p.detach() for n, p in model.named_parameters()})

    torch.testing.assert_close(gradient(other), gradient(plain))
    with forward_ad.dual_level():
        other(forward_ad.make_dual(images_of(4), images_of(4)))
    assert not called


def test_on_meta_nothing_is_computed(called):
    _, model = pair(small())

    assert model.to("meta")(images_of(8).to("meta")).shape == (8, 16, 6, 6)
    assert not called


def test_layers_of_a_dropout_are_numbered_as_before():
    plain, other = pair(small())

    assert len(dropout.dropouts(other)) == len(dropout.dropouts(plain)) == 1
    assert type(other.dropout) is Dropout
