"""AugMix's consistency loss against its equation in NumPy, and the views that it compares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cifarzoo.engine.assembly.dry_run import dry_run
from cifarzoo.errors import ConfigError
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.keys import generator
from cifarzoo.zoo.augmentations.flip import flip
from cifarzoo.zoo.augmentations.normalize import normalize
from cifarzoo.zoo.augmentations.policies.augmix import augmix
from cifarzoo.zoo.losses.long_tails import class_weighted
from cifarzoo.zoo.regularizers.batch.mixup import mixup
from cifarzoo.zoo.regularizers.network.jsd import jensen_shannon, jsd
from tests.engine.test_loss import FLOAT64
from tests.engine.test_ranks import check_parts_and_ranks
from tests.tiny import tiny_run
from tests.zoo.test_random_crops_and_colors import pictures

N, V, K = 4, 3, 10
CPU = torch.device("cpu")


def softmax(x):
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def divergence(logits):
    """Equation 3 of the paper, image by image."""
    total = 0.0
    for views in softmax(logits):
        mean = sum(views) / len(views)
        total += sum((p * np.log(p / mean)).sum() for p in views) / len(views)
    return total / len(logits)


@pytest.mark.parametrize("num_views", [2, 3, 5])
def test_the_divergence_is_equation_3(num_views):
    logits = 3 * np.random.default_rng(0).standard_normal((N, num_views, K))
    found = jensen_shannon(torch.tensor(logits))
    assert float(found) == pytest.approx(divergence(logits), rel=1e-12)


def test_its_gradient_is_that_of_differences_in_float64():
    logits = 2 * np.random.default_rng(1).standard_normal((N, V, K))
    given = torch.tensor(logits, requires_grad=True)
    jensen_shannon(given).backward()

    expected, step = np.zeros_like(logits), 1e-5
    for index in np.ndindex(logits.shape):
        moved = np.zeros_like(logits)
        moved[index] = step
        expected[index] = (divergence(logits + moved) - divergence(logits - moved)) / (2 * step)
    np.testing.assert_allclose(given.grad, expected, rtol=1e-6, atol=1e-10)


def test_views_that_agree_have_no_divergence_and_sure_ones_that_do_not_the_most_there_is():
    same = torch.randn(N, 1, K).expand(N, V, K)
    assert float(jensen_shannon(same)) == pytest.approx(0, abs=1e-6)
    apart = 200 * torch.eye(K)[:V].expand(N, V, K)
    assert float(jensen_shannon(apart)) == pytest.approx(np.log(V))


@dataclass
class Pass:
    """A forward pass of a linear network on rows of views."""

    weight: torch.Tensor
    num_views: int = V

    def __call__(self, images, targets):
        return images @ self.weight, targets, images.new_tensor(0.25)


def test_the_loss_is_of_the_first_views_and_the_divergence_of_all():
    torch.manual_seed(0)
    weight = torch.randn(5, K, dtype=torch.float64, requires_grad=True)
    images = torch.randn(N * V, 5, dtype=torch.float64)
    targets = torch.eye(K, dtype=torch.float64)[:N].repeat_interleave(V, 0)

    logits, aims, penalty = jsd(weight=12.0).network(Pass(weight), images, targets, None)
    whole = F.cross_entropy(logits, aims) + penalty
    whole.backward()

    said = (images @ weight).detach().numpy().reshape(N, V, K)
    labels = -np.log(softmax(said[:, 0])[range(N), range(N)]).mean()
    expected = labels + 12 * divergence(said) + 0.25
    assert float(whole.detach()) == pytest.approx(expected, rel=1e-12)
    assert len(logits) == len(aims) == N * V
    assert weight.grad.abs().sum() > 0


def test_the_first_view_is_the_image_and_the_others_are_mixed_by_numbers_of_their_own():
    images = pictures(8)
    found = augmix(num_views=V)(images, BatchDraws(generator(0, "augmix"), 8))

    draws = BatchDraws(generator(0, "augmix"), 8)
    expected = [images, *(augmix()(images, draws) for _ in range(V - 1))]
    assert torch.equal(found, torch.cat(expected))
    assert not torch.equal(expected[1], expected[2])


def test_ranks_and_micro_batches_give_what_one_pass_gives(tmp_path):
    changes = {
        "augmentations": [flip, partial(augmix, num_views=V), normalize],
        "regularizers": [jsd, mixup],
        "loss": partial(class_weighted, class_weights=[1.0] * 9 + [3.0]),
    }
    check_parts_and_ranks(tmp_path, {**FLOAT64, "bn_group_size": 4, **changes})


def test_one_view_of_an_image_is_refused():
    with pytest.raises(ConfigError, match=r"^jsd: compares views of an image, and there is one; s"):
        dry_run(tiny_run(regularizers=[jsd]), folder=None, device=CPU)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: jsd(weight=0.0), "weight is 0.0; expected a number above 0"),
        (lambda: augmix(num_views=0), "num_views is 0; expected at least 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
