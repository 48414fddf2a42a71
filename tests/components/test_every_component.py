"""Every registered component has settings with which it trains in a second.

A component that is missing from the table fails a test. Families and whatever else goes into a run
train, go on and are saved in test_combinations.py; here named networks do, but for large ones,
which tests/zoo/test_named_networks.py holds equal to a family with settings.
"""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch

from cifarzoo import config
from cifarzoo.api.execution import RankJob, train_rank
from cifarzoo.api.progress import Calling
from cifarzoo.components.plugins import catalogue
from cifarzoo.data.catalogue import CIFAR10, CIFAR100
from cifarzoo.engine.events import ignore_event
from cifarzoo.run_folders.folder import RunFolder, create
from tests.small_teacher import PLACE, with_teacher
from tests.zoo.test_named_networks import PRESETS

SMALLEST = {
    "run.architecture": "@resnet8",
    "resnet8.stem_stride": "2",
    "run.dataset": "@glyphs",
    "glyphs.train_images": "24",
    "glyphs.test_images": "8",
    "run.augmentations": "[@normalize]",
    "run.regularizers": "[]",
    "run.optimizer": "@sgd",
    "run.schedule": "@constant",
    "run.batch_size": "4",
    "run.epochs": "1",
    "run.max_steps": "2",
    "run.checkpoint_steps": "1",
}
BRANCH = {"run.architecture": "@pyramidnet", "pyramidnet.depth": "11", "pyramidnet.alpha": "8.0"}
FULL_SIZE = {"run.batch_size": "2", "run.eval_images": "2"}
SETTINGS: dict[str, dict[str, str]] = {
    # architectures
    **{
        name: FULL_SIZE | ({"run.regularizers": "[@shake_shake]"} if "shake" in name else {})
        for name in PRESETS
    },
    "wide_resnet": {"wide_resnet.blocks_per_group": "1", "wide_resnet.widen_factor": "1"},
    "shake_resnet": {
        "shake_resnet.blocks_per_group": "1",
        "shake_resnet.widen_factor": "1",
        "run.regularizers": "[@shake_shake]",
    },
    "pyramidnet": BRANCH,
    "resnet": {"resnet.depth": "8", "resnet.width": "4"},
    "resnet18": {"resnet18.width": "4"},
    "resnet50": {"resnet50.width": "4"},
    "preact_resnet": {"preact_resnet.depth": "11", "preact_resnet.width": "4"},
    "resnext": {"resnext.depth": "11", "resnext.cardinality": "2", "resnext.base_width": "4"},
    "densenet": {"densenet.depth": "10", "densenet.growth_rate": "4"},
    "vgg": {"vgg.depth": "11", "vgg.width": "4"},
    "vgg11": {"vgg11.width": "4"},
    "lenet": {},
    "vit": {"vit.dim": "16", "vit.num_heads": "2", "vit.depth": "1"},
    "cct": {"cct.dim": "16", "cct.num_heads": "2", "cct.depth": "1"},
    "convnext": {"convnext.widths": "[8, 8]", "convnext.blocks": "[1, 1]"},
    "googlenet": {"googlenet.width_factor": "0.1"},
    "dla": {"dla.width_factor": "0.1"},
    "resnet9": {"resnet9.width": "4"},
    "regnet_x": {"regnet_x.widths": "[8, 16]", "regnet_x.blocks": "[1, 1]"},
    "shufflenet_v2": {"shufflenet_v2.width": "'0.5'"},
    "efficientnet_b0": {"efficientnet_b0.width_factor": "0.1"},
    "mlp": {"mlp.widths": "[16]"},
    "mobilenet_v2": {"mobilenet_v2.width_factor": "0.1"},
    "airbench": {"airbench.widths": "[4, 4, 4]", "airbench.whitening_bias_epochs": "0.1"},
    "airbench94": {},
    "resnet20": {},
    "resnet8": {},
    "wrn26_2": {},
    "wrn26_6_ss": {"run.regularizers": "[@shake_shake]", **FULL_SIZE},
    # layers
    "torch_layers": {},
    "he2015_layers": {},
    "paper_layers": {},
    "autoaugment_layers": {},
    "flax2020_layers": {},
    # regularizers
    "shake_shake": BRANCH,
    "shake_drop": {**BRANCH, "shake_drop.per": "'pixel'"},
    "stochastic_depth": BRANCH,
    "squeeze_excite": BRANCH,
    "drop_block": {**BRANCH, "drop_block.scheduled": "False"},
    "label_smoothing": {},
    "mixup": {},
    "cutmix": {},
    "ricap": {},
    "resizemix": {},
    "random_choice": {"random_choice.regularizers": "[@mixup, @cutmix]"},
    "progressive_resizing": {"progressive_resizing.sizes": "[16]"},
    "manifold_mixup": {},
    "online_batch_selection": {
        "online_batch_selection.keep": "0.5",
        "online_batch_selection.start": "0.4",
    },
    "orthogonality": {},
    "distillation": {"distillation.teacher": PLACE},
    "jsd": {"run.augmentations": "[@augmix, @normalize]", "augmix.num_views": "3"},
    "deep_supervision": {},
    "ema": {},
    "schedule_free": {},
    "swa": {"swa.start": "0.0", "swa.every_epochs": "0.1"},
    "lawa": {"lawa.num_points": "2", "lawa.every_epochs": "0.1"},
    "sam": {},
    "asam": {},
    "gradient_centralization": {},
    "lookahead": {"lookahead.steps": "1", "lookahead.power": "0.0"},
    # augmentations
    "pad_crop": {},
    "flip": {},
    "alternating_flip": {},
    "flip_tta": {},
    "cutout": {},
    "augmix": {"run.augmentations": "[@augmix, @normalize]"},
    "random_erasing": {},
    "random_resized_crop": {},
    "color_jitter": {"run.augmentations": "[@color_jitter, @normalize]"},
    "three_augment": {"run.augmentations": "[@three_augment, @normalize]"},
    "rand_augment": {"run.augmentations": "[@pad_crop, @flip, @rand_augment, @normalize]"},
    "auto_augment": {
        "run.augmentations": "[@auto_augment, @normalize]",
        "auto_augment.fill": "'mean'",
    },
    "trivial_augment_wide": {"run.augmentations": "[@trivial_augment_wide, @normalize]"},
    "normalize": {},
    # losses
    "cross_entropy": {},
    "focal": {},
    "binary_cross_entropy": {},
    "class_weighted": {
        "class_weighted.class_weights": "[1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5]"
    },
    "logit_adjusted": {"logit_adjusted.class_counts": "[9, 8, 7, 6, 5, 4, 3, 2, 1, 1]"},
    # schedules
    "constant": {"constant.warmup_epochs": "0.2"},
    "multistep": {"multistep.milestones": "[0.1]", "multistep.factors": "[0.5]"},
    "cosine": {},
    "triangle": {},
    "linear": {},
    "polynomial": {},
    "exponential": {},
    "inverse_sqrt": {},
    "trapezoid": {},
    "sgdr": {"sgdr.cycle_epochs": "0.2"},
    "one_cycle": {},
    # optimizers
    "sgd": {},
    "adamw": {},
    "muon": {},
    "rmsprop": {},
    "lars": {},
    "lamb": {},
    "lion": {},
    "adan": {},
    "torch_optimizer": {"torch_optimizer.name": "'NAdam'", "torch_optimizer.lr": "0.1"},
    "soap": {"soap.basis_steps": "1"},
    # datasets
    "glyphs": {},
    "cifar10": {},
    "cifar100": {},
}
# Of the papers' networks few are tried here; all of them are in ``make trust``.
LEFT_OUT = PRESETS.keys() - {
    *("resnet8", "resnet18", "resnet20", "resnet50", "vgg11", "airbench94"),
    *("wrn26_2", "wrn26_10", "wrn26_6_ss", "pyramid", "shake26_2x32d", "pyramid110_a84"),
}
LARGEST = {"wrn26_10", "wrn26_6_ss", "pyramid", "shake26_2x32d"}  # on a CPU half a minute a step
HOLDERS = {  # of what is no setting of the run by itself
    "regularizer": "run.regularizers = [@{}]",
    "augmentation": "run.augmentations = [@{}]",
    "layers": "resnet8.layers = @{}",
}
HUB = {"cifar10": (CIFAR10, "label"), "cifar100": (CIFAR100, "fine_label")}
DROPPED = ("glyphs", "resnet8")  # settings of what a change puts something else in place of


def own_components() -> dict[str, str]:
    """Kind of each component of cifarzoo's own by name."""
    entries = catalogue().entries.values()
    return {entry.name: entry.kind for entry in entries if entry.origin == "cifarzoo"}


def chosen(name: str, kind: str) -> dict[str, str]:
    """The binding that puts a component into a run."""
    held, _, value = HOLDERS.get(kind, f"run.{kind} = @{{}}").format(name).partition(" = ")
    return {held: value}


def config_text(name: str, kind: str) -> str:
    bindings = {**SMALLEST, **chosen(name, kind), **SETTINGS[name]}
    used = " ".join(bindings.values())
    return with_teacher(
        "".join(
            f"{key} = {value}\n"
            for key, value in bindings.items()
            if key.partition(".")[0] not in DROPPED or f"@{key.partition('.')[0]}" in used
        )
    )


def train(folder: RunFolder, text: str) -> dict[str, Any]:
    train_rank(
        RankJob(
            config=config.from_text(text, name="every"),
            folder=folder.path,
            data=None,
            argv=("cifarzoo",),
            progress=Calling(ignore_event),
        )
    )
    return folder.record


def test_the_table_has_every_component():
    assert SETTINGS.keys() == own_components().keys()


@pytest.mark.parametrize("name", sorted(PRESETS.keys() - LEFT_OUT - LARGEST))
def test_a_named_network_trains_goes_on_from_a_checkpoint_and_is_saved(name, tmp_path):
    loaded = config.from_text(config_text(name, "architecture"))
    folder = create(tmp_path / "runs", "every", loaded.text())

    record = train(folder, loaded.text())

    assert record["status"] == "done"
    copy = RunFolder(tmp_path / "copy")
    shutil.copytree(folder.path, copy.path)
    shutil.rmtree(copy.checkpoints / "step-00000002")
    copy.update(status="running")
    resumed = train(copy, loaded.text())
    assert resumed["weights_sha256"] == record["weights_sha256"]
    states = [
        torch.load(run.checkpoints / "step-00000002" / "state.pt", weights_only=True)
        for run in (folder, copy)
    ]
    assert all(state["numbers"]["step"] == 2 for state in states)
    assert same_bits(*(state["optimizer"] for state in states))


def same_bits(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_bits(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same_bits, one, other))
    return bool(one == other)
