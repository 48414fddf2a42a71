"""Depths that a family of residual networks has."""

from __future__ import annotations

from cifarzoo.errors import ConfigError


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
