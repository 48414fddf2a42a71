"""The wheel is typed: what third parties write passes ``mypy --strict`` against it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

CHECKOUT = Path(__file__).parents[2]
PLUGINS = CHECKOUT / "plugins"
USER = """
from pathlib import Path

import torch
from torch import nn

import cifarzoo
from cifarzoo.protocols import Augmentation, Regularizer, Schedule

result = cifarzoo.train("quickstart", set={"run.epochs": 1}, seed=1, data=Path("data"))
error: float = result.test_error
run = cifarzoo.load_run(result)
model: nn.Module = run.model
images: torch.Tensor = run.preprocess(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
classes: tuple[str, ...] = run.classes
epoch: dict[str, object] = run.history[0]
schedule: Schedule = cifarzoo.create.schedule("cosine", warmup_epochs=5.0)
flip: Augmentation = cifarzoo.create.augmentation("flip")
ema: Regularizer = cifarzoo.create.regularizer("ema")
network: nn.Module = cifarzoo.create_model("resnet20", regularizers=[ema, "shake_shake"])
flipped: torch.Tensor = flip(images, cifarzoo.draws(0, len(images)))
factor = cifarzoo.lambda_lr(schedule, steps_per_epoch=10, total_steps=100)
half: float = factor(50)
"""
WRONG = """
import cifarzoo

wrong: str = cifarzoo.train("quickstart").test_error
cifarzoo.train("quickstart", sede=1)
cifarzoo.create.schedule("cosine").epochs
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel unpacked in it, and nothing of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    (wheel,) = WheelBuilder(str(CHECKOUT)).build(directory=str(folder), versions=["standard"])
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    target = folder / "installed"
    subprocess.run([*command, "--target", str(target), wheel], check=True)
    return target


def check(installed: Path, folder: Path, *files: Path) -> tuple[int, str]:
    """What ``mypy --strict`` says of files to somebody who has the wheel and no checkout."""
    # In site-packages what mypy has to say of the package itself is silent too.
    silent = "[mypy-cifarzoo.*]\nfollow_imports = silent\n"
    (folder / "mypy.ini").write_text(f"[mypy]\nmypy_path = {installed}\n{silent}")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "mypy.ini"]
    done = subprocess.run(
        [*command, *map(str, files)], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_the_wheel_says_that_it_is_typed(installed):
    assert (installed / "cifarzoo" / "py.typed").is_file()


def test_plugins_and_programs_pass_mypy_strict_against_the_wheel(installed, tmp_path):
    (tmp_path / "user.py").write_text(USER)
    package = sorted((PLUGINS / "cifarzoo-convmixer" / "src").rglob("*.py"))

    code, said = check(installed, tmp_path, PLUGINS / "signum_jitter.py", *package, Path("user.py"))

    assert code == 0, said
    (tmp_path / "wrong.py").write_text(WRONG)
    code, said = check(installed, tmp_path, Path("wrong.py"))
    assert code == 1
    lines = [line for line in said.splitlines() if line.startswith("wrong.py")]
    assert [line.split(":")[1] for line in lines if ": error:" in line] == ["4", "5", "6"]
