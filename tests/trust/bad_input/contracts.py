# ruff: noqa: E501  # a case is easiest to read on a line

"""Row 40: components of plugins that are made and then break what ``cifarzoo.protocols`` asks."""

from __future__ import annotations

from tests.trust.bad_input.case import Case
from tests.trust.bad_input.plugins import GOOD, used

DATASET = """\
    images, labels = np.zeros((32, 3, 32, 32), np.uint8), np.zeros(32, int)
    split = Split(images=images, labels=labels)
    return Dataset(title="Few", classes=("a", "b"), mean=(0.5,) * 3, std=(0.2,) * 3, {})
"""
IMPORTS = """\
import numpy as np
import torch
from torch import nn
from cifarzoo.protocols import Dataset, Regularizer, Split
"""


def component(kind: str, head: str, body: str) -> str:
    """A plugin with a good schedule and a component ``head`` of this body."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"{IMPORTS}{GOOD}\n\n@register.{kind}\n{head}\n    '''Mine.'''\n{lines}"


def stage(name: str, code: str, says: str) -> Case:
    """A regularizer with one stage that breaks its contract."""
    plugin = component("regularizer", "class Soft(Regularizer):", code)
    return used(40, name, plugin, says, ["run.regularizers=[@Soft]"])


def network(name: str, code: str, says: str) -> Case:
    """An architecture that breaks its contract."""
    plugin = component("architecture", "def net(num_classes):", code)
    return used(40, name, plugin, says, ["run.architecture=@net"])


def dataset(name: str, rest: str, says: str) -> Case:
    """A dataset that breaks its contract when it is read, in a run."""
    plugin = component(
        "dataset", "def few(folder):", DATASET.format(rest).replace("\n    ", "\n")[4:]
    )
    case = used(40, name, plugin, says, ["run.dataset=@few"])
    return Case(**{**vars(case), "command": tuple(w for w in case.command if w != "--dry-run")})


CASES = [
    stage("a regularizer of no stage", "def on_batch(self, images, targets, draws):\n    return images, targets",
          "Soft: acts in no stage; expected one of branch, batch, network, loss, optimizer, average"),
    stage("a batch without targets", "def batch(self, images, targets, draws):\n    return images",
          "Soft: gives another kind of batch; expected images and targets of the shapes"),
    stage("half a batch", "def batch(self, images, targets, draws):\n    return images[:1], targets[:1]",
          "Soft: gives another kind of batch"),
    stage("a batch stage of other arguments", "def batch(self, images):\n    return images",
          r"Soft: fails on images \(2, 3, 32, 32\): TypeError: "),
    stage("no loss", "def loss(self, loss):\n    return None", "Soft: fails on two images, in the loss: TypeError: "),
    stage("a loss a class", "def loss(self, loss):\n    return lambda a, b: a - b",
          r"Soft: makes the loss \(2, 10\); expected a tensor of one number, or one an image"),
    stage("no optimizer", "def optimizer(self, optimizer):\n    return None",
          r"Soft: gives None \(NoneType\); expected a torch\.optim\.Optimizer"),
    stage("an average that is none", "def average(self, model):\n    return 3",
          "Soft: averages by int; expected a cifarzoo.protocols.Average or None"),
    stage("a branch that is no module", "def branch(self, site):\n    return abs",
          "has Soft, whose branch gives builtin_function_or_method; expected a torch.nn.Module or None"),
    stage("a branch of another shape", "def branch(self, site):\n    return nn.Flatten()",
          r"resnet8: fails on images \(2, 3, 32, 32\): RuntimeError: "),
    network("a network without parameters", "return nn.Flatten()", "net: has no parameter that could be trained"),
    network("a network of sizes to come", "return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))",
            "net: has parameters that wait for a first batch"),
    network("a network of doubles", "return nn.Sequential(nn.Flatten(), nn.Linear(3072, num_classes).double())",
            r"net: has parameters of torch\.float64; expected torch\.float32, see run\.precision"),
    used(40, "an optimizer that torch refuses", component("optimizer", "def own(params):", "return torch.optim.SGD(params, lr=-1)"),
         "own: refuses its settings: Invalid learning rate: -1", ["run.optimizer=@own"]),
    used(40, "an augmentation of another type", component("augmentation", "def own():", "return lambda images, draws: images.double()"),
         r"own: comes last and gives torch\.float64; expected float32", ["run.augmentations=[@normalize, @own]"]),
    used(40, "half an augmentation", component("augmentation", "def own():", "return lambda images, draws: images[:1]"),
         r"own: gives \(1, 3, 32, 32\) for images \(2, 3, 32, 32\); expected their own shape", ["run.augmentations=[@own]"]),
    used(40, "a schedule that turns negative", component("schedule", "def own():", "return lambda moment: 1.0 - moment.step"),
         r"own: gives -1\.0 at step 2; expected a finite number of at least 0", ["run.schedule=@own"]),
    dataset("a dataset that loads nothing", "load=lambda: None", "the load of Few gives NoneType; expected two Splits"),
    dataset("a dataset of other counts", "num_train=50, load=lambda: (split, split)", "Few promises 50 training images and has 32"),
]  # fmt: skip
