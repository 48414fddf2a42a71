"""The bridge to optimizers of torch and of other packages, by their own classes."""

from __future__ import annotations

import pytest
import torch

from cifarzoo.errors import ConfigError
from cifarzoo.zoo.optimizers.torch_optimizer import torch_optimizer


def steps(make, num_steps=5):
    torch.manual_seed(0)
    weight, bias = torch.nn.Parameter(torch.randn(3, 4)), torch.nn.Parameter(torch.randn(3))
    optimizer = make([{"params": [weight]}, {"params": [bias], "weight_decay": 0.0}])
    for _ in range(num_steps):
        weight.grad, bias.grad = torch.randn(3, 4), torch.randn(3)
        optimizer.step()
    return torch.cat([weight.detach().flatten(), bias.detach()])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("NAdam", {"betas": (0.8, 0.9)}),
        ("RAdam", {}),
        ("Adagrad", {"lr_decay": 0.1}),
        ("torch.optim.Adamax", {"eps": 1e-6}),
        ("torch.optim.adadelta.Adadelta", {"rho": 0.8}),
    ],
)
def test_it_is_the_class_with_these_settings(name, settings):
    cls = getattr(torch.optim, name.rpartition(".")[2])
    ours = steps(
        lambda p: torch_optimizer(p, name=name, lr=0.1, weight_decay=0.02, settings=settings)
    )
    assert torch.equal(ours, steps(lambda p: cls(p, lr=0.1, weight_decay=0.02, **settings)))


def test_a_class_of_another_module_is_found(tmp_path, monkeypatch):
    (tmp_path / "their_optimizers.py").write_text(
        "import torch\n"
        "class Still(torch.optim.Optimizer):\n"
        "    def __init__(self, params, lr, speed=0.0):\n"
        "        super().__init__(params, {'lr': lr, 'speed': speed})\n"
        "    def step(self, closure=None):\n"
        "        pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    made = torch_optimizer(
        [{"params": [torch.nn.Parameter(torch.ones(1))]}],
        name="their_optimizers.Still",
        lr=1.0,
        settings={"speed": 2.0},
    )
    assert type(made).__name__ == "Still"
    assert made.param_groups[0]["speed"] == 2.0


@pytest.mark.parametrize(
    ("settings", "parameter", "message"),
    [
        ({"name": "Adma"}, "name", "is 'Adma'; expected an optimizer of torch.optim, which has A"),
        ({"name": "math.sqrt"}, "name", "expected an optimizer of math, which has none"),
        ({"name": "no_such.Thing"}, "name", "no_such can't be imported .*; install it, or name"),
        ({"name": "torch.optim.Optimizer"}, "name", "expected an optimizer of torch.optim"),
        (
            {"settings": {"betta": 1}},
            "settings",
            r"\['betta'\]: NAdam has no such argument; it",
        ),
        ({"settings": {"lr": 1}}, "settings", r"\['lr'\] is given twice; expected torch_optim"),
        ({"settings": {"betas": (2, 0)}}, "settings", "is refused by NAdam: Invalid beta"),
        ({"name": "LBFGS", "weight_decay": 0.1}, "weight_decay", "LBFGS has no weight decay; expe"),
        ({"lr": 0.0}, "lr", "is 0.0; expected a number above 0"),
    ],
)
def test_what_cannot_be_is_refused_in_words(settings, parameter, message):
    params = [{"params": [torch.nn.Parameter(torch.ones(2, 2))]}]
    with pytest.raises(ConfigError, match=message) as error:
        torch_optimizer(params, **{"name": "NAdam", "lr": 0.1} | settings)
    assert error.value.parameter == parameter
