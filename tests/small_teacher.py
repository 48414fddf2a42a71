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
run.dataset = @glyphs
glyphs.train_images = 24
glyphs.test_images = 8
run.augmentations = [@normalize]
run.optimizer = @sgd
run.schedule = @constant
run.batch_size = 4
run.epochs = 1
run.max_steps = 1
"""


@cache
def small_teacher() -> Path:
    """Its folder, which is there as long as this process."""
    root = Path(tempfile.mkdtemp(prefix="cifarzoo-teacher-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    cifarzoo.train(CONFIG, run_dir=root / "run", progress=False)
    return root / "run"


def with_teacher(text: str) -> str:
    """A config's text that names the folder."""
    return text.replace(PLACE, repr(str(small_teacher()))) if PLACE in text else text
