"""Random numbers are functions of their purpose, the same for any number of ranks."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from cifarzoo.randomness.batch_draws import MOST_REMEMBERED, BatchDraws, Memory
from cifarzoo.randomness.gates import SiteDraws, draw_gates, feed, site_draws
from cifarzoo.randomness.injection import inject
from cifarzoo.randomness.keys import generator, key, uniform

COUNT = 40_000
CALLS = {
    "uniform": lambda draws: draws.uniform(-1, 1),
    "bernoulli": lambda draws: draws.bernoulli(0.3),
    "integers": lambda draws: draws.integers(9),
    "beta": lambda draws: draws.beta(0.2, 0.2),
}


def draws(count=COUNT, *purpose, part=slice(None), seed=0):
    return BatchDraws(generator(seed, "test", *purpose), count, part=part)


def is_near(found, mean, variance):
    """Within four standard errors: wrong once in 16,000 honest runs."""
    return abs(found.double().mean().item() - mean) < 4 * math.sqrt(variance / len(found))


def test_a_key_has_128_bits_and_depends_on_all_its_parts():
    parts = [
        (0, "crop", 3, 7),
        (1, "crop", 3, 7),
        (0, "flip", 3, 7),
        (0, "crop", 4, 7),
        (0, "crop", 3, 8),
        (0, "crop", 3),
        (0, "crop", "3", 7),
        (0, "crop", 37),
    ]
    keys = {key(*each) for each in parts}
    assert len(keys) == len(parts)
    assert all(0 <= each < 2**128 for each in keys)
    assert any(each >= 2**120 for each in keys)


def test_a_key_is_the_same_in_every_process_and_version():
    assert key(0, "crop", 3, 7) == 0xBF6EA442D49E696747250777CB410026


def test_a_numpy_integer_gives_the_key_of_its_value():
    assert key(np.int64(5), "crop", np.int32(3)) == key(5, "crop", 3)


@pytest.mark.parametrize(
    "other", [(1, "crop", 3, 7), (0, "flip", 3, 7), (0, "crop", 4, 7), (0, "crop", 3, 8)]
)
def test_streams_of_neighbouring_keys_are_uncorrelated(other):
    a, b = generator(0, "crop", 3, 7).random(COUNT), generator(*other).random(COUNT)
    # The correlation of independent samples has variance 1 / COUNT.
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / math.sqrt(COUNT)


@pytest.mark.parametrize("name", CALLS)
def test_ranks_draw_the_rows_of_the_whole_batch(name):
    whole = CALLS[name](draws(64))
    for edges in ([0, 64], [0, 32, 64], [0, 8, 24, 64]):
        parts = [CALLS[name](draws(64, part=slice(*ends))) for ends in pairwise(edges)]
        assert torch.equal(torch.cat(parts), whole)


def test_successive_draws_stay_the_same_for_any_part():
    whole, part = draws(64), draws(64, part=slice(16, 32))
    for call in (*CALLS.values(), *CALLS.values()):
        assert torch.equal(call(part), call(whole)[16:32])


@pytest.mark.parametrize("name", CALLS)
def test_draws_of_another_step_differ(name):
    assert not torch.equal(CALLS[name](draws(64, 1)), CALLS[name](draws(64, 2)))


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("uniform", torch.float32),
        ("bernoulli", torch.bool),
        ("integers", torch.int64),
        ("beta", torch.float32),
    ],
)
def test_draws_have_the_promised_types(name, dtype):
    numbers = CALLS[name](draws(64, part=slice(10, 20)))
    assert numbers.dtype == dtype
    assert numbers.shape == (10,)


def test_a_draw_per_batch_is_one_number_for_all_ranks():
    whole, part = draws(64), draws(64, part=slice(48, 64))
    for call in (
        lambda d: d.uniform(0, 1, per="batch"),
        lambda d: d.bernoulli(0.5, per="batch"),
        lambda d: d.integers(1000, per="batch"),
        lambda d: d.beta(1, 1, per="batch"),
    ):
        of_whole, of_part = call(whole), call(part)
        assert of_whole.shape == (64,)
        assert torch.equal(of_part, of_whole[:16])
        assert len(of_whole.unique()) == 1


def test_a_permutation_has_every_sample_once():
    found = draws(1000).permutation()
    assert torch.equal(found.sort().values, torch.arange(1000))
    assert torch.equal(found, draws(1000, part=slice(0, 1000)).permutation())


def test_a_permutation_has_one_fixed_point_on_average():
    # The number of fixed points of a random permutation has mean 1 and variance 1.
    counts = [(draws(50, i).permutation() == torch.arange(50)).sum() for i in range(1000)]
    assert is_near(torch.stack(counts), 1, 1)


def test_a_permutation_of_a_part_is_refused():
    with pytest.raises(ValueError, match="a permutation needs the whole batch"):
        draws(64, part=slice(0, 32)).permutation()


def test_uniform_numbers_have_their_mean_and_variance():
    numbers = draws().uniform(-1, 3)
    assert is_near(numbers, 1, 16 / 12)
    assert is_near((numbers - 1) ** 2, 16 / 12, 2**4 * (1 / 5 - 1 / 9))
    assert numbers.min() >= -1
    assert numbers.max() < 3


def test_bernoulli_numbers_have_their_mean():
    assert is_near(draws().bernoulli(0.3), 0.3, 0.21)
    assert draws().bernoulli(1.0).all()
    assert not draws().bernoulli(0.0).any()


def test_integers_are_equally_likely():
    counts = torch.bincount(draws().integers(9), minlength=9)
    chi_squared = ((counts - COUNT / 9) ** 2 / (COUNT / 9)).sum().item()
    assert len(counts) == 9
    assert abs(chi_squared - 8) < 4 * math.sqrt(16)  # 8 degrees of freedom


def test_beta_numbers_have_their_mean_and_variance():
    numbers = draws().beta(2, 3)
    assert is_near(numbers, 0.4, 0.04)
    # E[x^2] = 1/5 and E[x^4] = 1/14, hence the variance of x^2.
    assert is_near(numbers**2, 0.2, 1 / 14 - 0.04)


class AlmostOne:
    """A source whose numbers are the largest below 1."""

    def random(self, count, dtype):
        return np.full(count, np.nextafter(dtype(1), dtype(0)), dtype)


@given(low=st.floats(-1e6, 1e6, width=32), width=st.floats(2**-10, 1e6, width=32))
def test_a_uniform_number_never_is_its_upper_end(low, width):
    high = low + width
    found = uniform(AlmostOne(), 1, low, high)
    assert found.dtype == np.float32
    assert low <= found[0] < high or np.float32(low) == np.float32(high)


def test_a_fed_site_gives_its_numbers_in_the_shape_and_type_of_its_input():
    site = SiteDraws().uniform(0, 1)
    feed([site], torch.tensor([[0.25, 0.5]]))
    found = site(torch.zeros(2, 3, 4, 4, dtype=torch.float64))
    assert torch.equal(found, torch.tensor([0.25, 0.5], dtype=torch.float64).view(2, 1, 1, 1))


def test_a_site_that_nobody_fed_draws_from_torchs_generator():
    x = torch.zeros(COUNT, 1, 1, 1)
    torch.manual_seed(0)
    numbers, gates = SiteDraws().uniform(-1, 3)(x), SiteDraws().bernoulli(0.3)(x)
    torch.manual_seed(0)
    assert torch.equal(SiteDraws().uniform(-1, 3)(x), numbers)
    assert is_near(numbers, 1, 16 / 12)
    assert is_near(gates, 0.3, 0.21)
    assert set(gates.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    "make", [lambda d: d.uniform(0, 1, per="batch"), lambda d: d.bernoulli(0.5, per="batch")]
)
def test_a_site_per_batch_has_one_number_for_all(make):
    site = make(SiteDraws())
    assert len(site(torch.zeros(64, 1, 1, 1)).unique()) == 1
    assert len(set(site.draw(64, seed=0, step=0))) == 1


def test_all_gates_are_drawn_at_once_and_differ():
    draws = SiteDraws()
    numbers = draw_gates([draws.uniform(0, 1), draws.bernoulli(0.5)], 64, seed=0, step=0)
    assert numbers.shape == (2, 64)
    assert numbers.dtype == np.float32
    assert set(numbers[1]) == {0, 1}
    assert len(set(numbers[0])) == 64
    assert draw_gates([], 64, seed=0, step=0).shape == (0, 64)


def test_a_site_is_neither_a_parameter_nor_a_buffer():
    site = SiteDraws().uniform(0, 1)
    feed([site], torch.rand(1, 4))
    assert site.state_dict() == {}
    assert list(site.buffers()) == []


def test_feeding_another_number_of_sites_is_an_error():
    with pytest.raises(ValueError, match="is longer than argument 1"):
        feed([SiteDraws().uniform(0, 1)], torch.rand(2, 4))


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = SiteDraws().uniform(0.0, 1.0)
        self.dropout = nn.Dropout(0.25)

    def forward(self, x):
        return self.dropout(x * self.gate(x))


X = torch.ones(2, 3, 4, 5)
GATE = np.array([0.5, 2.0], np.float32)
MASK = np.random.default_rng(0).random(X.shape) < 0.75


@pytest.mark.parametrize("mask", [MASK, MASK.transpose(0, 2, 3, 1)], ids=["NCHW", "NHWC"])
@pytest.mark.parametrize("gate", [GATE, GATE.reshape(2, 1, 1, 1)])
def test_injected_numbers_are_used_once(gate, mask):
    model = Gated()
    inject(model, [gate, mask])
    expected = torch.from_numpy(GATE.reshape(2, 1, 1, 1) * MASK / np.float32(0.75))
    torch.testing.assert_close(model(X), expected)
    assert not torch.equal(model(X), expected)


def test_injection_goes_before_what_was_fed():
    model = Gated()
    feed(site_draws(model), torch.tensor([[7.0, 7.0]]))
    inject(model, [GATE, np.ones_like(MASK)])
    assert model(X)[0, 0, 0, 0].item() == pytest.approx(0.5 / 0.75)


def test_dropout_at_evaluation_takes_no_mask():
    model = Gated().eval()
    inject(model, [GATE])
    assert torch.equal(model(X), X * torch.from_numpy(GATE).view(2, 1, 1, 1))


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        ([GATE], "asked for more gates than were injected"),
        ([GATE, MASK, MASK], "left 1 of the injected gates unused"),
        ([GATE, MASK[:1]], r"a dropout mask is \(1, 5, 3, 4\); expected \(2, 3, 4, 5\)"),
        ([GATE, MASK[0]], r"a dropout mask is \(3, 4, 5\); expected \(2, 3, 4, 5\)"),
    ],
)
def test_gates_that_do_not_fit_are_an_error_of_that_pass_alone(gates, message):
    model = Gated()
    inject(model, gates)
    with pytest.raises(ValueError, match=message):
        model(X)
    assert model(X).shape == X.shape


def test_dropout_of_injected_masks_has_functional_dropouts_scale():
    model, x = Gated(), torch.rand(2, 3, 4, 5) + 0.1
    torch.manual_seed(0)
    expected = F.dropout(x, 0.25)
    inject(model, [np.ones(2, np.float32), expected != 0])
    torch.testing.assert_close(model(x), expected)


def test_remembered_draws_are_those_of_the_generator_whatever_was_asked_before():
    memory = Memory()

    def ask(draws, questions):
        return [getattr(draws, name)(*arguments) for name, *arguments in questions]

    for questions in (
        [("bernoulli", 0.5)],
        [("bernoulli", 0.5), ("uniform", 0, 1), ("integers", 7)],
        [("uniform", 0, 1), ("bernoulli", 0.5), ("beta", 1, 2)],
        [("bernoulli", 0.5), ("beta", 1, 2), ("integers", 7)],
        [("bernoulli", 0.5), ("uniform", 0, 1), ("integers", 7)],
    ):
        part = np.array([4, 1, 2])
        drawn = BatchDraws(generator(3, "images"), 5, part=part)
        recalled = BatchDraws(generator(3, "images"), 5, part=part, recall=memory.from_start())
        for one, other in zip(ask(drawn, questions), ask(recalled, questions), strict=True):
            assert torch.equal(one, other)


def test_what_is_remembered_is_not_drawn():
    memory = Memory()
    BatchDraws(generator(3, "images"), 5, recall=memory.from_start()).bernoulli(0.5)
    rng = generator(3, "images")
    before = rng.bit_generator.state

    BatchDraws(rng, 5, recall=memory.from_start()).bernoulli(0.5)

    np.testing.assert_equal(rng.bit_generator.state, before)


def test_new_questions_in_every_step_are_forgotten():
    memory = Memory()
    for step in range(100):
        found = BatchDraws(generator(3), 5, recall=memory.from_start()).uniform(0, 1 + step)
        assert torch.equal(found, BatchDraws(generator(3), 5).uniform(0, 1 + step))

    assert len(vars(memory)["_numbers"]) <= MOST_REMEMBERED


def test_draws_on_the_cpu_go_on_where_the_others_stand():
    images = BatchDraws(generator(1), 4, device="meta")
    draws = BatchDraws(generator(0), 4, device="meta", of_images=lambda: images)
    expected = BatchDraws(generator(0), 4)

    assert draws.uniform(0, 1).device.type == "meta"
    expected.uniform(0, 1)
    assert torch.equal(draws.on_cpu.uniform(0, 1), expected.uniform(0, 1))
    assert draws.on_cpu.of_images().integers(9).device.type == "cpu"
    draws.bernoulli(0.5)
    expected.bernoulli(0.5)
    assert torch.equal(draws.on_cpu.beta(1, 2), expected.beta(1, 2))
