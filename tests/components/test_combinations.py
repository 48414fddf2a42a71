"""Any two components go together, or are refused in the one line that says why.

A covering array over all kinds: rows of one component of each, in which every two meet. Each row
trains two steps, goes on from the first one to the same bits, and is tested again. Pairs that
can't be have a table: they are in no row, and each is shown to be refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest

import cifarzoo
from cifarzoo import config
from cifarzoo.components.index import Entry
from cifarzoo.components.plugins import catalogue
from cifarzoo.errors import EXIT_USAGE, CifarzooError
from cifarzoo.testing.training import difference_when_resumed, trained
from cifarzoo.zoo.architectures.classic import googlenet
from cifarzoo.zoo.architectures.mobile import efficientnet, mobilenet_v2, shufflenet_v2
from cifarzoo.zoo.architectures.residual import dla, resnext
from tests.components.covering import Item, Pair, Row, all_pairs, covering_array, pairs_of
from tests.components.test_every_component import HUB, SETTINGS, SMALLEST
from tests.small_cifar import small, write_parquets
from tests.small_teacher import with_teacher
from tests.tried import TRIED

SEED = 1
PARTS = 36  # tests, each of some rows of the array
NONE = "-"  # no component of the factor
CLASSES = {"cifar100": 100}
PER_CLASS = {"class_weighted": "class_weights", "logit_adjusted": "class_counts"}
ARITHMETIC = {  # what a run may have besides components
    "float32": {},
    "micro": {"run.batch_size": "8", "run.micro_batch_size": "4", "run.bn_group_size": "4"},
    "clipped": {"run.clip_norm": "1.0", "run.layer_decay": "0.9"},
}


NEEDED = ("architecture", "dataset", "loss", "schedule", "optimizer")
# Several augmentations go together, so that each place in their order is a factor.
AUGMENTATIONS = ("augmentation", "policy", "erasing")
ERASING = {"cutout", "random_erasing"}
IN_EVERY_ROW = "normalize"
# The time of a row goes by the number of its tensors. Networks that have hundreds, by tables which
# aren't settings, are made from a part of their tables; test_on_two_ranks.py trains the whole ones.
SHORTER = {
    efficientnet: {"STAGES": efficientnet.STAGES[:2], "LAST_CHANNELS": 16},
    mobilenet_v2: {"STAGES": mobilenet_v2.STAGES[:2], "LAST_CHANNELS": 16},
    googlenet: {"MODULES": tuple(group[:1] for group in googlenet.MODULES)},
    shufflenet_v2: {"BLOCKS": (2, 1, 1)},
    dla: {"TREES": dla.TREES[:2]},
    resnext: {"STEM_CHANNELS": 8},
}


@pytest.fixture(scope="module", autouse=True)
def _shorter_tables() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module, tables in SHORTER.items():
            for name, table in tables.items():
                patch.setattr(module, name, table)
        yield


@cache
def factors() -> dict[str, list[str]]:
    """The components of each kind; of some, the folders they lie in are factors.

    Of architectures the families are in it, whose presets are the same code.
    """
    found: dict[str, list[str]] = {}
    for entry in catalogue(files=()).entries.values():
        if entry.origin != "cifarzoo" or (entry.kind == "architecture" and entry.preset):
            continue
        if entry.name == IN_EVERY_ROW:
            continue
        factor = factor_of(entry)
        found.setdefault(factor, [] if factor in NEEDED else [NONE]).append(entry.name)
    return found | {"arithmetic": list(ARITHMETIC)}


def factor_of(entry: Entry) -> str:
    if entry.kind == "regularizer":
        return f"{entry.path.parent.name} stage"
    if entry.kind == "augmentation" and entry.path.parent.name == "policies":
        return "policy"
    return "erasing" if entry.name in ERASING else entry.kind


def bindings(row: Row) -> dict[str, str]:
    """The settings of a row."""
    stages = sorted(f for f in row if f.endswith(" stage"))
    stages.sort(key=lambda stage: stage != "branch stage")  # shake_shake comes first
    regularizers = [row[stage] for stage in stages if row[stage] != NONE]
    settings = {key: value for key, value in SMALLEST.items() if key.startswith("run.")}
    settings |= {f"run.{kind}": f"@{row[kind]}" for kind in NEEDED}
    settings["run.regularizers"] = listed(regularizers)
    augmentations = [row[place] for place in AUGMENTATIONS if row[place] != NONE]
    settings["run.augmentations"] = listed([*augmentations, IN_EVERY_ROW])
    for name in row.values():
        own = {**SMALLEST, **SETTINGS.get(name, {})}.items()
        settings |= {key: value for key, value in own if key.startswith(f"{name}.")}
    if row["loss"] in PER_CLASS:
        numbers = [1 + i % 3 for i in range(CLASSES.get(row["dataset"], 10))]
        settings[f"{row['loss']}.{PER_CLASS[row['loss']]}"] = str(numbers)
    if row["network stage"] == "jsd":
        settings["augmix.num_views"] = "3"
    if row["layers"] != NONE:
        settings[f"{row['architecture']}.layers"] = f"@{row['layers']}"
    return settings | ARITHMETIC[row["arithmetic"]]


def listed(names: Iterable[str]) -> str:
    return "[" + ", ".join(f"@{name}" for name in names) + "]"


def text_of(row: Row, data: Path | None) -> str:
    text = "".join(f"{key} = {value}\n" for key, value in bindings(row).items())
    return with_teacher(text, row["dataset"], data)


# What can't go together --------------------------------------------------------------------------

Refusal: TypeAlias = tuple[str, Collection[str], str, Collection[str], str]
BRANCHES = set(factors()["branch stage"]) - {NONE}
REFUSALS: list[Refusal] = [
    (
        "architecture",
        {"densenet", "googlenet", "lenet", "mlp", "vgg", "airbench", "shufflenet_v2"},
        "branch stage",
        BRANCHES,
        r"run\.regularizers has (\w+), which acts inside residual blocks, and (\w+) has none",
    ),
    (
        "architecture",
        {"shake_resnet"},
        "branch stage",
        {NONE, *BRANCHES} - {"shake_shake"},
        r"needs a regularizer that merges parallel residual paths; write run\.regularizers = ",
    ),
    (
        "architecture",
        {"wide_resnet", "vit", "cct", "convnext", "preact_resnet", "resnet9"},
        "branch stage",
        {"shake_drop"},
        r"has shake_drop, which needs residual paths that end in a normalisation",
    ),
    (
        "architecture",
        {"cct", "vit", "lenet", "mlp", "airbench", "convnext"},
        "layers",
        set(factors()["layers"]) - {NONE},
        r"(\w+) has no parameter 'layers'",
    ),
    (
        "architecture",
        {"lenet", "mlp", "resnet9", "vgg"},
        "network stage",
        {"deep_supervision", "manifold_mixup"},
        r"(\w+)\.modules is None, and the network has no list of blocks; expected names of modules",
    ),
    (
        "architecture",
        {"cct", "lenet", "mlp", "vgg", "vit"},
        "network stage",
        {"progressive_resizing"},
        r"progressive_resizing\.sizes has 16, and the network fails on images of 16 x 16: ",
    ),
    (
        "network stage",
        {"jsd"},
        "policy",
        set(factors()["policy"]) - {"augmix"},
        r"augmix",
    ),
]


@cache
def refusal(one: Item, other: Item) -> str | None:
    """What is said of a pair that can't be; None: it can."""
    for factor, values, other_factor, other_values, line in REFUSALS:
        for a, b in ((one, other), (other, one)):
            if (a[0], b[0]) == (factor, other_factor) and a[1] in values and b[1] in other_values:
                return line
    return None


def allowed(one: Item, other: Item) -> bool:
    return refusal(one, other) is None


PLAIN: Row = {
    "architecture": "resnet",
    "dataset": "glyphs",
    "loss": "cross_entropy",
    "schedule": "constant",
    "optimizer": "sgd",
    "arithmetic": "float32",
}
REFUSED = [
    ((factor, value), (other_factor, other))
    for factor, values, other_factor, others, _ in REFUSALS
    for value in sorted(values)
    for other in sorted(others)
]


@pytest.mark.parametrize(("one", "other"), REFUSED, ids=[f"{a[1]} {b[1]}" for a, b in REFUSED])
def test_what_cannot_go_together_is_refused_in_one_line(one, other, tmp_path):
    row = dict.fromkeys(factors(), NONE) | PLAIN | dict([one, other])

    with pytest.raises(CifarzooError, match=refusal(one, other)) as caught:
        trained(config.from_text(text_of(row, None), name="row"), tmp_path, data=None)

    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.exit_code == EXIT_USAGE


# The array ---------------------------------------------------------------------------------------


@cache
def array() -> list[Row]:
    return covering_array(factors(), allowed, seed=SEED)


def test_every_two_that_can_go_together_do_in_some_row():
    met = set[Pair]().union(*map(pairs_of, array()))

    assert met == all_pairs(factors(), allowed)
    assert all(row.keys() == factors().keys() for row in array())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | None]:
    root = tmp_path_factory.mktemp("cifar")
    for name, (published, labels) in HUB.items():
        write_parquets(root / name, small(of=published), labels_are=labels)
    return {name: root / name for name in HUB} | {"glyphs": None}


@pytest.mark.parametrize("part", range(PARTS))
def test_a_row_trains_goes_on_to_the_same_bits_and_is_tested_again(part, data, tmp_path):
    problems = []
    for number, row in enumerate(array()[part::PARTS]):
        try:
            problem = run(row, tmp_path / str(number), data[row["dataset"]])
        except CifarzooError as error:
            problem = str(error)
        if problem:
            given = " ".join(value for value in row.values() if value != NONE)
            problems.append(f"{given}: {problem}")

    assert problems == []


def run(row: Row, folder: Path, data: Path | None) -> str:
    """What is wrong with a row; empty: nothing is."""
    loaded = config.from_text(text_of(row, data), name="row")
    # What a trial would refuse fails in the run itself; the trials have tests of their own.
    if problem := difference_when_resumed(loaded, folder, data=data, tried=TRIED):
        return problem
    finished = cifarzoo.load_run(folder / "whole")
    again, first = finished.evaluate().test.error, finished.result.test_error
    return "" if again == first else f"has a test error of {again}, and {first} before"
