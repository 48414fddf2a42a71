# ruff: noqa: E501  # a case is easiest to read on a line

"""Rows 11 to 20: numbers out of range and parts that don't fit each other, built on ``meta``."""

from __future__ import annotations

from typing import Any

from tests.trust.bad_input.case import Case
from tests.trust.bad_input.small import small_config

CONFIG = small_config("run.epochs = 1", images=(128, 40))
SAYS_WHERE = r"^(c\.gin:\d+|--set '.*'): "


def value(row: int, name: str, text: str, says: str, *extra: str, **more: Any) -> Case:
    """A dry run of a config that is fine but for ``text``, whose last line is to blame."""
    first = text.partition(" = ")[0]
    kept = [line for line in CONFIG.splitlines() if not line.startswith(f"{first} = ")]
    return Case(
        row=row,
        name=name,
        command=("run", "c.gin", "--dry-run", *extra),
        files={"c.gin": "\n".join([*kept, text, ""]), **more.pop("files", {})},
        says=SAYS_WHERE * bool(says and not says.startswith("^")) + says,
        needs_torch=True,
        **more,
    )


def warned(row: int, name: str, text: str, says: str, *extra: str) -> Case:
    """What can be built and may not be meant."""
    return value(row, name, text, f"^warning: {says}", *extra, exit_code=0, prints="steps")


NET = '''\
from torch import nn
from cifarzoo import register


@register.architecture
def net(num_classes, *, channels: int = 3, size: int = 32, outputs: int = 0):
    """A linear layer."""
    return nn.Sequential(nn.Conv2d(channels, 4, size), nn.Flatten(), nn.Linear(4, outputs or num_classes))
'''
OWN = ("-p", "p.py")
RATES = [
    value(11, "rate 0", "sgd.lr = 0.0", r"sgd\.lr is 0\.0; expected a number above 0"),
    value(11, "negative rate", "sgd.lr = -0.1", r"sgd\.lr is -0\.1; expected"),
    value(11, "infinite rate", "sgd.lr = 1e999", r"sgd\.lr is 1e999; expected a number above 0"),
    warned(11, "huge rate", "sgd.lr = 1e30", r"the base learning rate is 1e\+30; few networks learn anything above 10"),
    value(12, "no epochs", "run.epochs = 0", r"run\.epochs is 0; expected at least 1"),
    value(12, "negative epochs", "run.epochs = -1", r"run\.epochs is -1; expected at least 1"),
    value(12, "no steps", "run.max_steps = 0", r"run\.max_steps is 0; expected at least 1"),
    value(13, "batch of nothing", "run.batch_size = 0", r"run\.batch_size is 0; expected at least"),
    value(13, "negative batch", "run.batch_size = -8", r"run\.batch_size is -8; expected at least"),
    value(13, "batch beyond the data", "run.batch_size = 129",
          r"run\.batch_size is 129; expected at most the 128 training images"),
    value(13, "batch beyond the images that are used", "run.batch_size = 64",
          r".*run\.batch_size is 64; expected at most the 50 training", "-s", "run.train_images=50"),
    value(13, "validation takes all", "run.validation_images = 128",
          r"run\.validation_images is 128; expected fewer than the 128 training images"),
    value(13, "more images than there are", "run.train_images = 5000",
          r"run\.train_images is 5000; expected at most the 128 "),
    value(13, "more test images than there are", "run.eval_images = 41",
          r"run\.eval_images is 41; expected at most the 40 "),
    value(14, "batch not divisible by ranks", "run.batch_size = 16",
          r"run\.batch_size is 16; expected a multiple of the 3 processes, such as 15", "-n", "3"),
    value(14, "accumulation that doesn't divide", "run.micro_batch_size = 5",
          r"run\.micro_batch_size is 5; expected a divisor of the 16"),
    value(14, "part of a batch beyond the batch", "run.micro_batch_size = 32",
          r"run\.micro_batch_size is 32; expected at most the 16"),
    value(14, "parts without groups", "run.micro_batch_size = 8",
          r"run\.micro_batch_size is 8, and BatchNorm's .*set run\.bn_group_size to 8"),
    value(14, "group that doesn't divide", "run.bn_group_size = 5",
          r"run\.bn_group_size is 5; expected a divisor of the 16"),
    value(14, "negative group", "run.bn_group_size = -1", r"run\.bn_group_size is -1; expected at"),
]  # fmt: skip
RANGES = [
    value(15, "momentum 1.5", "sgd.momentum = 1.5", r"sgd\.momentum is 1\.5; expected"),
    value(15, "negative decay", "sgd.weight_decay = -1e-4", r"sgd\.weight_decay is -0\.0001; expected"),
    value(15, "smoothing 2", "label_smoothing.smoothing = 2.0",
          r"label_smoothing\.smoothing is 2\.0; expected", "-s", "run.regularizers=[@label_smoothing]"),
    value(15, "average that keeps all", "ema.decay = 1.0", r"ema\.decay is 1\.0; expected",
          "-s", "run.regularizers=[@ema]"),
    value(15, "mixup without strength", "mixup.alpha = 0.0", r"mixup\.alpha is 0\.0; expected",
          "-s", "run.regularizers=[@mixup]"),
    value(15, "dropping everything", "stochastic_depth.final_drop_prob = 1.5",
          r"stochastic_depth\.final_drop_prob is 1\.5; expected",
          "-s", "run.regularizers=[@stochastic_depth]"),
    value(15, "dropout 1", "wide_resnet.dropout_rate = 1.0", r"wide_resnet\.dropout_rate is 1\.0; expected",
          "-s", "run.architecture=@wide_resnet"),
    value(15, "clip to nothing", "run.clip_norm = 0.0", r"run\.clip_norm is 0\.0; expected a number above 0 or None"),
    value(15, "negative seed", "run.seed = -1", r"run\.seed is -1; expected at least 0"),
    value(15, "keep no checkpoint", "run.keep_checkpoints = 0", r"run\.keep_checkpoints is 0; expected"),
    value(15, "save every 0 seconds", "run.checkpoint_seconds = 0.0", r"run\.checkpoint_seconds is 0\.0"),
    value(15, "padding beyond the image", "pad_crop.padding = 40", r"pad_crop\.padding is 40; expected",
          "-s", "run.augmentations=[@pad_crop]"),
    value(15, "cutout of nothing", "cutout.size = 0", r"cutout\.size is 0; expected",
          "-s", "run.augmentations=[@cutout]"),
    value(15, "final factor 2", "cosine.final = 2.0", r"cosine\.final is 2\.0; expected 0 to 1",
          "-s", "run.schedule=@cosine"),
    value(16, "milestones unsorted", "multistep.milestones = [3, 2]",
          r"multistep\.milestones is \[3, 2\]; expected numbers that rise",
          "-s", "run.schedule=@multistep", "-s", "multistep.factors=[0.1, 0.01]"),
    value(16, "one factor too few", "multistep.factors = [0.1]",
          r"multistep\.factors has 1 values; expected one for each of the 2",
          "-s", "run.schedule=@multistep", "-s", "multistep.milestones=[0, 0.5]"),
    warned(16, "milestone past the end", "multistep.milestones = [60]",
           r"milestone 60 is past the end of the run \(1 epoch\)",
           "-s", "run.schedule=@multistep", "-s", "multistep.factors=[0.1]"),
    warned(16, "warm-up longer than the run", "constant.warmup_epochs = 5.0",
           r"warm-up of 5 epochs is longer than the run \(1 epoch\)"),
]  # fmt: skip
NETWORKS = [
    value(17, "a Wide ResNet without blocks", "wide_resnet.blocks_per_group = 0",
          r"wide_resnet\.blocks_per_group is 0; expected at least 1", "-s", "run.architecture=@wide_resnet"),
    value(17, "depth that no PyramidNet has", "pyramidnet.depth = 271",
          r"pyramidnet\.depth is 271; expected", "-s", "run.architecture=@pyramidnet"),
    value(17, "depth that no ResNet has", "resnet.depth = 21", r"resnet\.depth is 21; expected .*20",
          "-s", "run.architecture=@resnet"),
    value(18, "wider than the memory", "run.architecture = @wide_resnet",
          r"run\.architecture has [\d,]+ parameters, .* need [\d,.]+ GiB; this machine has [\d,.]+ GiB",
          "-s", "wide_resnet.widen_factor=20000"),
    value(19, "a network of other classes", "net.outputs = 7",
          r"net: gives \(2, 7\) for images \(2, 3, 32, 32\); expected \(2, 10\), as the dataset has 10",
          "-s", "run.architecture=@net", *OWN, files={"p.py": NET}),
    value(20, "a network of other channels", "net.channels = 1",
          r"net: fails on images \(2, 3, 32, 32\): RuntimeError: ", "-s", "run.architecture=@net", *OWN, files={"p.py": NET}),
    value(20, "a network of other sizes", "net.size = 28",
          r"net: fails on images \(2, 3, 32, 32\): RuntimeError: ", "-s", "run.architecture=@net", *OWN, files={"p.py": NET}),
    value(20, "a network of larger images", "net.size = 64",
          r"net: fails on images \(2, 3, 32, 32\): RuntimeError: ", "-s", "run.architecture=@net", *OWN, files={"p.py": NET}),
    value(20, "a merger where there is one path", "run.architecture = @wrn26_6_ss",
          r"wrn26_6_ss: needs a regularizer .*write run\.regularizers = \[@shake_shake\]"),
    value(20, "two that average weights", "run.regularizers = [@ema, @ema]",
          r"run\.regularizers has 2 that average weights"),
]  # fmt: skip
CASES = [*RATES, *RANGES, *NETWORKS]
