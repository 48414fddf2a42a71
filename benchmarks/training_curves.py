"""Draws a run's loss and test error, an epoch a point, from its metrics.jsonl.

    cifarzoo run quickstart.gin
    python -m benchmarks.training_curves runs/quickstart/* --out docs/images/quickstart.svg

Needs matplotlib. The same run gives the same file, byte for byte, with one version of it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

TRAIN, TEST = "#1f6f8b", "#c8553d"  # told apart without colour too: by markers


def epochs(run: Path) -> list[dict[str, Any]]:
    """What ``metrics.jsonl`` says of each epoch of the run in the folder ``run``."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == "epoch"]


def draw(events: list[dict[str, Any]], title: str, out: Path) -> None:
    """Write two plots side by side: the losses, and the test error in percent."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator

    mpl.use("svg")
    # Without these every SVG has other ids and the time that it was drawn.
    mpl.rcParams.update({"svg.hashsalt": "cifarzoo", "font.size": 9})
    at = [event["epoch"] for event in events]
    figure, (losses, errors) = plt.subplots(1, 2, figsize=(7.2, 2.6), layout="constrained")
    losses.plot(at, [event["train_loss"] for event in events], "o-", color=TRAIN, label="training")
    losses.plot(at, [event["test_loss"] for event in events], "s-", color=TEST, label="test")
    losses.set(ylabel="loss", ylim=(0, None))
    losses.legend(frameon=False)
    percent = [100 * event["test_error"] for event in events]
    errors.plot(at, percent, "s-", color=TEST)
    errors.set(ylabel="test error, %", ylim=(0, None))
    errors.annotate(
        f"{percent[-1]:.2f} %",
        (at[-1], percent[-1]),
        textcoords="offset points",
        xytext=(0, 8),
        ha="center",
    )
    for axes in (losses, errors):
        axes.set(xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    figure.suptitle(title, fontsize=10)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Date": None})


def main() -> None:
    """Draw the run that is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--out", type=Path, required=True, help="the SVG to write")
    parser.add_argument(
        "--title", default="quickstart.gin: ResNet-8 on drawn shapes (glyphs, not CIFAR), seed 0"
    )
    given = parser.parse_args()
    draw(epochs(given.run), given.title, given.out)


if __name__ == "__main__":
    main()
