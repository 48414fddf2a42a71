"""``show NAME --image FILE``: what a component does, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cifarzoo.cli.terminal import console
from cifarzoo.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cifarzoo.cli.loading import ConfigOptions
    from cifarzoo.components.index import Entry

NUM_EPOCHS = 100  # of a schedule's picture
SETTINGS = {  # how a component becomes part of a run, by its kind
    "augmentation": ("run.augmentations=[@{}]",),  # a run puts normalize behind them itself
    "regularizer": ("run.augmentations=[]", "run.regularizers=[@{}]"),
    "schedule": ("run.schedule=@{}", f"run.epochs={NUM_EPOCHS}"),
}
SHOWN = "--image draws augmentations, regularizers of batches, schedules and configs"


def draw(
    name: str,
    entry: Entry | None,
    target: Path,
    *,
    options: ConfigOptions,
    data: Path | None,
) -> None:
    """Draw a component, or the images of a config.

    Args:
        name: Name of the component, or of the config.
        entry: The component; None: it is a config.
        target: File of the picture.
        options: What the command is told of the config.
        data: Folder of the data, or None.

    Raises:
        UsageError: There is nothing to draw, or no file can be written there.
    """
    from cifarzoo.plots.files import check_target, save

    check_target(target)
    save(figure_of(name, entry, options=options, data=data), target)
    console.say(f"{target} written")


def figure_of(
    name: str, entry: Entry | None, *, options: ConfigOptions, data: Path | None
) -> Figure:
    """The picture of a component, or of the images of a config.

    Args:
        name: Name of the component, or of the config.
        entry: The component; None: it is a config.
        options: What the command is told of the config.
        data: Folder of the data, or None.

    Raises:
        UsageError: There is nothing to draw.
    """
    loaded = options.load_around(name, entry, needs=SETTINGS, shown=SHOWN)
    with loaded.locating():
        run = loaded.build()
        if entry is not None and entry.kind == "regularizer":
            _check_acts_on_batches(name, run.regularizers[0])
        from cifarzoo.plots.pictures import draw_rates, draw_sheet

        is_schedule = entry is not None and entry.kind == "schedule"
        make = draw_rates if is_schedule else draw_sheet
        return make(run, folder=data)


def _check_acts_on_batches(name: str, factory: object) -> None:
    from cifarzoo.components.regularizers import acting_stages

    made = factory()  # type: ignore[operator]  # a factory of the run
    if "batch" not in acting_stages(made):
        raise UsageError(
            f"--image draws what regularizers do to batches; {name} acts in "
            f"{', '.join(acting_stages(made))}"
        )
