"""Batch, loss and average regularizers against PyTorch's, torchvision's and closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.transforms import v2

from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Average
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.gates import SiteDraws, feed
from cifarzoo.randomness.keys import generator
from cifarzoo.zoo.regularizers.average.ema import ema
from cifarzoo.zoo.regularizers.batch.mixup import mix, mixup
from cifarzoo.zoo.regularizers.loss.label_smoothing import label_smoothing, smooth


def draws(count, seed=0):
    return BatchDraws(generator(seed, "regularizer"), count)


def batch(count=16, classes=10, seed=0):
    numbers = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=numbers)
    return torch.randn(count, 3, 8, 8, generator=numbers), F.one_hot(labels, classes).float()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_label_smoothing_equals_pytorchs(smoothing):
    _, targets = batch()
    logits = torch.randn(16, 10, generator=torch.Generator().manual_seed(1))
    expected = F.cross_entropy(logits, targets.argmax(1), label_smoothing=smoothing)
    found = label_smoothing(smoothing=smoothing).loss(F.cross_entropy)(logits, targets)
    torch.testing.assert_close(found, expected)


def test_label_smoothing_of_mixed_targets_equals_pytorchs_too():
    images, targets = batch()
    _, targets = mixup(alpha=1.0, per="sample").batch(images, targets, draws(16))
    logits = torch.randn(16, 10, generator=torch.Generator().manual_seed(1))
    expected = F.cross_entropy(logits, targets, label_smoothing=0.1)
    torch.testing.assert_close(label_smoothing().loss(F.cross_entropy)(logits, targets), expected)


def test_mix_equals_torchvisions_arithmetic_for_its_own_pairs(monkeypatch):
    images, targets = batch()
    theirs = v2.MixUp(alpha=1.0, num_classes=10)
    monkeypatch.setattr(theirs, "make_params", lambda _: {"lam": 0.3})
    expected = theirs(images, targets.argmax(1))
    found = mix(images, targets, torch.arange(16).roll(1), torch.full((16,), 0.3))
    for ours, its in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, its)


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_mixup_mixes_each_sample_with_its_drawn_partner(per):
    (images, targets), same_draws = batch(), draws(16)
    lam, partner = same_draws.beta(0.2, 0.2, per=per), same_draws.permutation()
    mixed, its_targets = mixup(per=per).batch(images, targets, draws(16))
    for i in range(16):
        torch.testing.assert_close(mixed[i], lam[i] * images[i] + (1 - lam[i]) * images[partner[i]])
        torch.testing.assert_close(
            its_targets[i], lam[i] * targets[i] + (1 - lam[i]) * targets[partner[i]]
        )
    assert len(lam.unique()) == (1 if per == "batch" else 16)


def test_mixup_leaves_its_input_as_it_was():
    images, targets = batch()
    mixup().batch(images, targets, draws(16))
    for now, before in zip((images, targets), batch(), strict=True):
        assert torch.equal(now, before)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixups_weights_have_the_betas_mean_and_variance(alpha):
    # Images 1 and targets 0 but for the permutation's: mixing 1 with 0 shows lam itself.
    count = 20_000
    images = torch.zeros(count, 1, 1, 1)
    images[::2] = 1
    same_draws = draws(count)
    same_draws.beta(alpha, alpha)
    partner_images = images[same_draws.permutation()]
    mixed, _ = mixup(alpha=alpha, per="sample").batch(images, torch.ones(count, 1), draws(count))
    lam = mixed[(images == 1) & (partner_images == 0)].double()
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(lam.mean() - 0.5) < 4 * math.sqrt(variance / len(lam))
    # (lam - 1/2)^2 lies in [0, 1/4], so that its own variance is at most 1/64.
    assert abs(((lam - 0.5) ** 2).mean() - variance) < 4 * math.sqrt(1 / 64 / len(lam))


@given(
    classes=st.integers(2, 100),
    smoothing=st.floats(0, 0.99),
    alpha=st.floats(1e-3, 100),
    per=st.sampled_from(["batch", "sample"]),
    seed=st.integers(0, 2**63),
)
def test_targets_still_sum_to_one(classes, smoothing, alpha, per, seed):
    images, targets = batch(8, classes)
    _, targets = mixup(alpha=alpha, per=per).batch(images, targets, draws(8, seed))
    targets = smooth(targets, smoothing)
    torch.testing.assert_close(targets.sum(1), torch.ones(8), rtol=0, atol=1e-5)
    assert (targets >= 0).all()


class Net(nn.Module):
    """Parameters, float and integer buffers, and a number that is fed each step."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.gate = SiteDraws().uniform(0, 1)

    def forward(self, x):
        x = self.norm(self.conv(x))
        return self.gate(x) * x


def steps(model, average, count, seed=0):
    """Random weights and statistics after each step; returns the first parameter's history."""
    numbers, history = torch.Generator().manual_seed(seed), []
    for _ in range(count):
        feed([model.gate], torch.rand(1, 2))
        for tensor in (*model.parameters(), model.norm.running_mean, model.norm.running_var):
            tensor.data.copy_(torch.randn(tensor.shape, generator=numbers))
        model.norm.num_batches_tracked += 1
        average.update_parameters(model)
        history.append(model.conv.bias.detach().numpy().copy())
    return np.array(history, dtype=np.float64)


def floats(model):
    return {name: t for name, t in model.state_dict().items() if t.is_floating_point()}


def test_the_average_equals_its_closed_form():
    model = Net()
    average = ema(decay=0.9, warmup=False).average(model)
    history = steps(model, average, 20)
    weights = np.array([0.9**19] + [0.1 * 0.9 ** (19 - i) for i in range(1, 20)])
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(average.module.conv.bias.detach(), weights @ history, atol=1e-6)


def test_the_average_without_warm_up_equals_pytorchs():
    model = Net()
    ours = ema(decay=0.99, warmup=False).average(model)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99), use_buffers=True)
    for seed in range(10):
        steps(model, ours, 1, seed)
        theirs.update_parameters(model)
    torch.testing.assert_close(floats(ours.module), floats(theirs.module), rtol=0, atol=0)


def test_a_decay_that_warms_up_equals_a_loop():
    model = Net()
    average = ema(decay=0.7, warmup=True).average(model)
    history = steps(model, average, 25)
    expected = history[0]
    for n, weights in enumerate(history[1:], start=2):
        decay = min(0.7, n / (n + 9))
        expected = decay * expected + (1 - decay) * weights
    np.testing.assert_allclose(average.module.conv.bias.detach(), expected, atol=1e-6)


def test_the_average_keeps_counts_whole_and_follows_without_gradients():
    model = Net()
    average = ema().average(model)
    steps(model, average, 7)
    assert isinstance(average, Average)
    assert average.module.norm.num_batches_tracked == 7
    assert not any(p.requires_grad for p in average.module.parameters())
    assert all(p.requires_grad for p in model.parameters())


def test_the_average_of_a_model_that_was_fed_can_be_made_and_run():
    model = Net()
    feed([model.gate], torch.tensor([[0.25, 0.5]]))
    average = ema().average(model)
    feed([model.gate], torch.tensor([[1.0, 1.0]]))
    assert torch.equal(average.module.gate.value, torch.tensor([0.25, 0.5]))
    assert average.module.eval()(torch.ones(2, 3, 4, 4)).isfinite().all()


def test_a_resumed_average_goes_on_with_the_same_bits(tmp_path):
    model = Net()
    whole = ema().average(model)
    steps(model, whole, 3, seed=1)
    torch.save(whole.state_dict(), tmp_path / "average.pt")

    resumed = ema().average(Net())
    resumed.load_state_dict(torch.load(tmp_path / "average.pt", weights_only=True))
    for average in (whole, resumed):
        steps(model, average, 4, seed=2)

    saved = [average.state_dict() for average in (whole, resumed)]
    assert saved[0]["num_updates"] == saved[1]["num_updates"] == 7
    floating = [floats(average.module) for average in (whole, resumed)]
    torch.testing.assert_close(*floating, rtol=0, atol=0)


def test_regularizers_do_nothing_in_the_other_stages():
    images, targets = batch()
    model = nn.Linear(2, 2)
    for regularizer in (label_smoothing(), ema()):
        assert regularizer.batch(images, targets, draws(16)) == (images, targets)
    for regularizer in (mixup(), ema()):
        assert regularizer.loss(F.cross_entropy) is F.cross_entropy
    for regularizer in (mixup(), label_smoothing()):
        assert regularizer.average(model) is None


@pytest.mark.parametrize(
    ("factory", "parameter", "value", "message"),
    [
        (label_smoothing, "smoothing", 1.0, "is 1.0; expected 0 to below 1"),
        (label_smoothing, "smoothing", -0.1, "is -0.1; expected 0 to below 1"),
        (label_smoothing, "smoothing", math.nan, "is nan; expected 0 to below 1"),
        (mixup, "alpha", 0.0, "is 0.0; expected a number above 0"),
        (mixup, "alpha", math.inf, "is inf; expected a number above 0"),
        (mixup, "alpha", math.nan, "is nan; expected a number above 0"),
        (mixup, "per", "image", "is 'image'; expected 'batch' or 'sample'"),
        (ema, "decay", 1.0, "is 1.0; expected 0 to below 1"),
        (ema, "decay", -0.5, "is -0.5; expected 0 to below 1"),
        (ema, "decay", math.nan, "is nan; expected 0 to below 1"),
    ],
)
def test_values_out_of_range_are_refused_in_words(factory, parameter, value, message):
    with pytest.raises(ConfigError, match=message) as error:
        factory(**{parameter: value})
    assert error.value.parameter == parameter
