"""What networks are made of: a table of the parts of each, as ``cifarzoo show NAME --layers``."""

from __future__ import annotations

from functools import cache

from cifarzoo.cli.layer_table import layer_table
from cifarzoo.cli.loading import ConfigOptions
from cifarzoo.components.index import Entry
from cifarzoo.engine.assembly.layers_of import Layer, LayerTable
from cifarzoo_docs.markdown import code, table

MERGING = ("shake_resnet", "shake29_2x4x64d")  # networks, with their presets, that need shake_shake
SHAKING = ("run.regularizers=[@shake_shake]",)
MOST_PARTS = 24  # rows of a table that is still read
COLUMNS = ("part", "layers", "output", "parameters", "MFLOPs")


@cache
def layers_of(entry: Entry) -> LayerTable:
    """The layers that an image of 32 x 32 goes through, for ten classes."""
    merges = entry.name in MERGING or family_of(entry).name in MERGING
    options = ConfigOptions(sets=SHAKING if merges else (), plugins=(), trusts=False)
    return layer_table(entry.name, entry, options=options, data=None)


def family_of(entry: Entry) -> Entry:
    """The family of which it is a preset, or itself."""
    return family_of(entry.preset.family) if entry.preset else entry


def parts_table(entry: Entry) -> str:
    """Output, parameters and arithmetic of a network's parts, as a table of Markdown."""
    found = layers_of(entry)
    rows = [_row(name, layers) for name, layers in parts_of(found).items()]
    sums = (str(len(found.layers)), "", f"{found.num_parameters:,}", mflops(found.flops))
    return table(COLUMNS, [*rows, ("in all", *sums)])


def parts_of(found: LayerTable) -> dict[str, list[Layer]]:
    """The layers by the parts they lie in: the smallest of which a table isn't too long."""
    deepest = max(layer.name.count(".") for layer in found.layers) + 1
    depths = (_by_prefix(found.layers, depth) for depth in range(deepest, 0, -1))
    return next(parts for parts in depths if len(parts) <= MOST_PARTS or len(parts) == 1)


def _by_prefix(layers: list[Layer], depth: int) -> dict[str, list[Layer]]:
    parts: dict[str, list[Layer]] = {}
    for layer in layers:
        parts.setdefault(".".join(layer.name.split(".")[:depth]), []).append(layer)
    return parts


def _row(name: str, layers: list[Layer]) -> tuple[str, ...]:
    numbers = f"{sum(layer.num_parameters for layer in layers):,}"
    output = " x ".join(map(str, layers[-1].output_shape))
    arithmetic = mflops(sum(layer.flops for layer in layers))
    return code(name), str(len(layers)), output, numbers, arithmetic


def mflops(flops: int) -> str:
    """Millions of operations, to three digits."""
    millions = flops / 1e6
    return f"{millions:,.0f}" if millions >= 100 else f"{millions:.3g}"
