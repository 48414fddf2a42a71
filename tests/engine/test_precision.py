"""The arithmetic that a device is best at, as far as a CPU can tell."""

from __future__ import annotations

import os
import platform
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from cifarzoo.engine.device.precision import Policy, Scaler, choose, has_fast_bfloat16, numerics
from cifarzoo.engine.step import clip_gradient
from tests.tiny import tiny_run

CPU = torch.device("cpu")


def policy(name: str = "float32", *, deterministic: bool = False) -> Policy:
    return Policy(
        name=name, channels_last=True, compile=False, deterministic=deterministic, threads=1
    )


def step(scaler: Scaler, loss_scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Weights before and after a clipped step of fused SGD on a linear model."""
    model = nn.Linear(3, 2)
    nn.init.constant_(model.weight, 0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, fused=True)
    before = model.weight.detach().clone()

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (model(torch.arange(6.0).view(2, 3)) * loss_scale).sum()
        scaler.backward(loss)
        scaler.unscale(optimizer)
        clip_gradient(list(model.parameters()), 0.5)
        return loss

    scaler.step(optimizer, closure)
    return before, model.weight.detach()


def test_a_scaled_loss_gives_the_same_clipped_step():
    _, plain = step(Scaler(policy(), CPU))
    _, scaled = step(Scaler(policy("float16"), CPU))

    torch.testing.assert_close(scaled, plain)


def test_a_first_step_that_overflows_leaves_no_momenta():
    scaler = Scaler(policy("float16"), CPU)
    weight = torch.ones(1000, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9, fused=True)

    def closure(scale: float) -> Tensor:
        optimizer.zero_grad()
        loss = (weight * scale).sum()
        scaler.backward(loss)
        return loss

    scaler.step(optimizer, partial(closure, 1e38))
    assert optimizer.state_dict()["state"] == {}
    scaler.step(optimizer, partial(closure, 2.0))

    momentum = optimizer.state[weight]["momentum_buffer"]
    torch.testing.assert_close(momentum, torch.full_like(momentum, 2.0))


def test_an_overflow_skips_the_step_and_halves_the_scale():
    scaler = Scaler(policy("float16"), CPU)
    scale = scaler.state_dict()["scale"]

    before, after = step(scaler, loss_scale=1e35)

    assert torch.equal(before, after)
    assert scaler.state_dict()["scale"] == scale / 2


def test_a_scaler_goes_on_from_its_state_or_starts_anew_where_there_was_none():
    halved = Scaler(policy("float16"), CPU)
    step(halved, loss_scale=1e35)
    again, anew = Scaler(policy("float16"), CPU), Scaler(policy("float16"), CPU)

    again.load_state_dict(halved.state_dict())
    anew.load_state_dict(Scaler(policy(), CPU).state_dict())

    assert again.state_dict() == halved.state_dict()
    assert anew.state_dict() == Scaler(policy("float16"), CPU).state_dict()


def test_determinism_tells_cublas_too(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)

    with numerics(policy(deterministic=True), strict=True):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.parametrize(
    ("capabilities", "is_fast"),
    [
        ({"cpu_name": "Intel(R) Xeon(R)", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "Intel(R) Xeon(R)", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": False, "amx_bf16": False}, False),
        ({}, False),
    ],
)
def test_bfloat16_is_taken_where_the_processor_is_fast_at_it(capabilities, is_fast, monkeypatch):
    assert has_fast_bfloat16(capabilities) == is_fast
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    taken = choose(tiny_run(precision="auto"), CPU).name
    assert taken == ("bfloat16" if is_fast else "float32")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="torch names them so on x86-64 alone")
def test_this_processor_has_the_capabilities_that_are_asked_for():
    capabilities = torch.cpu.get_capabilities()

    assert isinstance(capabilities["cpu_name"], str)
    assert {type(capabilities[name]) for name in ("amx_bf16", "avx512_bf16")} == {bool}
