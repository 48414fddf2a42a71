"""A finished run of a second that components which need a teacher learn from."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import cifarzoo

PLACE = "'SMALL_TEACHER'"  # in settings, where its path goes
CONFIG = """
run.architecture = @resnet8
resnet8.stem_stride = 4
run.augmentations = [@normalize]
run.optimizer = @sgd
run.schedule = @constant
run.batch_size = 4
run.epochs = 1
run.max_steps = 1
"""
GLYPHS = """
glyphs.train_images = 24
glyphs.test_images = 8
"""


@cache
def small_teacher(dataset: str = "glyphs", data: Path | None = None) -> Path:
    """Its folder, which is there as long as this process."""
    root = Path(tempfile.mkdtemp(prefix="cifarzoo-teacher-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    text = CONFIG + GLYPHS if dataset == "glyphs" else CONFIG
    text += f"run.dataset = @{dataset}\n"
    cifarzoo.train(text, run_dir=root / "run", data=data, progress=False)
    return root / "run"


def with_teacher(text: str, dataset: str = "glyphs", data: Path | None = None) -> str:
    """A config's text that names the folder."""
    if PLACE not in text:
        return text
    return text.replace(PLACE, repr(str(small_teacher(dataset, data))))
