"""Muon against its definition: singular values, a loop in NumPy, and torch's SGD for the rest."""

import numpy as np
import pytest
import torch
from torch import nn

from cifarzoo.engine.runner import execute
from cifarzoo.errors import ConfigError
from cifarzoo.zoo.optimizers.muon import muon, orthogonalized
from cifarzoo.zoo.regularizers.average.lookahead import lookahead

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (24, 24)])
def test_five_iterations_bring_every_singular_value_near_one(shape):
    matrix = torch.tensor(RNG.standard_normal(shape))
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    assert values.max() > 3

    found = orthogonalized(100 * matrix, 5)

    kept = torch.linalg.svdvals(found)
    is_large = values / values.norm() > 0.01
    assert is_large.sum() >= len(values) - 1
    assert kept.max() < 1.21
    assert kept.sort().values[-int(is_large.sum()) :].min() > 0.67
    # the singular vectors are the matrix's own: nothing is left off the diagonal
    inner = u.T @ found @ v.T
    torch.testing.assert_close(inner, torch.diag(inner.diag()), atol=1e-9, rtol=0)


def test_one_iteration_is_the_polynomial_of_the_singular_values():
    matrix = torch.tensor(RNG.standard_normal((5, 8)))
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    s = values / values.norm()
    expected = u @ torch.diag(3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5) @ v
    torch.testing.assert_close(orthogonalized(matrix, 1), expected, atol=1e-6, rtol=1e-6)


def newton_schulz(g, steps):
    g = g / np.linalg.norm(g)
    for _ in range(steps):
        square = g @ g.T
        g = 3.4445 * g - 4.7750 * square @ g + 2.0315 * square @ square @ g
    return g


def test_kernels_equal_a_loop_over_the_formula():
    kernel = nn.Parameter(torch.tensor(RNG.standard_normal((4, 3, 3, 3)), dtype=torch.float32))
    optimizer = muon([{"params": [kernel]}], lr=0.2, momentum=0.6, ns_steps=3)
    w, m = kernel.detach().double().numpy().reshape(4, 27), np.zeros((4, 27))
    for rate in (0.2, 0.1, 0.05):
        g = RNG.standard_normal((4, 27))
        kernel.grad = torch.tensor(g.reshape(4, 3, 3, 3), dtype=torch.float32)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        m = 0.6 * m + g
        w = w * np.sqrt(4) / np.linalg.norm(w) - rate * newton_schulz(g + 0.6 * m, 3)
    np.testing.assert_allclose(kernel.detach().numpy().reshape(4, 27), w, atol=2e-6)


def test_the_scale_of_the_loss_does_not_reach_kernels():
    start, gradients = torch.randn(4, 3, 3, 3), torch.randn(3, 4, 3, 3, 3)

    def trained(scale):
        kernel = nn.Parameter(start.clone())
        optimizer = muon([{"params": [kernel]}])
        for gradient in gradients:
            kernel.grad = scale * gradient
            optimizer.step()
        return kernel.detach()

    torch.testing.assert_close(trained(1.0), trained(2000.0))


def test_classifier_and_vectors_are_torchs_sgd_with_equal_products_of_rate_and_decay():
    network = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3)).double()
    twin = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3)).double()
    twin.load_state_dict(network.state_dict())
    hidden, head = network
    assert isinstance(hidden, nn.Linear)
    spared = {"params": [head.bias], "weight_decay": 0.0}
    optimizer = muon(
        [{"params": [hidden.weight, hidden.bias, head.weight]}, spared],
        head_lr=0.5,
        vector_lr=0.25,
        sgd_decay=0.01,
        normalize=False,
    )
    decays = {"0.bias": (0.25, 0.04), "1.weight": (0.5, 0.02), "1.bias": (0.25, 0.0)}
    theirs = torch.optim.SGD(
        [
            {"params": [dict(twin.named_parameters())[name]], "lr": lr, "weight_decay": decay}
            for name, (lr, decay) in decays.items()
        ],
        momentum=0.85,
        nesterov=True,
    )
    before, first = hidden.weight.detach().clone(), torch.empty(0)
    for _ in range(4):
        for ours, its in zip(network.parameters(), twin.parameters(), strict=True):
            ours.grad = torch.randn_like(ours)
            its.grad = ours.grad.clone()
        optimizer.step()
        theirs.step()
        first = first if len(first) else torch.linalg.svdvals(hidden.weight.detach() - before)
    for name in decays:
        torch.testing.assert_close(
            dict(network.named_parameters())[name], dict(twin.named_parameters())[name]
        )
    assert first.min() > 0.24 * 0.67  # a hidden matrix moves along every direction
    assert first.max() < 0.24 * 1.21


def test_a_parameter_without_gradient_stays():
    kernel = nn.Parameter(torch.ones(2, 3, 3, 3))
    muon([{"params": [kernel]}]).step()
    assert torch.equal(kernel.detach(), torch.ones(2, 3, 3, 3))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"lr": 0.0}, r"lr is 0.0; expected a number above 0"),
        ({"head_lr": -1.0}, r"head_lr is -1.0; expected a number above 0"),
        ({"vector_lr": float("inf")}, r"vector_lr is inf; expected a number above 0"),
        ({"momentum": 1.0}, r"momentum is 1.0; expected 0 to below 1"),
        ({"sgd_momentum": -0.1}, r"sgd_momentum is -0.1; expected 0 to below 1"),
        ({"ns_steps": 0}, r"ns_steps is 0; expected 1 to 20"),
        ({"sgd_decay": -1.0}, r"sgd_decay is -1.0; expected a number of at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        muon([{"params": [nn.Parameter(torch.ones(2))]}], **setting)


@pytest.mark.parametrize("precision", ["bfloat16", "float32", "float64"])
def test_updates_are_made_orthogonal_in_the_type_of_the_runs_passes(task, precision, monkeypatch):
    seen = []

    def recorded(matrix, steps):
        seen.append(matrix.dtype)
        return orthogonalized(matrix, steps)

    monkeypatch.setattr("cifarzoo.zoo.optimizers.muon.orthogonalized", recorded)
    execute(task(optimizer=muon, regularizers=[lookahead], precision=precision, max_steps=1))
    assert seen[-1] is getattr(torch, precision)  # behind those of the trial on a small network


def test_bfloat16_changes_a_kernels_update_by_its_rounding_alone():
    gradient = torch.tensor(RNG.standard_normal((32, 3, 3, 3)), dtype=torch.float32)
    start = torch.tensor(RNG.standard_normal((32, 3, 3, 3)), dtype=torch.float32)
    found = []
    for dtype in (None, torch.bfloat16):
        kernel = nn.Parameter(start.clone())
        optimizer = muon([{"params": [kernel]}], lr=0.2, ns_steps=3, normalize=False)
        optimizer.compute_dtype = dtype
        kernel.grad = gradient.clone()
        optimizer.step()
        found.append((kernel.detach() - start).flatten(1))
    plain, rounded = found
    assert not torch.equal(plain, rounded)
    # The matrix has norm 1 when it is rounded, to 2^-9 of each number; three polynomials, whose
    # slope at 0 is 3.4445, make that larger, and round as much on the way.
    assert (plain - rounded).norm() < 0.2 * 3.4445**3 * 2 * 2**-9
