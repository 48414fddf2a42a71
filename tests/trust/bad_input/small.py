"""The config that cases change: a run of a second on a few drawn images."""

from __future__ import annotations


def small_config(*more: str, images: tuple[int, int], schedule: str = "constant") -> str:
    """A config's text.

    Args:
        more: Its last lines.
        images: For training and for testing.
        schedule: Its name.
    """
    train, test = images
    lines = (
        "run.architecture = @resnet8",
        "run.dataset = @glyphs",
        f"glyphs.train_images = {train}",
        f"glyphs.test_images = {test}",
        "run.optimizer = @sgd",
        f"run.schedule = @{schedule}",
        "run.batch_size = 16",
        *more,
    )
    return "".join(f"{line}\n" for line in lines)
