"""Kinds of blocks of residual networks, and the depths that a family has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cifarzoo.errors import ConfigError

Block = Literal["basic", "bottleneck"]
StrideAt = Literal["first", "second"]  # which convolution of a block halves the image
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


def check_stride_at(stride_at: StrideAt | None, block: Block, *, family: str) -> None:
    """Refuse to say which convolution halves the image where there is no choice.

    Args:
        stride_at: What was asked for; None: nothing.
        block: Kind of the blocks.
        family: Name of the family's component.

    Raises:
        ConfigError: It was asked for with basic blocks.
    """
    if stride_at and block == "basic":
        raise ConfigError(
            f"is {stride_at!r}, but basic blocks halve in their first; expected it with "
            f"{family}.block = 'bottleneck'",
            parameter="stride_at",
        )
