"""Pictures of what components do, as ``cifarzoo show NAME --image`` draws them, on drawn shapes."""

from __future__ import annotations

from pathlib import Path

from cifarzoo.cli.drawing import SETTINGS, figure_of
from cifarzoo.cli.loading import ConfigOptions
from cifarzoo.components.index import Entry
from cifarzoo.plots.files import save

FOLDER = "images"
REQUIRED = {  # settings of components that can't do without
    "multistep": ("multistep.milestones=[30, 60, 80]", "multistep.factors=[0.2, 0.04, 0.008]"),
    "random_choice": ("random_choice.regularizers=[@mixup, @cutmix]",),
    "sgdr": ("sgdr.cycle_epochs=10",),
}
UNSEEN = ("flip_tta", "normalize")  # act on test images; change numbers and no picture


def has_picture(entry: Entry) -> bool:
    """Whether there is something to see: images that training changes, or a learning rate."""
    if entry.name in UNSEEN or entry.kind not in SETTINGS:
        return False
    return entry.kind != "regularizer" or entry.path.parent.name == "batch"


def picture(entry: Entry) -> str:
    """The line of Markdown that shows the picture of a component; empty: it has none."""
    if not has_picture(entry):
        return ""
    seen = "Factor on the base learning rate over 100 epochs"
    if entry.kind != "schedule":
        seen = "Eight images, and the same in ten epochs"
    return f"![{seen}]({FOLDER}/{_file(entry)})"


def write_pictures(entries: list[Entry], folder: Path) -> None:
    """Draw all components that have a picture, and remove what is left of others."""
    folder.mkdir(exist_ok=True)
    drawn = [entry for entry in entries if has_picture(entry)]
    for entry in drawn:
        options = ConfigOptions(sets=REQUIRED.get(entry.name, ()), plugins=(), trusts=False)
        figure = figure_of(entry.name, entry, options=options, data=None)
        save(figure, folder / _file(entry))
    for path in folder.iterdir():
        if path.name not in map(_file, drawn):
            path.unlink()


def _file(entry: Entry) -> str:
    return f"{entry.name}.{'svg' if entry.kind == 'schedule' else 'png'}"
