"""Mixed batches against torchvision's transform, the papers' formulas and statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchvision.transforms import v2

from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Regularizer
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.keys import generator
from cifarzoo.zoo.augmentations.operations.boxes import Boxes, inside
from cifarzoo.zoo.regularizers.batch.cutmix import centred_boxes, cutmix, paste
from cifarzoo.zoo.regularizers.batch.random_choice import random_choice
from cifarzoo.zoo.regularizers.batch.resizemix import paste_resized, resizemix
from cifarzoo.zoo.regularizers.batch.ricap import ricap
from cifarzoo.zoo.regularizers.loss.label_smoothing import label_smoothing

N, K, SIDE = 512, 10, 32
SIGMAS = 4


def batch(n=N):
    torch.manual_seed(0)
    return torch.randn(n, 3, SIDE, SIDE), F.one_hot(torch.randint(K, (n,)), K).float()


def draws(step, n=N):
    return BatchDraws(generator(0, "mix", step), n)


def made(regularizer, step=0, n=N):
    images, targets = batch(n)
    return regularizer.batch(images, targets, draws(step, n))


@pytest.mark.parametrize("seed", range(20))
def test_a_pasted_box_is_torchvisions(seed):
    images, targets = batch(8)
    torch.manual_seed(seed)
    transform = v2.CutMix(num_classes=K)
    params = transform.make_params([images])
    params |= {"labels": targets.argmax(1), "batch_size": 8}
    left, top, right, bottom = params["box"]
    expected = transform.transform(images, params)
    aims = transform.transform(params["labels"], params)

    ends = (torch.full((8,), each) for each in (top, bottom, left, right))
    boxes = Boxes(**dict(zip(("top", "bottom", "left", "right"), ends, strict=True)))
    found = paste(images, targets, torch.arange(8).roll(1), boxes)

    assert torch.equal(found[0], expected)
    torch.testing.assert_close(found[1], aims, rtol=0, atol=1e-6)


def test_a_box_is_the_papers_around_its_centre_and_cut_off():
    rng = np.random.default_rng(0)
    rows, columns, shares = rng.integers(20, size=99), rng.integers(32, size=99), rng.random(99)
    found = centred_boxes(*map(torch.from_numpy, (rows, columns, shares)), height=20, width=32)
    for i, (row, column, share) in enumerate(zip(rows, columns, shares, strict=True)):
        half = int(0.5 * math.sqrt(share) * 20), int(0.5 * math.sqrt(share) * 32)
        assert found.top[i] == max(0, row - half[0])
        assert found.bottom[i] == min(20, row + half[0])
        assert found.left[i] == max(0, column - half[1])
        assert found.right[i] == min(32, column + half[1])
    assert torch.equal(inside(found, height=20, width=32).sum((1, 2, 3)), found.area)


@pytest.mark.parametrize("per", ["batch", "sample"])
@pytest.mark.parametrize("make", [cutmix, ricap])
def test_targets_are_the_shares_of_pixels(make, per):
    images = torch.arange(N, dtype=torch.float32)[:, None, None, None].expand(N, 1, SIDE, SIDE)
    targets = torch.eye(N)  # each image is of a class of its own, and its pixels say which
    for step in range(5):
        mixed, aims = make(per=per).batch(images, targets, draws(step))
        counts = torch.stack([each.long().flatten().bincount(minlength=N) for each in mixed])
        torch.testing.assert_close(aims, counts / SIDE**2, rtol=0, atol=1e-6)


def test_resized_partners_take_their_shares_too():
    images = torch.arange(N, dtype=torch.float32)[:, None, None, None].expand(N, 1, SIDE, SIDE)
    mixed, aims = resizemix().batch(images, torch.eye(N), draws(0))
    counts = torch.stack([each.round().long().flatten().bincount(minlength=N) for each in mixed])
    torch.testing.assert_close(aims, counts / SIDE**2, rtol=0, atol=1e-6)


def test_a_resized_partner_is_whole():
    images, targets = batch(6)
    partner = torch.tensor([3, 4, 5, 0, 1, 2])
    found, aims = paste_resized(images, targets, partner, top=4, left=10, size=(8, 16))
    for i in range(6):
        expected = images[i].clone()
        small = F.interpolate(images[partner[i]][None], (8, 16), mode="bilinear", antialias=True)
        expected[:, 4:12, 10:26] = small[0]
        assert torch.equal(found[i], expected)
        torch.testing.assert_close(aims[i], 0.875 * targets[i] + 0.125 * targets[partner[i]])


def test_ricap_is_the_authors_loop():
    images, targets = batch(16)
    record = Recorded(draws(3, 16))
    found, aims = ricap(beta=0.5).batch(images, targets, record)

    down, across = (int(torch.round(SIDE * each[0])) for each in record.betas)
    expected, expected_aims = torch.empty_like(images), torch.zeros_like(targets)
    places = [(0, down, 0, across), (0, down, across, SIDE)]
    places += [(down, SIDE, 0, across), (down, SIDE, across, SIDE)]
    for k, (top, bottom, left, right) in enumerate(places):
        tall, wide, order = bottom - top, right - left, record.permutations[k]
        y = int(record.uniforms[2 * k][0] * (SIDE - tall + 1))
        x = int(record.uniforms[2 * k + 1][0] * (SIDE - wide + 1))
        expected[:, :, top:bottom, left:right] = images[order][:, :, y : y + tall, x : x + wide]
        expected_aims += targets[order] * tall * wide / SIDE**2
    assert torch.equal(found, expected)
    torch.testing.assert_close(aims, expected_aims)


class Recorded:
    """Draws that keep what they gave."""

    def __init__(self, inner):
        self.inner, self.betas, self.uniforms, self.permutations = inner, [], [], []

    def beta(self, *args, **kwargs):
        self.betas.append(self.inner.beta(*args, **kwargs))
        return self.betas[-1]

    def uniform(self, *args, **kwargs):
        self.uniforms.append(self.inner.uniform(*args, **kwargs))
        return self.uniforms[-1]

    def permutation(self):
        self.permutations.append(self.inner.permutation())
        return self.permutations[-1]


def test_a_share_of_the_batches_has_a_box():
    images, targets = batch(4)
    num_batches, p = 2000, 0.3
    changed = 0
    for step in range(num_batches):
        kept = cutmix(alpha=1.0, p=p).batch(images, targets, draws(step, 4))[0]
        changed += not torch.equal(kept, images)
    # A box may be of no pixel, or a partner the image itself for all four: 1 in 24, and fewer.
    expected = p * (1 - 1 / 24) * 0.995
    error = math.sqrt(expected * (1 - expected) / num_batches)
    assert abs(changed / num_batches - expected) < SIGMAS * error


def test_the_point_of_ricap_has_the_papers_distribution():
    """The mean and the variance of Beta(b, b) are 1/2 and 1 / (8 b + 4)."""
    beta, n = 0.3, 20000
    images = torch.zeros(n, 1, 1, 256)
    images[:, :, :, :] = torch.arange(n, dtype=torch.float32)[:, None, None, None]
    record = Recorded(BatchDraws(generator(0, "point"), n))
    ricap(beta=beta, per="sample").batch(images, torch.zeros(n, 2), record)
    for numbers in record.betas:
        variance = 1 / (8 * beta + 4)
        assert abs(numbers.mean() - 0.5) < SIGMAS * math.sqrt(variance / n)
        assert abs(numbers.var() - variance) < SIGMAS * variance / math.sqrt(n)  # kurtosis below 0


def test_each_member_has_its_share_of_the_batches():
    images, targets = batch(4)
    num_batches = 3000
    chosen = random_choice(
        regularizers=[lambda: Add(1.0), lambda: Add(2.0)], probabilities=[0.2, 0.5]
    )
    added = [
        float((chosen.batch(images, targets, draws(step, 4))[0] - images).mean().round())
        for step in range(num_batches)
    ]
    for value, p in ((0.0, 0.3), (1.0, 0.2), (2.0, 0.5)):
        share = added.count(value) / num_batches
        assert abs(share - p) < SIGMAS * math.sqrt(p * (1 - p) / num_batches)


def test_members_that_are_as_likely_leave_no_batch_out():
    images, targets = batch(4)
    chosen = random_choice(regularizers=[lambda: Add(1.0)] * 3)
    assert chosen.ends[-1] == 1.0
    assert all(
        torch.equal(chosen.batch(images, targets, draws(step, 4))[0], images + 1)
        for step in range(200)
    )


@dataclass(frozen=True)
class Add(Regularizer):
    value: float

    def batch(self, images, targets, _draws):
        return images + self.value, targets


@pytest.mark.parametrize("make", [cutmix, ricap, resizemix])
def test_targets_stay_probabilities_and_the_batch_is_a_new_one(make):
    images, targets = batch()
    before = images.clone(), targets.clone()
    mixed, aims = make().batch(images, targets, draws(1))
    torch.testing.assert_close(aims.sum(1), torch.ones(N))
    assert aims.min() >= 0
    assert mixed.shape == images.shape
    assert torch.equal(images, before[0])
    assert torch.equal(targets, before[1])


@pytest.mark.parametrize(
    ("make", "parameter", "message"),
    [
        (lambda: cutmix(alpha=0.0), "alpha", "is 0.0; expected a number above 0"),
        (lambda: cutmix(p=1.5), "p", "is 1.5; expected 0 to 1"),
        (lambda: cutmix(per="pixel"), "per", "is 'pixel'; expected 'batch' or 'sample'"),
        (lambda: ricap(beta=-1.0), "beta", "is -1.0; expected a number above 0"),
        (lambda: resizemix(low=0.5, high=0.4), "high", "is 0.4; expected at least low, 0.5"),
        (lambda: random_choice(regularizers=[]), "regularizers", "is empty; expected at least one"),
        (
            lambda: random_choice(regularizers=[cutmix, label_smoothing]),
            "regularizers",
            r"\[1\] acts in loss; expected the batch stage alone",
        ),
        (
            lambda: random_choice(regularizers=[cutmix], probabilities=[0.5, 0.5]),
            "probabilities",
            r"is \[0.5, 0.5\]; expected 1 numbers whose sum is at most 1",
        ),
        (
            lambda: random_choice(regularizers=[cutmix, ricap], probabilities=[0.6, 0.5]),
            "probabilities",
            r"expected 2 numbers whose sum is at most 1",
        ),
        (lambda: resizemix(high=1.0), "high", "is 1.0; expected 0 to below 1"),
    ],
)
def test_settings_out_of_range_are_refused(make, parameter, message):
    with pytest.raises(ConfigError, match=message) as error:
        make()
    assert error.value.parameter == parameter
