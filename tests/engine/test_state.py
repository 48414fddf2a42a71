"""What a step changes: nothing that isn't finite is tested or saved."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from cifarzoo.engine.assembly.optimizer_trial import OptimizerTrial
from cifarzoo.engine.device.precision import Scaler, choose
from cifarzoo.engine.state import TrainingState
from cifarzoo.errors import NotFiniteError
from tests.tiny import tiny_run


class CountingCalls(TorchDispatchMode):
    """Counts torch's operations by name."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = Counter[str]()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls[func.name()] += 1
        return func(*args, **(kwargs or {}))


def trained_state() -> TrainingState:
    """Ten layers, trained for a step with momentum."""
    model = nn.Sequential(*(nn.Linear(3, 3) for _ in range(10)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    policy = choose(tiny_run(), torch.device("cpu"))
    return TrainingState(
        model=model,
        parallel=model,
        optimizer=optimizer,
        base_rates=[0.1],
        average=None,
        scaler=Scaler(policy, torch.device("cpu")),
        trial=OptimizerTrial(form="closure", warnings=()),
    )


def test_a_gpu_is_waited_for_once_however_many_tensors_are_looked_at():
    state = trained_state()

    with CountingCalls() as counting:
        state.check_finite()

    assert counting.calls["aten::_local_scalar_dense"] == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "name", ["model.4.bias", "optimizer.state.7.momentum_buffer"], ids=["weight", "momentum"]
)
def test_the_tensor_that_is_not_finite_is_named(name, value):
    state = trained_state()
    tensor = (
        state.model[4].bias
        if name.startswith("model")
        else state.optimizer.state[list(state.model.parameters())[7]]["momentum_buffer"]
    )
    tensor.data.flatten()[1] = value

    with pytest.raises(NotFiniteError, match=f"^{name} is not finite after step 0; nothing"):
        state.check_finite()
