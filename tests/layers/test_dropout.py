"""Dropout: the rate, the gradient, and masks that are a function of the sample."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from cifarzoo.engine.distributed.launcher import launch
from cifarzoo.engine.runner import execute
from cifarzoo.layers.dropout import Dropout, Rows, convert, dropouts, feed, rows_of
from tests.tiny import tiny_net, tiny_task, train_as_rank

SHAPE = (6, 8, 5, 5)  # 200 activations a row: no multiple of what Philox gives at a time


def dropped(layer: Dropout, x: torch.Tensor, rows: Rows | None = None) -> torch.Tensor:
    layer.rows = rows
    return layer(x)


def test_each_activation_has_sixteen_bits_of_philox_at_its_place_in_the_global_batch():
    rows = Rows(key=7 << 100, first=4)
    counts = math.ceil(200 / 16)
    table = np.random.Philox(key=rows.key).random_raw((4 + 6) * counts * 4).view(np.int16)
    bits = table.reshape(10, -1)[4:, :200].reshape(6, 5, 5, 8).transpose(0, 3, 1, 2)
    keep = bits.astype(int) + 32768 >= 19661  # 0.3 * 65536, rounded

    output = dropped(Dropout(0.3), torch.ones(SHAPE), rows)

    torch.testing.assert_close(
        output, torch.from_numpy(keep) / (1 - 19661 / 65536), check_dtype=False
    )


def test_a_rank_that_has_some_rows_drops_what_the_whole_batch_drops_there():
    x = torch.randn(SHAPE)
    whole = dropped(Dropout(0.5), x, Rows(3, 0))

    parts = [dropped(Dropout(0.5), x[2 * i : 2 * i + 2], Rows(3, 2 * i)) for i in range(3)]

    assert torch.equal(whole, torch.cat(parts))


def test_the_layout_of_images_changes_neither_the_mask_nor_itself():
    x = torch.randn(SHAPE)
    rows = Rows(3, 0)

    plain = dropped(Dropout(0.5), x, rows)
    last = dropped(Dropout(0.5), x.to(memory_format=torch.channels_last), rows)

    assert torch.equal(plain, last)
    assert plain.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.9])
def test_the_share_of_dropped_activations_is_p(p):
    torch.manual_seed(0)
    n = 400_000

    share = (Dropout(p)(torch.ones(4, n // 4)) == 0).double().mean().item()

    assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / n)


def test_the_mean_over_masks_is_the_input():
    torch.manual_seed(0)
    n = 400_000

    mean = Dropout(0.3)(torch.ones(4, n // 4)).double().mean().item()

    assert abs(mean - 1) < 4 * math.sqrt(0.3 / 0.7 / n)


def test_the_gradient_passes_where_the_input_did():
    x = torch.randn(SHAPE, dtype=torch.float64).requires_grad_()
    layer = Dropout(0.25)
    layer.rows = Rows(5, 0)

    assert torch.autograd.gradcheck(layer, (x,))


def test_unfed_it_draws_from_torchs_generator():
    x = torch.ones(SHAPE)
    layer = Dropout(0.5)
    torch.manual_seed(1)
    first, second = layer(x), layer(x)
    torch.manual_seed(1)

    assert torch.equal(layer(x), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_the_ends_of_the_range_are_torchs(p):
    assert torch.equal(Dropout(p)(torch.ones(SHAPE)), torch.full(SHAPE, 1 - p))


def test_in_evaluation_nothing_is_dropped():
    x = torch.randn(SHAPE)

    assert torch.equal(Dropout(0.5).eval()(x), x)


def test_half_precision_stays_half():
    x = torch.ones(SHAPE, dtype=torch.bfloat16)

    assert Dropout(0.5)(x).dtype == torch.bfloat16


def test_plain_dropout_of_any_network_is_turned_into_ours_and_subclasses_stay():
    class Own(nn.Dropout):
        pass

    model = nn.Sequential(nn.Dropout(0.5), Own(0.5), nn.Dropout(0.5, inplace=True))

    assert [type(layer) for layer in convert(model)] == [Dropout, Own, nn.Dropout]


def test_each_layer_and_step_has_masks_of_its_own():
    model = nn.Sequential(Dropout(0.5), Dropout(0.5))
    masks = []
    for step in range(2):
        layers = dropouts(model)
        feed(layers, rows_of(layers, seed=1, step=step, first=0))
        masks += [layer(torch.ones(SHAPE)) for layer in model]

    assert all(not torch.equal(a, b) for i, a in enumerate(masks) for b in masks[:i])


def dropping_net(num_classes, residual):
    """As a stranger would write it: torch's own dropout."""
    return nn.Sequential(nn.Dropout(0.2), tiny_net(num_classes, residual))


def test_two_processes_drop_what_one_drops(tmp_path):
    changes = {"architecture": dropping_net, "max_steps": 4, "micro_batch_size": 4}
    changes |= {"bn_group_size": 4}
    alone = tiny_task(tmp_path, "alone", **changes)
    execute(alone)

    launch(train_as_rank, (tmp_path, "together", changes), nproc=2)

    one, two = (
        tiny_task(tmp_path, name, **changes).open_folder().metrics()[-1]["train_loss"]
        for name in ("alone", "together")
    )
    assert one == pytest.approx(two, abs=1e-5)
