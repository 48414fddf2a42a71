"""``show NAME --layers``: a network layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cifarzoo.cli.loading import ConfigOptions
    from cifarzoo.components.index import Entry
    from cifarzoo.engine.assembly.layers_of import LayerTable
    from cifarzoo.results.formats import Records

SETTINGS = {"architecture": ("run.architecture=@{}",)}
SHOWN = "--layers shows architectures and configs"
COLUMNS = ("layer", "kind", "output", "parameters", "MFLOPs")


def print_layers(
    name: str,
    entry: Entry | None,
    *,
    options: ConfigOptions,
    data: Path | None,
    as_json: bool,
) -> None:
    """Print the layers of an architecture, or of a config's.

    Args:
        name: Name of the architecture, or of the config.
        entry: The component; None: it is a config.
        options: What the command is told of the config.
        data: Folder of the data, or None.
        as_json: Whether a list of objects is written.

    Raises:
        UsageError: The component is no architecture.
    """
    from cifarzoo.cli.terminal.records_table import print_records

    table = layer_table(name, entry, options=options, data=data)
    print_records(_records(table, is_whole=as_json), "json" if as_json else "table")


def layer_table(
    name: str, entry: Entry | None, *, options: ConfigOptions, data: Path | None
) -> LayerTable:
    """The layers of an architecture, or of a config's.

    Args:
        name: Name of the architecture, or of the config.
        entry: The component; None: it is a config.
        options: What the command is told of the config.
        data: Folder of the data, or None.

    Raises:
        UsageError: The component is no architecture.
    """
    loaded = options.load_around(name, entry, needs=SETTINGS, shown=SHOWN)
    with loaded.locating():
        from cifarzoo.engine.assembly.build import build
        from cifarzoo.engine.assembly.layers_of import layers_of

        components = build(loaded.build(), folder=data, device="meta")
        return layers_of(components.model, components.dataset.image_shape)


def _records(table: LayerTable, *, is_whole: bool) -> Records:
    """A row a layer, and their sums; a person is shown no layer that only passes things on."""
    from cifarzoo.results.formats import Records

    rows: list[dict[str, Any]] = [
        {
            "layer": layer.name,
            "kind": layer.kind,
            "output": " x ".join(map(str, layer.output_shape)),
            "parameters": layer.num_parameters or None,
            "MFLOPs": layer.flops / 1e6 or None,
        }
        for layer in table.layers
        if is_whole or layer.num_parameters or layer.flops or "Pool" in layer.kind
    ]
    total: dict[str, Any] = {
        "layer": "in all",
        "parameters": table.num_parameters,
        "MFLOPs": table.flops / 1e6,
    }
    return Records(columns=COLUMNS, rows=(*rows, total), decimals={"MFLOPs": 2})
