"""Runs that learn from a finished run: which, from where, and what becomes of it on resuming."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import cifarzoo
from cifarzoo import config as configs
from cifarzoo.api.teachers import open_teacher
from cifarzoo.engine.assembly.build import build
from cifarzoo.engine.batches import prepare_for_evaluation
from cifarzoo.engine.device.precision import choose
from cifarzoo.engine.distributed.world import World
from cifarzoo.engine.teachers import give_teachers
from cifarzoo.engine.training import Setup
from cifarzoo.errors import ConfigError, UsageError

CPU = torch.device("cpu")
TEACHER = """
run.architecture = @resnet8
resnet8.stem_stride = 4
run.dataset = @glyphs
glyphs.train_images = 64
glyphs.test_images = 20
run.optimizer = @sgd
sgd.lr = 0.05
run.schedule = @constant
run.augmentations = [@flip, @normalize]
run.regularizers = [@ema]
run.batch_size = 16
run.epochs = 1
run.precision = 'float64'
"""
STUDENT = """
run.regularizers = [@distillation, @mixup]
distillation.teacher = {teacher!r}
run.checkpoint_steps = 2
run.seed = 1
"""


def trained(text: str, folder: Path, **settings: Any) -> Any:
    return cifarzoo.train(text, run_dir=folder, progress=False, **settings)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Path:
    """The folder of a run that is done."""
    folder = tmp_path_factory.mktemp("teacher") / "run"
    trained(TEACHER, folder)
    return folder


def student(teacher: Path, extra: str = "") -> str:
    text = TEACHER.replace("run.regularizers = [@ema]\n", "")
    return text + STUDENT.format(teacher=str(teacher)) + extra


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


def state(folder: Path) -> dict[str, Any]:
    newest = max((folder / "checkpoints").iterdir())
    return torch.load(newest / "state.pt", weights_only=True)


def test_its_weights_are_recorded_and_are_neither_trained_nor_kept(teacher, tmp_path):
    result = trained(student(teacher), tmp_path / "student")
    plain = student(teacher).replace("@distillation, ", "")
    alone = trained(
        plain.replace(f"distillation.teacher = {str(teacher)!r}", ""), tmp_path / "alone"
    )

    said, before = record(result.path), record(teacher)
    assert said["teachers"] == {
        "distillation": {"run": str(teacher), "weights_sha256": before["weights_sha256"]}
    }
    assert said["num_parameters"] == record(alone.path)["num_parameters"]
    mine, other = state(result.path), state(alone.path)
    assert mine.keys() == other.keys()
    assert mine["model"].keys() == other["model"].keys()
    assert not torch.equal(mine["model"]["head.weight"], other["model"]["head.weight"])
    assert mine["optimizer"]["state"].keys() == other["optimizer"]["state"].keys()


def test_two_processes_equal_one(teacher, tmp_path):
    one = trained(student(teacher, "run.bn_group_size = 8\n"), tmp_path / "one")
    two = trained(student(teacher, "run.bn_group_size = 8\n"), tmp_path / "two", nproc=2)

    for name, value in state(one.path)["model"].items():
        torch.testing.assert_close(state(two.path)["model"][name], value, rtol=1e-9, atol=1e-12)
    assert record(two.path)["teachers"] == record(one.path)["teachers"]


@pytest.fixture
def stopped(teacher, tmp_path) -> Path:
    """A run that was stopped after two of four steps, beside one that was not, and a teacher."""
    shutil.copytree(teacher, tmp_path / "teacher")
    whole = trained(student(tmp_path / "teacher"), tmp_path / "whole")
    shutil.copytree(whole.path, tmp_path / "stopped")
    shutil.rmtree(tmp_path / "stopped" / "checkpoints" / "step-00000004")
    said = record(whole.path) | {"status": "stopped"}
    (tmp_path / "stopped" / "run.json").write_text(json.dumps(said))
    return tmp_path / "stopped"


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(stopped):
    result = cifarzoo.resume(stopped, progress=False)
    assert result.weights_sha256 == record(stopped.with_name("whole"))["weights_sha256"]


def test_a_run_that_was_stopped_is_refused_another_teacher(stopped):
    theirs = stopped.with_name("teacher")
    shutil.rmtree(theirs)
    trained(TEACHER + "run.seed = 7\n", theirs)

    with pytest.raises(
        UsageError, match=r"taught by other weights: SHA-256 \w+… there and \w+… of"
    ):
        cifarzoo.resume(stopped, progress=False)
    assert record(stopped)["steps"] == 4
    assert record(stopped)["status"] == "stopped"


def test_what_is_only_tested_needs_no_teacher(stopped):
    shutil.rmtree(stopped.with_name("teacher"))
    whole = stopped.with_name("whole")

    assert cifarzoo.evaluate(whole).weights_sha256 == record(whole)["weights_sha256"]
    with pytest.raises(ConfigError, match="which cannot teach: there is no folder"):
        cifarzoo.resume(stopped, progress=False)


def changed(teacher: Path, folder: Path, **entries: Any) -> Path:
    shutil.copytree(teacher, folder)
    (folder / "run.json").write_text(json.dumps(record(teacher) | entries))
    return folder


def of_other_classes(_teacher: Path, folder: Path) -> Path:
    plugin = folder.with_name("letters.py")
    plugin.write_text(
        "from dataclasses import replace\n"
        "from cifarzoo import register\n"
        "from cifarzoo.zoo.datasets.glyphs import glyphs\n"
        "@register.dataset\n"
        "def letters(folder):\n"
        '    """Glyphs by other names."""\n'
        "    made = glyphs(folder, train_images=64, test_images=20)\n"
        "    return replace(made, classes=[*'abcdefghij'])\n"
    )
    text = TEACHER.replace("@glyphs", "@letters")
    kept = [line for line in text.splitlines() if not line.startswith("glyphs.")]
    return trained("\n".join([*kept, ""]), folder, plugins=[plugin]).path


def received(teacher: Path, folder: Path) -> Path:
    """A run of other classes that somebody else has made."""
    path = of_other_classes(teacher, folder)
    (path / "plugins" / "letters.py").write_text(
        (path / "plugins" / "letters.py").read_text() + "# as they have it\n"
    )
    return path


def without_its_last_checkpoint(teacher: Path, folder: Path) -> Path:
    path = trained(TEACHER + "run.checkpoint_steps = 2\n", folder).path
    (path / "checkpoints" / "step-00000004" / "state.pt").write_bytes(b"damaged")
    return path


REFUSED = {
    "nothing there": (lambda _t, folder: folder, r"there is no folder .*/other$"),
    "a file": (
        lambda _t, folder: folder.write_text("x") and folder,
        r"there is no folder .*/other$",
    ),
    "no run": (
        lambda _t, folder: folder.mkdir() or folder,
        r"other is not the folder of a run: it has no config\.gin$",
    ),
    "not done": (
        lambda teacher, folder: changed(teacher, folder, status="stopped"),
        r"the run is stopped; expected one that is done$",
    ),
    "other classes": (
        of_other_classes,
        r"it knows 10 classes \(a, b, c, …\), and the run has 10 \(disc, ring, square, …\); exp",
    ),
    "a stranger's plugin": (
        received,
        r"letters\.py \(SHA-256 .*--trust-plugins .* to cifarzoo eval",
    ),
    "a damaged checkpoint": (
        without_its_last_checkpoint,
        r"of its 4 steps only the first 2 have a whole checkpoint$",
    ),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_teach_is_refused_in_one_line_and_leaves_nothing(
    teacher, tmp_path, make, message
):
    path = make(teacher, tmp_path / "other")

    with pytest.raises(ConfigError, match=f"which cannot teach: .*{message}") as caught:
        trained(student(path), tmp_path / "student")

    assert str(caught.value).startswith("<config>:")
    assert f"distillation.teacher is {str(path)!r}, which" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "student").exists()


def components_of(text: str) -> Any:
    """What a config's factories make, and its regularizers their teachers."""
    run = configs.from_text(text).build()
    setup = Setup(
        run=run,
        plan=None,  # type: ignore[arg-type]  # nothing is trained
        components=build(run, folder=None),
        policy=choose(run, CPU),
        world=World(0, 1, CPU),
    )
    given = give_teachers(setup, open_teacher)
    assert [*given] == ["distillation"]
    return setup.components


@pytest.mark.parametrize(
    "normalized",
    ["", "normalize.mean = [0.1, 0.2, 0.3]\nnormalize.std = [0.5, 0.25, 0.125]\n"],
    ids=["as it is", "by other numbers"],
)
def test_a_teacher_is_frozen_and_says_what_it_says_in_tests_of_its_own(teacher, normalized):
    components = components_of(student(teacher, normalized))
    distilling = components.regularizers["distillation"]
    pixels = torch.randint(256, (8, 3, 32, 32), dtype=torch.uint8)
    seen = prepare_for_evaluation(components.augmentations, pixels).double()
    told: list[torch.Tensor] = []
    network = distilling._network
    network.register_forward_hook(lambda _module, _images, logits: told.append(logits))

    def forward(images, targets):
        return torch.zeros_like(targets), targets, images.new_zeros(())

    distilling.network(forward, seen, torch.eye(10)[:8].double(), None)

    own = cifarzoo.load_run(teacher)
    torch.testing.assert_close(told[0], own.model(own.preprocess(pixels)), rtol=1e-5, atol=1e-5)
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_run_whose_images_are_prepared_by_more_than_numbers_has_no_teacher(teacher, tmp_path):
    plugin = tmp_path / "squared.py"
    plugin.write_text(
        "from cifarzoo import register\n"
        "class Squared:\n"
        "    at_evaluation = True\n"
        "    def __call__(self, images, draws):\n"
        "        return images.float().square() / 255**2\n"
        "@register.augmentation\n"
        "def squared():\n"
        '    """Squares."""\n'
        "    return Squared()\n"
    )
    text = student(teacher).replace("[@flip, @normalize]", "[@squared]")
    with pytest.raises(ConfigError, match="aren't prepared by a mean and a standard deviation"):
        trained(text, tmp_path / "run", plugins=[plugin])


def test_a_plugin_that_was_vouched_for_once_may_teach(teacher, tmp_path):
    path = received(teacher, tmp_path / "other")

    cifarzoo.load_run(path, trust_plugins=True)  # as cifarzoo eval --trust-plugins does

    with pytest.raises(ConfigError, match="it knows 10 classes"):  # so its plugin was run
        trained(student(path), tmp_path / "student")
