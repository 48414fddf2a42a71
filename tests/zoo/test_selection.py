"""Online batch selection: what is chosen, what it is trained as, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import cifarzoo
from cifarzoo.cli.app import app
from cifarzoo.protocols import Timestamp, acting_stages
from cifarzoo.randomness.batch_draws import BatchDraws

SETTINGS: dict[str, Any] = {
    "glyphs.train_images": 128,
    "glyphs.test_images": 40,
    "run.batch_size": 32,
    "run.epochs": 3,
    "run.precision": "float64",
    "run.regularizers": ["@online_batch_selection"],
    "online_batch_selection.keep": 0.5,
    "online_batch_selection.hardest": 0.25,
    "online_batch_selection.start": 0.3,
}
LATE = Timestamp(step=90, steps_per_epoch=10, total_steps=100)


def chosen(losses: torch.Tensor, seed: int = 0, **settings: float) -> list[int] | None:
    component = cifarzoo.create("online_batch_selection", **settings)
    rows = component.selection(losses, BatchDraws(np.random.default_rng(seed), len(losses)), LATE)
    return None if rows is None else rows.tolist()


def test_the_hardest_are_kept_and_the_others_drawn_evenly():
    losses = torch.arange(20.0).flip(0)
    counts = np.zeros(20)
    for seed in range(2000):
        rows = chosen(losses, seed, keep=0.6, hardest=0.4)
        assert rows == sorted(rows)
        assert len(rows) == 12
        counts[rows] += 1

    assert (counts[:8] == 2000).all()
    # 4 of 12 are drawn: a third, with a standard error of sqrt(p (1 - p) / 2000).
    assert np.abs(counts[8:] / 2000 - 1 / 3).max() < 4 * np.sqrt(2 / 9 / 2000)


def test_images_that_were_never_seen_are_hard():
    losses = torch.tensor([5.0, torch.inf, 1.0, torch.inf])

    assert chosen(losses, keep=0.5, hardest=0.5) == [1, 3]


def test_all_are_trained_on_outside_of_its_time():
    losses = torch.arange(8.0)

    assert chosen(losses, start=0.95) is None
    assert chosen(losses, end=0.5) is None
    assert chosen(losses, keep=1.0, hardest=0.0) is None


def train(folder: Path, **settings: Any) -> Any:
    return cifarzoo.train(
        "quickstart", set=SETTINGS | settings, run_dir=folder, progress=False, nproc=1
    )


def test_it_acts_in_its_stage_alone():
    assert acting_stages(cifarzoo.create("online_batch_selection")) == ["selection"]


def losses_of(folder: Path) -> torch.Tensor:
    newest = sorted((folder / "checkpoints").glob("step-*"))[-1]
    return torch.load(newest / "state.pt", weights_only=True)["losses"]


def test_what_is_kept_are_the_cross_entropies_of_the_step_that_trained_on_the_image(tmp_path):
    """One step of the whole batch: before it the network is that of the seed."""
    one_step = {"run.batch_size": 128, "run.max_steps": 1, "run.epochs": 1}
    train(tmp_path / "run", **one_step, **{"run.augmentations": ["@normalize"]})
    kept = losses_of(tmp_path / "run")

    still = {"sgd.lr": 1e-30, "sgd.weight_decay": 0.0}
    train(tmp_path / "still", **one_step, **still, **{"run.augmentations": ["@normalize"]})
    run = cifarzoo.load_run(tmp_path / "still")
    split, _ = run.config.build().dataset(folder=None).load()
    network = run.last_model.double().train()
    logits = network(run.preprocess(torch.from_numpy(split.images)).double())
    expected = torch.nn.functional.cross_entropy(
        logits, torch.from_numpy(split.labels).long(), reduction="none"
    )

    torch.testing.assert_close(kept.double(), expected, rtol=1e-5, atol=1e-5)


def test_images_that_are_left_out_keep_their_losses(tmp_path):
    """In the fourth epoch, whose steps take half of each batch, half of all losses change."""
    until = {"run.max_steps": 12, "online_batch_selection.start": 0.99, "run.epochs": 4}
    end = {"run.max_steps": 16, "online_batch_selection.start": 0.74, "run.epochs": 4}
    constant = {"run.schedule": "@constant"}
    train(tmp_path / "three", **until, **constant)
    train(tmp_path / "four", **end, **constant)
    before, after = losses_of(tmp_path / "three"), losses_of(tmp_path / "four")

    assert (before >= 0).all()
    assert int((before != after).sum()) == 64


def test_a_run_that_selects_is_tested_again(tmp_path):
    result = train(tmp_path / "run")

    again = cifarzoo.load_run(result.path).evaluate()

    assert again.test.error == result.test_error


def test_two_ranks_and_micro_batches_train_as_one(tmp_path):
    groups = {"run.bn_group_size": 8}
    alone = train(tmp_path / "one", **groups)
    parts = train(tmp_path / "parts", **groups, **{"run.micro_batch_size": 16})
    both = cifarzoo.train(
        "quickstart",
        set=SETTINGS | groups,
        run_dir=tmp_path / "two",
        progress=False,
        nproc=2,
    )

    losses = [losses_of(tmp_path / name) for name in ("one", "parts", "two")]
    for other in losses[1:]:
        torch.testing.assert_close(other, losses[0], rtol=1e-6, atol=1e-7)
    assert alone.test_error == parts.test_error == both.test_error


def test_it_goes_with_what_mixes_and_with_networks_stages(tmp_path):
    settings = {
        "run.regularizers": ["@manifold_mixup", "@online_batch_selection", "@mixup"],
        "manifold_mixup.modules": [""],
        "run.max_steps": 8,
    }

    assert train(tmp_path / "run", **settings).steps == 8


def refused(*settings: str, plugin: str = "", folder: Path) -> str:
    file = folder / "plugin.py"
    file.write_text(
        "import torch\nfrom cifarzoo import register\n"
        "from cifarzoo.protocols import Regularizer\n\n\n"
        f"@register.regularizer\nclass Chooses(Regularizer):\n    {plugin or 'num_views = 1'}\n"
    )
    words = [word for each in settings for word in ("-s", each)]
    done = CliRunner().invoke(app, ["run", "quickstart.gin", "--dry-run", *words, "-p", str(file)])
    assert done.exit_code == 2
    return done.output


SELECTS = "run.regularizers=[@online_batch_selection]"
CHOOSES = "run.regularizers=[@Chooses]"


@pytest.mark.parametrize(
    ("settings", "plugin", "words"),
    [
        (
            (SELECTS, "online_batch_selection.hardest=0.7"),
            "",
            "online_batch_selection.hardest is 0.7; expected at most keep, 0.6",
        ),
        (
            (SELECTS, "online_batch_selection.end=0.1"),
            "",
            "online_batch_selection.end is 0.1; expected more than start, 0.15",
        ),
        (
            (SELECTS, "run.batch_size=64", "run.bn_group_size=16"),
            "",
            "selects 38 of 64 images; expected a multiple of the 4 groups of BatchNorm",
        ),
        (
            ("run.regularizers=[@online_batch_selection, @Chooses]",),
            "def selection(self, losses, draws, moment): return None",
            "selects images, and so does online_batch_selection; expected one",
        ),
        (
            (CHOOSES,),
            "def selection(self, losses, draws, moment): return torch.tensor([0, 0])",
            "gives int64 (2,), from 0 to 0 in the selection stage, on 64 losses; "
            "expected different places in the batch, int64",
        ),
        (
            (CHOOSES,),
            "def selection(self, losses, draws, moment): return losses > 1",
            "gives bool (64,)",
        ),
        (
            (CHOOSES,),
            "def selection(self, losses, draws, moment): return 1 / 0",
            "fails in the selection stage, on 64 losses: ZeroDivisionError",
        ),
    ],
)
def test_what_cannot_be_selected_is_refused_before_a_run(settings, plugin, words, tmp_path):
    said = refused(*settings, plugin=plugin, folder=tmp_path)

    assert words in " ".join(said.split())
