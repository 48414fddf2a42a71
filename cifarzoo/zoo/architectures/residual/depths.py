"""Kinds of blocks of residual networks, and the depths that a family has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cifarzoo.errors import ConfigError

Block = Literal["basic", "bottleneck"]
LAYERS_PER_BLOCK = {"basic": 2, "bottleneck": 3}
EXPANSIONS = {"basic": 1, "bottleneck": 4}  # how many times wider a block's output is


def blocks_in(depth: int, *, per_group: int, outside: int = 2) -> int:
    """Residual blocks in each of three groups of a network of ``depth`` layers.

    Args:
        depth: Layers with weights.
        per_group: Layers that one more block in each group adds.
        outside: Layers that are in no block.

    Raises:
        ConfigError: No network of this family has that depth.
    """
    num_blocks, rest = divmod(depth - outside, per_group)
    if rest or num_blocks < 1:
        below = per_group * max(num_blocks, 1) + outside
        raise ConfigError(
            f"is {depth!r}; expected {per_group} n + {outside}, such as {below} or "
            f"{below + per_group}",
            parameter="depth",
        )
    return num_blocks


def group_sizes(
    depth: int, blocks: Sequence[int] | None, *, num_groups: int, layers_per_block: int
) -> list[int]:
    """Blocks of each group, from a depth or as they are given.

    Args:
        depth: Layers with weights.
        blocks: Blocks of each group; None: all have as many.
        num_groups: Number of groups.
        layers_per_block: Layers with weights in a block.

    Raises:
        ConfigError: No network of this family has that depth, or ``blocks`` are of another one.
    """
    if blocks is None:
        return [blocks_in(depth, per_group=layers_per_block * num_groups)] * num_groups
    if len(blocks) != num_groups:
        raise ConfigError(
            f"is {list(blocks)}; expected a number for each of {num_groups} groups",
            parameter="blocks",
        )
    layers = layers_per_block * sum(blocks) + 2
    if depth != layers:
        raise ConfigError(
            f"is {depth!r}; expected {layers}, which blocks {list(blocks)} have", parameter="depth"
        )
    return list(blocks)
