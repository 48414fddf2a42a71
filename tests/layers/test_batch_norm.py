"""BatchNorm over groups and ranks equals NumPy, torch's own, and one big batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from cifarzoo.layers.batch_norm import BatchNorm2d, batched_in_groups, looped_in_groups

COUNT = 8 * 5 * 5  # numbers a channel in a batch of `images()`


def images(seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 + 3 * torch.randn(8, 4, 5, 5, generator=generator, dtype=torch.float64).to(dtype)


def norm(**settings: Any) -> BatchNorm2d:
    module = BatchNorm2d(4, **settings).double()
    if module.affine:
        with torch.no_grad():
            module.weight.copy_(torch.tensor([1.5, -0.5, 2.0, 0.1]))
            module.bias.copy_(torch.tensor([0.0, 1.0, -1.0, 3.0]))
    return module


def backward(module: Callable[[Tensor], Tensor], x: Tensor, upstream: Tensor) -> Tensor:
    """The gradient of x."""
    x = x.clone().requires_grad_()
    module(x).backward(upstream)
    assert x.grad is not None
    return x.grad


def assert_equal(actual: Tensor, expected: Tensor, atol: float = 1e-12) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


@pytest.mark.parametrize(("unbiased", "factor"), [(True, COUNT / (COUNT - 1)), (False, 1.0)])
def test_a_batch_is_normalised_and_tracked_as_in_numpy(unbiased: bool, factor: float):
    module, x = norm(unbiased=unbiased, momentum=0.2, eps=1e-3), images()
    pixels = x.numpy().transpose(1, 0, 2, 3).reshape(4, -1)
    mean, var = pixels.mean(1), pixels.var(1)

    output = module(x)

    scale = module.weight.detach().numpy() / np.sqrt(var + 1e-3)
    shift = module.bias.detach().numpy() - mean * scale
    expected = x.numpy() * scale[:, None, None] + shift[:, None, None]
    assert_equal(output.detach(), torch.from_numpy(expected))
    assert_equal(module.running_mean, torch.from_numpy(0.2 * mean))
    assert_equal(module.running_var, torch.from_numpy(0.8 + 0.2 * var * factor))
    assert module.num_batches_tracked == 1


@pytest.mark.parametrize("setting", [{}, {"group_size": 2}, {"gather": lambda t: t[None]}])
@pytest.mark.parametrize("unbiased", [True, False])
def test_without_momentum_running_statistics_are_plain_averages(
    setting: dict[str, Any], unbiased: bool
):
    module = norm(momentum=None, unbiased=unbiased)
    for name, value in setting.items():
        setattr(module, name, value)
    size = setting.get("group_size", 8)

    for step in range(3):
        module(images(step))

    groups = torch.cat([images(step) for step in range(3)]).split(size)
    variances = [g.var((0, 2, 3), correction=int(unbiased)) for g in groups]
    assert_equal(module.running_mean, torch.stack([g.mean((0, 2, 3)) for g in groups]).mean(0))
    assert_equal(module.running_var, torch.stack(variances).mean(0))


def test_the_biased_running_variance_leaves_outputs_and_gradients_alone():
    ours, torchs = norm(unbiased=False), norm()
    upstream = torch.randn(8, 4, 5, 5, dtype=torch.float64)

    gradients = [backward(module, images(), upstream) for module in (ours, torchs)]

    assert torch.equal(*gradients)
    assert torch.equal(ours.weight.grad, torchs.weight.grad)
    assert torch.equal(ours(images()), torchs(images()))


@pytest.mark.parametrize("unbiased", [True, False])
def test_groups_equal_separate_norms_whose_running_statistics_are_averaged(unbiased: bool):
    grouped, separate = norm(unbiased=unbiased), [norm(unbiased=unbiased) for _ in range(4)]
    grouped.group_size = 2
    x, upstream = images(), images(1)

    gradient = backward(grouped, x, upstream)

    pairs = zip(separate, x.split(2), upstream.split(2), strict=True)
    assert_equal(gradient, torch.cat([backward(*pair) for pair in pairs]))
    assert_equal(grouped.weight.grad, sum(module.weight.grad for module in separate))
    assert_equal(grouped.bias.grad, sum(module.bias.grad for module in separate))
    for name in ("running_mean", "running_var"):
        mean = torch.stack([getattr(module, name) for module in separate]).mean(0)
        assert_equal(getattr(grouped, name), mean)


class Exchange:
    """Stacks what the threads of a test give, as a process group does for its ranks."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=30)
        self.given: list[Any] = [None] * size

    def gather(self, rank: int) -> Callable[[Tensor], Tensor]:
        def stack(values: Tensor) -> Tensor:
            self.given[rank] = values
            self.barrier.wait()
            stacked = torch.stack(self.given)
            self.barrier.wait()
            return stacked

        return stack


def on_ranks(modules: Sequence[BatchNorm2d], *batches: Sequence[Tensor]) -> list[Tensor]:
    """``backward`` of each module on its own batch, all at once, one thread a rank."""
    exchange = Exchange(len(modules))
    for rank, module in enumerate(modules):
        module.gather = exchange.gather(rank)
    with ThreadPoolExecutor(len(modules)) as pool:
        return list(pool.map(backward, modules, *batches))


@pytest.mark.parametrize("settings", [{}, {"unbiased": False}, {"affine": False}])
@pytest.mark.parametrize("size", [2, 4])
def test_ranks_that_share_statistics_equal_one_big_batch(settings: dict[str, Any], size: int):
    whole, ranks = norm(**settings), [norm(**settings) for _ in range(size)]
    x, upstream = images(), images(1)

    gradients = on_ranks(ranks, x.chunk(size), upstream.chunk(size))

    assert_equal(torch.cat(gradients), backward(whole, x, upstream))
    for rank in ranks:
        assert_equal(rank.running_mean, whole.running_mean)
        assert_equal(rank.running_var, whole.running_var)
    if whole.affine:
        assert_equal(sum(rank.weight.grad for rank in ranks), whole.weight.grad)
        assert_equal(sum(rank.bias.grad for rank in ranks), whole.bias.grad)


@pytest.mark.parametrize("affine", [True, False])
def test_the_gradient_over_ranks_is_the_derivative(affine: bool):
    module = norm(affine=affine)
    module.gather = lambda values: torch.stack([values, values])  # a twin with the same images

    def twins(x: Tensor) -> Tensor:
        return module(x) * 1.0

    x = images()[:2, :, :2, :2].clone().requires_grad_()
    assert torch.autograd.gradcheck(twins, (x,))


def test_ranks_with_large_means_lose_no_precision_in_the_variance():
    x = images(dtype=torch.float32) + 10_000
    module = BatchNorm2d(4, unbiased=False, momentum=1.0)
    module.gather = lambda values: values[None]

    module(x)

    expected = x.double().var((0, 2, 3), correction=0)
    torch.testing.assert_close(module.running_var.double(), expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("setting", [{}, {"group_size": 4}, {"gather": lambda t: t[None]}])
def test_statistics_are_float32_under_autocast(setting: dict[str, Any]):
    module = BatchNorm2d(4, unbiased=False, momentum=1.0)
    for name, value in setting.items():
        setattr(module, name, value)
    x = images(dtype=torch.bfloat16).requires_grad_()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = module(x)
    output.sum().backward()

    exact = torch.stack([g.double().mean((0, 2, 3)) for g in x.detach().split(4)]).mean(0)
    assert output.dtype == x.grad.dtype == torch.bfloat16
    torch.testing.assert_close(module.running_mean.double(), exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("setting", [{"group_size": 2}, {"gather": lambda t: t[None]}])
def test_evaluation_uses_the_running_statistics_whatever_the_group(setting: dict[str, Any]):
    plain, grouped = norm(unbiased=False), norm(unbiased=False)
    plain(images())
    grouped.load_state_dict(plain.state_dict())
    for name, value in setting.items():
        setattr(grouped, name, value)

    assert torch.equal(grouped.eval()(images(1)[:3]), plain.eval()(images(1)[:3]))


def test_without_running_statistics_groups_normalise_all_the_same():
    tracked, untracked = norm(), norm(track_running_stats=False, unbiased=False)
    untracked.group_size = tracked.group_size = 2
    assert torch.equal(tracked(images()), untracked(images()))
    assert untracked.running_mean is None


@pytest.mark.parametrize("setting", [{}, {"group_size": 2}, {"gather": lambda t: t[None]}])
def test_channels_last_stays(setting: dict[str, Any]):
    module = norm(unbiased=False)
    for name, value in setting.items():
        setattr(module, name, value)
    output = module(images().to(memory_format=torch.channels_last))
    assert output.is_contiguous(memory_format=torch.channels_last)


def test_groups_that_do_not_divide_the_batch_are_refused():
    module = norm()
    module.group_size = 3
    with pytest.raises(ValueError, match="groups of 3 images don't divide a local batch of 8"):
        module(images())


def test_groups_within_and_over_ranks_at_once_are_refused():
    module = norm()
    module.group_size, module.gather = 2, lambda values: values[None]
    with pytest.raises(ValueError, match="groups of 2 images and ranks that share statistics"):
        module(images())


@pytest.mark.parametrize("shape", [(16, 6), (16, 6, 7), (16, 6, 5, 5), (16, 6, 3, 4, 2)])
@pytest.mark.parametrize("is_channels_last", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_groups_in_one_call_equal_the_loop(shape: Any, is_channels_last: bool, affine: bool):
    generator = torch.Generator().manual_seed(0)

    def drawn(*sizes: int) -> Tensor:
        return 1 + 2 * torch.randn(*sizes, generator=generator, dtype=torch.float64)

    x, upstream, weight, bias = drawn(*shape), 0.1 * drawn(*shape), drawn(6), drawn(6)
    if is_channels_last:
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    results = []
    for in_groups in (batched_in_groups, looped_in_groups):
        leaves = [t.clone().requires_grad_() for t in (x, weight, bias)[: 3 if affine else 1]]
        given = leaves if affine else [*leaves, None, None]
        output, statistics = in_groups(*given, 1e-5, num_groups=4)
        output.backward(upstream)
        assert output.stride() == x.stride() or x.ndim == 3  # torch has no such layout there
        results.append([output, statistics, *(t.grad for t in leaves)])

    for batched, looped in zip(*results, strict=True):
        assert_equal(batched, looped, atol=1e-13)


class Counted(TorchDispatchMode):
    """Counts the operators that a GPU would have a kernel for."""

    VIEWS = (
        "view",
        "_unsafe_view",
        "t.",
        "permute",
        "split",
        "select",
        "unbind",
        "detach",
        "empty",
    )

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.name().removeprefix("aten::").startswith(self.VIEWS)
        return func(*args, **(kwargs or {}))


def test_groups_in_one_call_need_the_kernels_of_one_group_and_few_more():
    counts = []
    for in_groups in (batched_in_groups, looped_in_groups):
        x = images().requires_grad_()
        weight, bias = (torch.ones(4, dtype=torch.float64, requires_grad=True) for _ in range(2))
        with Counted() as counted:
            in_groups(x, weight, bias, 1e-5, 8)[0].sum().backward()
        counts.append(counted.count)

    assert counts[0] <= 16
    assert counts[1] >= 4 * counts[0]
