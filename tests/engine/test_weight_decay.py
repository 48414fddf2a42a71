"""Weight-decay policies on small networks whose every parameter can be named."""

import pytest
import torch
from torch import nn

from cifarzoo.engine.assembly.weight_decay import POLICIES, split
from cifarzoo.errors import ConfigError
from cifarzoo.layers.batch_norm import BatchNorm2d
from cifarzoo.zoo.optimizers.sgd import sgd


class Odd(nn.Module):
    """Every sort of parameter, under layer names that would mislead a search for substrings."""

    def __init__(self):
        super().__init__()
        self.bias_norm = nn.Conv2d(3, 4, 3)
        self.bn = BatchNorm2d(4)
        self.kernel = nn.LayerNorm([4, 8, 8])  # its scale and shift have three dimensions
        self.slope = nn.PReLU(4)
        self.attention = nn.MultiheadAttention(4, 1)
        self.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.gain = nn.Parameter(torch.ones(4))
        self.head = nn.Linear(4, 10)


KERNELS = {
    "token",
    "bias_norm.weight",
    "attention.in_proj_weight",
    "attention.out_proj.weight",
    "head.weight",
}
NORMS = {"bn.weight", "bn.bias", "kernel.weight", "kernel.bias"}
BIASES = {"bias_norm.bias", "attention.in_proj_bias", "attention.out_proj.bias", "head.bias"}
OTHERS = {"gain", "slope.weight"}
DECAYED = {
    "all": KERNELS | NORMS | BIASES | OTHERS,
    "kernels": KERNELS,
    "flax2020": KERNELS | NORMS,
    "no_norm_bias": KERNELS - {"token"},
}


@pytest.mark.parametrize("policy", POLICIES)
def test_each_policy_decays_what_it_says(policy):
    coverage = split(Odd(), policy)
    assert {name for name, _ in coverage.decayed} == DECAYED[policy]
    assert {name for name, _ in coverage.spared} == DECAYED["all"] - DECAYED[policy]


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm1d(4),
        nn.BatchNorm2d(4),
        nn.BatchNorm3d(4),
        nn.SyncBatchNorm(4),
        nn.InstanceNorm2d(4, affine=True),
        nn.GroupNorm(2, 4),
        nn.LayerNorm([2, 2]),
        nn.RMSNorm([2, 2]),
    ],
    ids=lambda norm: type(norm).__name__,
)
def test_every_norm_layer_of_pytorch_is_known(norm):
    assert split(norm, "kernels").decayed == []
    assert split(norm, "no_norm_bias").decayed == []
    assert split(norm, "flax2020").spared == []


class Exempting(nn.Module):
    """A transformer's parameters as people write them; it names what is spared, as timm's do."""

    def __init__(self) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, 4))
        self.table = nn.Parameter(torch.zeros(9, 2))
        self.class_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.layer_scale = nn.Parameter(torch.ones(4))
        self.temperature = nn.Parameter(torch.ones(()))
        self.norm_scale = nn.Parameter(torch.ones(1, 4, 1, 1))
        self.gate = nn.Linear(4, 1)  # a kernel (1, 4)
        self.by_hand = nn.Parameter(torch.zeros(4, 4))

    def no_weight_decay(self) -> set[str]:
        return {"pos_embed", "gate.weight", "dist_token"}


@pytest.mark.parametrize("prefix", ["", "net."])
def test_scales_tokens_and_what_the_network_names_are_spared(prefix):
    model = Exempting() if not prefix else nn.ModuleDict({"net": Exempting()})
    coverage = split(model, "no_norm_bias")
    assert [name for name, _ in coverage.decayed] == [f"{prefix}table", f"{prefix}by_hand"]
    # The other policies go on as they did: flax2020 and kernels repeat published code.
    kernels = {name.removeprefix(prefix) for name, _ in split(model, "kernels").decayed}
    assert kernels == {
        "pos_embed",
        "table",
        "class_token",
        "norm_scale",
        "gate.weight",
        "by_hand",
    }


def test_a_kernel_of_one_row_is_a_kernel():
    model = nn.Sequential(nn.Linear(4, 1), nn.Conv2d(1, 1, (1, 3)))
    assert {name for name, _ in split(model, "no_norm_bias").decayed} == {"0.weight", "1.weight"}


@pytest.mark.parametrize("policy", POLICIES)
def test_every_trainable_parameter_is_in_one_group_in_the_models_order(policy):
    model = Odd()
    model.head.bias.requires_grad_(False)
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    coverage = split(model, policy)
    names = [[name for name, _ in part] for part in (coverage.decayed, coverage.spared)]
    assert sorted(names[0] + names[1]) == sorted(trainable)
    assert all(part == sorted(part, key=trainable.index) for part in names)


def test_shared_parameters_count_once_as_their_first_owners():
    model = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
    model[1].weight = model[0].weight
    coverage = split(model, "kernels")
    assert [name for name, _ in coverage.decayed] == ["0.weight"]
    assert [name for name, _ in coverage.spared] == ["0.bias", "1.bias"]


def test_the_groups_make_an_optimizer_that_spares_the_second():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    optimizer = sgd(split(model, "kernels").groups(), lr=0.1, weight_decay=0.5)
    for parameter in model.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert model[0].weight.max() < 1
    assert all((p == 1).all() for p in (model[0].bias, *model[1].parameters()))


def test_the_summary_counts_tensors_and_values():
    model = nn.Sequential(nn.Conv2d(3, 40, 3), BatchNorm2d(40), nn.Linear(40, 10))
    assert split(model, "flax2020").summary() == (
        "flax2020: 4 tensors, 1,560 values decayed; 2 tensors, 50 values spared"
    )


def test_an_unknown_policy_is_refused_in_words():
    expected = "weight_decay_policy is 'bias'; expected all, kernels, flax2020, no_norm_bias"
    with pytest.raises(ConfigError, match=expected):
        split(nn.Linear(1, 1), "bias")
