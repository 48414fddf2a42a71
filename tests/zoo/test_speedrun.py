"""The parts of the speed-run recipe, each against a few lines of its own."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo.api.creation import create_model
from cifarzoo.data.store import ImageStore
from cifarzoo.data.windows import windowed
from cifarzoo.engine.assembly.build import build, build_optimizer
from cifarzoo.engine.assembly.plan import plan
from cifarzoo.engine.batches import Batches, prepare_for_evaluation
from cifarzoo.engine.distributed.world import World
from cifarzoo.engine.runner import execute
from cifarzoo.engine.training import initialise
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Residual, Split, Timestamp
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.keys import generator
from cifarzoo.run_folders.predictions import read_predictions
from cifarzoo.zoo.architectures.speedrun.airbench import EvenConv2d, airbench
from cifarzoo.zoo.architectures.speedrun.whitening import Whitening
from cifarzoo.zoo.augmentations.alternating_flip import alternating_flip
from cifarzoo.zoo.augmentations.flip_tta import flip_tta
from cifarzoo.zoo.augmentations.normalize import normalize
from cifarzoo.zoo.optimizers.sgd import sgd
from cifarzoo.zoo.regularizers.average.lookahead import lookahead
from cifarzoo.zoo.schedules.triangle import triangle
from tests.engine.test_ranks import on_ranks, weights
from tests.tiny import TinyNet, evaluated, tiny_run, tiny_task


def whitened_net(num_classes: int, residual: Residual) -> nn.Module:
    """Another network that begins with whitening, its bias trained for one epoch."""
    network = TinyNet(num_classes, residual, 8)
    first = Whitening(bias_epochs=1.0)
    network.stem = nn.Sequential(first, nn.AvgPool2d(4), nn.Conv2d(first.channels, 8, 1))
    return network


def smooth_images(count: int) -> Tensor:
    """Images whose neighbouring pixels and channels go together, as photographs' do."""
    noise = torch.randn(count, 3, 34, 34, generator=torch.Generator().manual_seed(0))
    mixing = torch.tensor([[1, 0.5, 0], [0, 1, 0.5], [0.2, 0, 1]])
    return F.avg_pool2d(torch.einsum("dc,nchw->ndhw", mixing, noise), 3, stride=1)


def test_whitened_patches_have_unit_variance_no_correlation_and_negatives():
    images = smooth_images(40)
    layer = Whitening(kernel_size=2, eps=1e-8)
    layer.initialise_from(images)
    outputs = layer(images).detach().double().permute(1, 0, 2, 3).flatten(1).numpy()
    np.testing.assert_allclose(np.cov(outputs[:12]), np.eye(12), atol=2e-4)
    np.testing.assert_allclose(outputs[12:], -outputs[:12], atol=1e-5)


def test_whitening_kernels_are_numpys_eigenvectors_by_falling_variance():
    images = smooth_images(10)
    layer = Whitening(kernel_size=3, eps=0.01)
    layer.initialise_from(images)
    corners = [(y, x) for y in range(30) for x in range(30)]
    patches = [i[:, y : y + 3, x : x + 3].ravel() for i in images.numpy() for y, x in corners]
    variances, axes = np.linalg.eigh(np.cov(np.array(patches, dtype=np.float64).T))
    expected = (axes / np.sqrt(variances + 0.01)).T[::-1]
    largest = np.take_along_axis(expected, np.abs(expected).argmax(1)[:, None], 1)
    found = layer.weight[:27].flatten(1).numpy()
    np.testing.assert_allclose(found, expected * np.sign(largest), atol=1e-4)


def test_the_engine_whitens_the_first_5000_normalised_training_images():
    components = build(tiny_run(architecture=partial(airbench, widths=[4])), folder=None)
    train, _ = components.dataset.load()
    images = np.concatenate([train.images] * 40)  # 5120
    images[5000:] = 255
    labels = np.concatenate([train.labels] * 40)
    store = ImageStore(Split(images=images, labels=labels), num_classes=10, device="cpu")

    initialise(components.model, store, components.augmentations)

    layer = Whitening()
    normalised = normalize(dataset=components.dataset)(torch.from_numpy(images[:5000]), None)
    layer.initialise_from(normalised)
    first: Any = components.model.whitening
    torch.testing.assert_close(first.weight, layer.weight)


def test_airbench94_has_the_1_97_million_parameters_of_the_paper():
    kernels = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 256 * 256 + 2 * 256 * 256)
    norms = 2 * 2 * (64 + 256 + 256)
    count = sum(p.numel() for p in create_model("airbench94").parameters())
    assert count == 24 * 12 + 24 + kernels + norms + 256 * 10
    assert round(count / 1e6, 2) == 1.97


def test_convolutions_begin_by_passing_their_inputs_on():
    convolutions = [m for m in create_model("airbench94").modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 6
    for layer in convolutions:
        x = torch.randn(1, layer.in_channels, 8, 8)
        torch.testing.assert_close(layer(x)[:, : layer.in_channels], x)
        assert layer.weight.std((1, 2, 3)).min() > 0


@pytest.mark.parametrize("shape", [(31, 31), (7, 7), (8, 8), (7, 8)])
def test_pixels_that_pooling_drops_are_not_computed_and_nothing_else_changes(shape):
    even = EvenConv2d(3, 5, 3, padding=1, bias=False)
    x = torch.randn(2, 3, *shape, requires_grad=True)

    def pooled_and_gradients(output: Tensor) -> list[Tensor]:
        pooled = F.max_pool2d(output, 2)
        return [pooled, *torch.autograd.grad(pooled.square().sum(), [x, even.weight])]

    found = even(x)
    expected = F.conv2d(x, even.weight, padding=1)

    is_odd = all(size % 2 for size in shape)
    assert found.shape[2:] == tuple(size - is_odd for size in shape)
    torch.testing.assert_close(pooled_and_gradients(found), pooled_and_gradients(expected))


@pytest.mark.parametrize(
    "settings", [{}, {"head_std": 1.0, "logit_scale": 1 / 256}, {"num_convs": 3}]
)
def test_the_network_is_what_a_few_lines_say(settings):
    model = create_model("airbench", **settings).train()
    state = model.state_dict()
    for name, tensor in state.items():
        if name.endswith("bias"):
            tensor.normal_(std=0.2)
    images = torch.randn(4, 3, 32, 32)

    def centred(x: Tensor, name: str) -> Tensor:
        shift = state[f"{name}.bias"]
        return F.batch_norm(x, None, None, None, shift, training=True, eps=1e-12)

    def norm(x: Tensor, name: str) -> Tensor:
        return F.gelu(centred(x, name))

    def conv(x: Tensor, name: str) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], padding=1)

    x = F.gelu(F.conv2d(images, state["whitening.weight"], state["whitening.bias"]))
    for block in ("blocks.0", "blocks.1", "blocks.2"):
        x = F.max_pool2d(F.conv2d(x, state[f"{block}.conv1.weight"], padding=1), 2)
        x = norm(x, f"{block}.norm1")
        if settings.get("num_convs") == 3:
            path = f"{block}.last.residual"
            y = norm(conv(x, f"{path}.conv2"), f"{path}.norm2")
            x = F.gelu(x + centred(conv(y, f"{path}.conv3"), f"{path}.norm3"))
        else:
            x = norm(conv(x, f"{block}.conv2"), f"{block}.norm2")
    expected = x.amax((2, 3)) @ state["head.weight"].T * settings.get("logit_scale", 1 / 9)

    torch.testing.assert_close(model(images), expected, rtol=1e-3, atol=1e-4)
    first: Any = model.blocks[0]
    assert first.norm1.momentum == 0.4  # 0.6 of the old is kept
    assert not first.norm1.weight.requires_grad
    assert float(model.head.weight.detach().std()) == pytest.approx(
        settings.get("head_std", 1 / (3 * 256) ** 0.5), rel=0.05
    )


def flipped_in(epoch: int) -> list[tuple[int, bool]]:
    """Images of an epoch by number, and whether each was mirrored."""
    run = tiny_run(augmentations=[alternating_flip])
    components = build(run, folder=None)
    images = np.zeros((128, 3, 32, 32), dtype=np.uint8)
    images[:, 0, 0] = np.arange(128)[:, None]  # the image's number,
    images[:, 1, :, :16] = 255  # and which way it looks
    labels = np.zeros(128, dtype=np.int64)
    components.augmentations.pop("normalize")
    _, frame = windowed(components.augmentations)
    data = Split(images=images, labels=labels)
    store = ImageStore(data, num_classes=10, device="cpu", frame=frame)
    batches = Batches(
        store, components, plan(run, num_train=128, num_test=1), seed=0, world=World(0, 1, "cpu")
    )
    steps = range(8 * epoch, 8 * (epoch + 1))
    seen = torch.cat([batches(step)[0] for step in steps])
    numbers, mirrored = seen[:, 0, 0, 0].tolist(), (seen[:, 1, 0, 0] == 0).tolist()
    return sorted(zip(map(int, numbers), mirrored, strict=True))


def test_every_image_is_seen_both_ways_in_two_epochs_and_half_are_mirrored_in_the_first():
    first, second, third = (flipped_in(epoch) for epoch in range(3))
    assert [number for number, _ in first] == list(range(128))
    assert [(number, not mirrored) for number, mirrored in second] == first
    assert third == first
    assert abs(sum(mirrored for _, mirrored in first) - 64) < 4 * 128**0.5 / 2


def test_draws_of_images_follow_the_images_into_any_order_and_part():
    rows = np.array([5, 0, 3, 5])

    def draws(part: Any) -> BatchDraws:
        return BatchDraws(
            generator(0, "step"), 4, of_images=lambda: BatchDraws(generator(0, "i"), 9, part=part)
        )

    whole = draws(slice(None)).of_images().uniform(0, 1)
    assert torch.equal(draws(rows).of_images().uniform(0, 1), whole[torch.from_numpy(rows)])
    with pytest.raises(ValueError, match="belong to no images"):
        BatchDraws(generator(0, "step"), 4).of_images()
    with pytest.raises(ValueError, match="needs the whole batch"):
        draws(rows).of_images().permutation()


@pytest.mark.parametrize(("start", "peak", "end"), [(0.2, 0.23, 0.07), (0.5, 0.0, 0.0)])
def test_the_triangle_is_numpys_interpolation(start, peak, end):
    steps = 424  # of which 0.23 are 97.5: the peak is at a whole step
    factors = [
        triangle(start=start, peak=peak, end=end)(Timestamp(i, 48, steps)) for i in range(steps)
    ]
    corners = ([0, int(peak * steps), steps], [start, 1, end])
    if peak == 0:
        corners = ([0, steps], [1, end])
    np.testing.assert_allclose(factors, np.interp(range(steps), *corners), rtol=1e-12)


def test_lookahead_equals_a_loop_over_its_formula_on_weights_and_statistics():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).double()
    average: Any = lookahead(steps=2, retention=0.5, power=2.0).average(model)
    moves = torch.randn(8, 7, generator=torch.Generator().manual_seed(0)).double().numpy()
    parts = [model[0].weight[0], model[1].running_mean, model[0].bias[:1]]
    fast = slow = torch.cat([p.detach() for p in parts]).numpy()
    for step, move in enumerate(moves):
        average.begin_step(Timestamp(step, 4, 8))
        with torch.no_grad():
            for part, of_part in zip(parts, np.split(move, [3, 6]), strict=True):
                part.add_(torch.tensor(of_part))
        average.update_parameters(model)
        fast = fast + move
        if (step + 1) % 2 == 0:
            kept = 0.5 * ((step + 1) / 8) ** 2
            slow = kept * slow + (1 - kept) * fast
            fast = slow
        np.testing.assert_allclose(torch.cat(parts).detach().numpy(), fast, atol=1e-12)
    evaluated = average.module
    np.testing.assert_allclose(evaluated[1].running_mean.numpy(), slow[3:6], atol=1e-12)


def test_shifts_of_norms_learn_faster_and_decay_as_before():
    run = tiny_run(optimizer=partial(sgd, lr=0.1, weight_decay=0.01), norm_bias_lr_scale=64.0)
    components = build(run, folder=None)
    model = components.model
    optimizer, base_rates = build_optimizer(run, components, model)

    twin = build(run, folder=None).model
    names = {name for name, _ in twin.named_parameters() if name.endswith("stem.1.bias")}
    names |= {n for n, _ in twin.named_parameters() if "blocks" in n and n.endswith("2.bias")}
    assert len(names) == 3
    shifts = [p for name, p in twin.named_parameters() if name in names]
    others = [p for name, p in twin.named_parameters() if name not in names]
    theirs = torch.optim.SGD(
        [
            {"params": others, "lr": 0.1, "weight_decay": 0.01},
            {"params": shifts, "lr": 6.4, "weight_decay": 0.01 / 64},
        ],
        momentum=0.9,
        nesterov=True,
    )
    for network, updates in ((model, optimizer), (twin, theirs)):
        torch.manual_seed(0)
        for _ in range(3):
            for parameter in network.parameters():
                parameter.grad = torch.randn_like(parameter)
            updates.step()
    torch.testing.assert_close(model.state_dict(), twin.state_dict())
    assert sorted(set(base_rates)) == [0.1, 6.4]


@pytest.mark.parametrize("nproc", [1, 2])
def test_the_bias_of_whitening_is_trained_as_long_as_it_says(tmp_path, nproc):
    changes = {"architecture": whitened_net, "checkpoint_steps": 8, "keep_checkpoints": 9}
    if nproc == 1:
        execute(tiny_task(tmp_path, **changes))
        folder = tiny_task(tmp_path, **changes).open_folder()
    else:
        folder = on_ranks(tmp_path, "run", changes, nproc=nproc)
    states = [
        torch.load(path / "state.pt", weights_only=True)["model"]
        for path in sorted(folder.checkpoints.iterdir())
    ]
    one, two = (state["stem.0.bias"] for state in states)
    assert one.abs().max() > 0
    assert torch.equal(one, two)
    assert not torch.equal(states[0]["stem.2.weight"], weights(folder)["stem.2.weight"])


def test_views_are_the_image_its_mirror_image_and_two_shifts_with_theirs():
    images = smooth_images(3)
    padded = np.pad(images.numpy(), [(0, 0), (0, 0), (2, 2), (2, 2)], mode="reflect")
    views = list(flip_tta(translate=2).views(images))
    expected = [
        (0.25, images.numpy()),
        (0.25, images.numpy()[..., ::-1]),
        (0.125, padded[:, :, :32, :32]),
        (0.125, padded[:, :, :32, :32][..., ::-1]),
        (0.125, padded[:, :, 4:, 4:]),
        (0.125, padded[:, :, 4:, 4:][..., ::-1]),
    ]
    for (weight, view), (its_weight, its_view) in zip(views, expected, strict=True):
        assert weight == its_weight
        np.testing.assert_array_equal(view.numpy(), its_view)
    assert len(list(flip_tta(translate=0).views(images))) == 2


def test_the_result_has_the_error_of_averaged_logits_besides_the_plain_one(tmp_path):
    changes = {"augmentations": [normalize, partial(flip_tta, translate=1)], "epochs": 1}
    task = tiny_task(tmp_path, **changes)
    result = execute(task)

    run = tiny_run(**changes)
    components = build(run, folder=None)
    model = components.model
    model.load_state_dict(weights(task.open_folder()))
    _, test = components.dataset.load()
    images = prepare_for_evaluation(components.augmentations, torch.from_numpy(test.images))
    with torch.no_grad():
        logits = sum(w * model.eval()(v) for w, v in flip_tta(translate=1).views(images))
        plain = model.eval()(images)
    labels = torch.from_numpy(test.labels)
    assert result.tta_test.error == pytest.approx(
        float((logits.argmax(1) != labels).double().mean())
    )
    assert result.tta_test.loss == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-4)
    assert result.test.error == pytest.approx(float((plain.argmax(1) != labels).double().mean()))
    assert task.open_folder().record["tta_test_error"] == result.tta_test.error
    again = evaluated(tiny_task(tmp_path, **changes))
    assert again.tta_test.loss == pytest.approx(result.tta_test.loss, rel=1e-6)
    assert result.tta_test.loss != pytest.approx(result.test.loss, rel=1e-6)


def test_only_images_whose_class_leads_by_little_are_seen_in_several_views(tmp_path):
    def changes(below):
        views = partial(flip_tta, translate=1, below=below)
        return {"augmentations": [normalize, views], "epochs": 1}

    seen_all = run_predictions(tmp_path / "all", changes(None))
    leads = np.sort(softmax(seen_all.logits.astype(np.float64), axis=1), axis=1)
    leads = leads[:, -1] - leads[:, -2]
    below = float(np.median(leads))  # logits are kept in half precision: none is that near
    is_unsure = leads < below - 1e-3
    is_sure = leads > below + 1e-3

    seen_few = run_predictions(tmp_path / "few", changes(below))

    rows = is_unsure | is_sure
    expected = np.where(is_unsure[:, None], seen_all.tta_logits, seen_all.logits)
    np.testing.assert_allclose(seen_few.tta_logits[rows], expected[rows], rtol=0, atol=5e-3)
    assert np.abs(seen_all.tta_logits - seen_all.logits)[is_sure].max() > 2e-2
    assert is_unsure.sum() > 10
    assert is_sure.sum() > 10


def run_predictions(folder, changes):
    task = tiny_task(folder, **changes)
    execute(task)
    return read_predictions(task.open_folder())


@pytest.mark.parametrize(
    ("factory", "setting", "message"),
    [
        (airbench, {"widths": []}, r"widths is \[\]; expected one to four widths"),
        (airbench, {"widths": [8, 0]}, r"widths\[1\] is 0; expected at least 1"),
        (airbench, {"whitening_size": 0}, "whitening_size is 0; expected at least 1"),
        (airbench, {"whitening_eps": 0.0}, "whitening_eps is 0.0; expected above 0 to below 1"),
        (airbench, {"whitening_bias_epochs": -1.0}, "whitening_bias_epochs is -1.0; expected at"),
        (airbench, {"bn_momentum": 0.0}, "bn_momentum is 0.0; expected above 0 to 1"),
        (airbench, {"bn_eps": 1.0}, "bn_eps is 1.0; expected above 0 to below 1"),
        (airbench, {"head_std": 0.0}, "head_std is 0.0; expected a number above 0"),
        (airbench, {"logit_scale": -1.0}, "logit_scale is -1.0; expected a number above 0"),
        (flip_tta, {"translate": 9}, "translate is 9; expected 0 to 8"),
        (flip_tta, {"below": 0.0}, "below is 0.0; expected above 0 to 1 or None"),
        (triangle, {"start": -0.1}, "start is -0.1; expected a number of at least 0"),
        (triangle, {"end": float("nan")}, "end is nan; expected a number of at least 0"),
        (triangle, {"peak": 1.0}, "peak is 1.0; expected 0 to below 1"),
        (lookahead, {"steps": 0}, "steps is 0; expected at least 1"),
        (lookahead, {"retention": 1.0}, "retention is 1.0; expected 0 to below 1"),
        (lookahead, {"power": -1.0}, "power is -1.0; expected a number of at least 0"),
        (
            tiny_run,
            {"norm_bias_lr_scale": 0.0},
            "norm_bias_lr_scale is 0.0; expected a number above 0",
        ),
    ],
)
def test_settings_out_of_range_are_refused(factory, setting, message):
    offered = {"num_classes": 10} if factory is airbench else {}
    with pytest.raises(ConfigError, match=message):
        factory(**offered, **setting)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"kernel_size": 0}, "kernel_size is 0; expected at least 1"),
        ({"eps": 0.0}, "eps is 0.0; expected a number above 0"),
        ({"bias_epochs": -1.0}, "bias_epochs is -1.0; expected at least 0"),
    ],
)
def test_a_whitening_that_cannot_be_is_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        Whitening(**setting)
