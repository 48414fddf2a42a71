"""Every kind of batch norm obeys groups and ranks, or is found by its name."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo.layers.batch_norm import BatchNorm1d, BatchNorm2d, BatchNorm3d, SyncBatchNorm
from cifarzoo.layers.norms import batch_norms, convert, disobedient, running_statistics
from tests.layers.test_batch_norm import assert_equal, backward, images, on_ranks


class Activated(nn.BatchNorm2d):
    """Calls what it inherits."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x))


class Functional(nn.BatchNorm2d):
    """Calls ``F.batch_norm`` itself, as the norms with activations of large libraries do."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=0.3)
        self.activation = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(int(self.training))
        x = F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, 0.3, 1e-3
        )
        return self.activation(x)


class ByHand(nn.BatchNorm2d):
    """Takes its statistics as nobody can know."""

    def forward(self, x: Tensor) -> Tensor:
        var, mean = torch.var_mean(x, (0, 2, 3), keepdim=True, correction=0)
        return (x - mean) / (var + self.eps).sqrt()


class Ghost(nn.BatchNorm2d):
    """Has a setting by a name of ours."""

    group_size = 3


class Anywhere(nn.modules.batchnorm._BatchNorm):
    """For features of any dimension."""

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002  (torch's name)
        pass


class Activated1d(nn.BatchNorm1d):
    """For (N, C, L) alone."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.ndim == 3
        return F.relu(super().forward(x))


def shaped(*after: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 1 + 2 * torch.randn(8, 4, *after, generator=generator, dtype=torch.float64)


KINDS: list[tuple[Callable[[int], nn.Module], tuple[int, ...]]] = [
    (nn.BatchNorm1d, ()),
    (nn.BatchNorm1d, (5,)),
    (nn.BatchNorm2d, (3, 3)),
    (nn.BatchNorm3d, (2, 3, 3)),
    (nn.SyncBatchNorm, (3, 3)),
    (nn.SyncBatchNorm, ()),
    (Activated, (3, 3)),
    (Functional, (3, 3)),
    (Anywhere, (3,)),
    (Activated1d, (3,)),
]


def converted(kind: Callable[[int], nn.Module]) -> Any:
    torch.manual_seed(0)
    module: Any = nn.Sequential(kind(4)).double()
    with torch.no_grad():
        module[0].weight.uniform_(0.5, 1.5)
        module[0].bias.normal_()
    return convert(module)[0]


def check_equal_to(reference: list[Any], module: Any) -> None:
    for name in ("running_mean", "running_var"):
        mean = torch.stack([getattr(other, name) for other in reference]).mean(0)
        assert_equal(getattr(module, name), mean)
    assert module.num_batches_tracked == 1


@pytest.mark.parametrize(("kind", "shape"), KINDS)
def test_groups_of_every_kind_equal_separate_norms(kind, shape):
    grouped, separate = converted(kind), [converted(kind) for _ in range(4)]
    grouped.group_size, grouped.batch_size = 2, 8
    x, upstream = shaped(*shape), shaped(*shape, seed=1)

    gradient = backward(grouped, x, upstream)

    pairs = zip(separate, x.split(2), upstream.split(2), strict=True)
    assert_equal(gradient, torch.cat([backward(*pair) for pair in pairs]))
    assert_equal(grouped.weight.grad, sum(module.weight.grad for module in separate))
    check_equal_to(separate, grouped)


@pytest.mark.parametrize(("kind", "shape"), KINDS)
def test_ranks_of_every_kind_equal_one_big_batch(kind, shape):
    whole, ranks = converted(kind), [converted(kind) for _ in range(2)]
    x, upstream = shaped(*shape), shaped(*shape, seed=1)

    gradients = on_ranks(ranks, x.chunk(2), upstream.chunk(2))

    assert_equal(torch.cat(gradients), backward(whole, x, upstream))
    for rank in ranks:
        check_equal_to([whole], rank)


def test_an_input_without_channels_is_refused():
    with pytest.raises(ValueError, match=r"SyncBatchNorm got \(4,\); expected \(N, C, ...\)"):
        converted(nn.SyncBatchNorm)(torch.zeros(4, dtype=torch.float64))


def test_rows_of_one_image_stay_in_its_group():
    tokens, features = converted(nn.BatchNorm1d), converted(nn.BatchNorm1d)
    for module in (tokens, features):
        module.group_size, module.batch_size = 2, 8
    x = shaped(5)  # eight images of five tokens

    flat = tokens(x.transpose(1, 2).flatten(0, 1))

    assert_equal(flat.unflatten(0, (8, 5)).transpose(1, 2), features(x))


@pytest.mark.parametrize("kind", [kind for kind, _ in KINDS])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_obeys_is_known(kind, device):
    assert not [*disobedient(convert(nn.Sequential(kind(4)).to(device)))]


@pytest.mark.parametrize("kind", [ByHand, Ghost])
def test_what_takes_statistics_by_itself_is_named(kind):
    model = convert(nn.Sequential(nn.Identity(), kind(4)))
    state = copy.deepcopy(model.state_dict())

    assert [*disobedient(model)] == [("1", model[1])]

    torch.testing.assert_close(model.state_dict(), state, rtol=0, atol=0)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_subclass_is_copied_with_its_groups(copied):
    module = converted(Functional)
    module.group_size = 4

    again = copied(module)

    assert isinstance(again, Functional)
    assert type(again) is type(module)
    assert again.group_size == 4
    assert again.weight is not module.weight
    assert torch.equal(again(shaped(3, 3)), module(shaped(3, 3)))


def test_a_subclass_in_evaluation_is_as_it_was():
    plain = Activated(4).double()
    module = convert(copy.deepcopy(plain))
    module.group_size = 2
    assert torch.equal(module.eval()(shaped(3, 3)), plain.eval()(shaped(3, 3)))


def test_conversion_keeps_everything_that_a_network_holds_of_its_norms():
    plain = nn.BatchNorm2d(4, eps=0.1, momentum=None)
    calls: list[str] = []
    plain.register_forward_hook(lambda *_: calls.append("heard"))
    model = nn.Sequential(plain, nn.ReLU(), plain)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    weight = plain.weight

    assert convert(model) is model

    assert model[0] is model[2] is plain
    assert type(plain) is BatchNorm2d
    assert plain.weight is weight
    assert (plain.eps, plain.momentum, plain.unbiased) == (0.1, None, True)
    torch.testing.assert_close(model.state_dict(), state, rtol=0, atol=0)
    model(images(dtype=torch.float32))
    assert calls == ["heard", "heard"]


def test_conversion_leaves_our_own_and_lazy_ones_alone():
    own, lazy = BatchNorm2d(4, unbiased=False), nn.LazyBatchNorm2d()
    model = nn.Sequential(own, lazy, nn.BatchNorm1d(4), nn.BatchNorm3d(4), nn.SyncBatchNorm(4))
    convert(model)
    kinds = [BatchNorm2d, nn.LazyBatchNorm2d, BatchNorm1d, BatchNorm3d, SyncBatchNorm]
    assert [type(module) for module in model] == kinds
    assert not own.unbiased
    assert batch_norms(model) == [model[0], *model[2:]]


def test_running_statistics_are_those_of_all_norms_that_have_some():
    model = nn.Sequential(
        BatchNorm2d(2),
        nn.BatchNorm1d(3),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.SyncBatchNorm(5),
        nn.InstanceNorm2d(6, track_running_stats=True),
    )
    sizes = [t.shape[0] for t in running_statistics(model)]
    assert sizes == [2, 2, 3, 3, 5, 5, 6, 6]
    assert running_statistics(model)[1] is model[0].running_var
