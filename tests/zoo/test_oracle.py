"""Same weights, images and gates, same numbers as the unmodified Flax code of 2020."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo import flax_weights
from cifarzoo.engine.assembly.residual import ResidualPort
from cifarzoo.engine.device.kernels import Kernels, convert, load
from cifarzoo.layers.kernels import fused
from cifarzoo.layers.norms import batch_norms
from cifarzoo.randomness.injection import inject
from cifarzoo.zoo.architectures.named import pyramid, wrn26_2, wrn26_6_ss, wrn26_10
from cifarzoo.zoo.regularizers.branch.shake_drop import shake_drop
from cifarzoo.zoo.regularizers.branch.shake_shake import shake_shake
from tests.oracle import FOLDER, L2, NETWORKS, Recording

VARIANTS = tuple(NETWORKS)
PRECISIONS = (torch.float64, torch.float32)
KERNELS = [(torch.float64, "torch"), (torch.float32, "torch"), (torch.float32, "fused")]
NAMES = {torch.float64: "f64", torch.float32: "f32"}
# Largest absolute differences; in float32 rounding is all that is left.
TOLERANCE = {
    torch.float64: {"logits": 1e-10, "loss": 1e-10, "grads": 1e-10, "state1": 1e-10},
    torch.float32: {"logits": 1e-5, "loss": 2e-6, "grads": 5e-6, "state1": 1e-5},
}

recording = cache(Recording)


def assert_close(actual: Tensor, expected: Tensor, atol: float) -> None:
    torch.testing.assert_close(actual.double(), expected.double(), rtol=0, atol=atol)


def assert_all_close(actual: dict[str, Tensor], expected: dict[str, Tensor], atol: float) -> None:
    assert actual.keys() >= expected.keys()
    for name, tensor in expected.items():
        assert_close(actual[name].detach(), tensor, atol)


@cache
def first_step(
    variant: str, dtype: torch.dtype, kernels: str
) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """A model after one backward pass, its logits, and the loss without and with L2."""
    recorded = recording(variant)
    model = recorded.network(dtype)
    if kernels == "fused":
        convert(model, Kernels(code=load().code))
        assert sum(fused.count(model).values()) == len(batch_norms(model))
    inject(model, recorded.gates(0))
    logits = model(recorded.images[0].to(dtype))
    cross_entropy = F.cross_entropy(logits, recorded.labels[0])
    l2 = sum(p.square().sum() for p in model.parameters() if p.ndim > 1)
    loss = cross_entropy + 0.5 * L2 * l2
    loss.backward()
    return model, logits.detach(), cross_entropy.detach(), loss.detach()


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_in_evaluation_are_the_originals(variant: str, dtype: torch.dtype):
    recorded = recording(variant)
    logits = recorded.network(dtype).eval()(recorded.images[0].to(dtype)).detach()
    expected = recorded.tensor(f"{NAMES[dtype]}/eval_logits")
    assert_close(logits, expected, TOLERANCE[dtype]["logits"])


@pytest.mark.parametrize(("dtype", "kernels"), KERNELS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_and_losses_in_training_are_the_originals(
    variant: str, dtype: torch.dtype, kernels: str
):
    recorded, name, tolerance = recording(variant), NAMES[dtype], TOLERANCE[dtype]
    _, logits, cross_entropy, loss = first_step(variant, dtype, kernels)
    assert_close(logits, recorded.tensor(f"{name}/train_logits"), tolerance["logits"])
    assert_close(cross_entropy, recorded.tensor(f"{name}/ce_loss"), tolerance["loss"])
    assert_close(loss, recorded.tensor(f"{name}/loss"), tolerance["loss"])


@pytest.mark.parametrize(("dtype", "kernels"), KERNELS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_are_the_originals(variant: str, dtype: torch.dtype, kernels: str):
    tensors = flax_weights.tensors(first_step(variant, dtype, kernels)[0])
    gradients = {name: tensor.grad for name, tensor in tensors.items() if tensor.grad is not None}
    assert_all_close(gradients, recording(variant).expected("grads"), TOLERANCE[dtype]["grads"])


@pytest.mark.parametrize(("dtype", "kernels"), KERNELS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_running_statistics_are_the_originals(variant: str, dtype: torch.dtype, kernels: str):
    tensors = flax_weights.tensors(first_step(variant, dtype, kernels)[0])
    assert_all_close(tensors, recording(variant).expected("state1"), TOLERANCE[dtype]["state1"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_three_steps_of_training_end_with_the_originals_weights(variant: str):
    recorded = recording(variant)
    model, images = recorded.network(torch.float64), recorded.images.double()
    decayed, rest = (
        [p for p in model.parameters() if (p.ndim > 1) == is_] for is_ in (True, False)
    )
    groups = [{"params": decayed, "weight_decay": L2}, {"params": rest}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True)

    losses = []
    for step in range(3):
        inject(model, recorded.gates(step))
        loss = F.cross_entropy(model(images[step]), recorded.labels[step])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())

    assert_close(torch.stack(losses), recorded.tensor("f64/step_ce_loss"), 1e-10)
    assert_all_close(flax_weights.tensors(model), recorded.expected("params3"), 1e-10)
    assert_all_close(flax_weights.tensors(model), recorded.expected("state3"), 1e-10)
    logits = model.eval()(images[0]).detach()
    assert_close(logits, recorded.tensor("f64/eval_logits_after3"), 1e-10)


@pytest.mark.parametrize(
    ("make", "regularizers"),
    [
        (wrn26_10, []),
        (wrn26_2, []),
        (wrn26_6_ss, [shake_shake()]),
        (pyramid, [shake_drop()]),
    ],
)
def test_the_published_networks_have_the_originals_tensors_in_its_order(
    make: Callable[..., nn.Module], regularizers: list
):
    inventory = json.loads((FOLDER / "inventory.json").read_text())[make.__name__]
    with torch.device("meta"):
        model = make(10, ResidualPort(regularizers))

    ours = {name: tuple(tensor.shape) for name, tensor in flax_weights.tensors(model).items()}
    theirs = {
        flax_weights.our_name(n): in_torch(s) for n, s in inventory["params"] + inventory["state"]
    }
    assert ours == theirs
    assert list(ours)[: len(inventory["params"])] == list(theirs)[: len(inventory["params"])]
    assert sum(p.numel() for p in model.parameters()) == inventory["num_parameters"]


def in_torch(shape: list[int]) -> tuple[int, ...]:
    """A shape of the original's in torch's layout."""
    return (shape[-1], shape[-2], *shape[:-2]) if len(shape) > 1 else tuple(shape)
