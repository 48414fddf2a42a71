"""Ranges of an architecture's settings, refused in the user's words."""

from __future__ import annotations

import math
from collections.abc import Collection

from cifarzoo.errors import ConfigError


def check_at_least(least: int, **settings: int) -> None:
    """Refuse numbers below ``least``.

    Args:
        least: The smallest number allowed.
        **settings: Value by name of the parameter.

    Raises:
        ConfigError: One is smaller.
    """
    for parameter, value in settings.items():
        if value < least:
            raise ConfigError(f"is {value!r}; expected at least {least}", parameter=parameter)


def check_dropout(dropout_rate: float) -> None:
    """Refuse a share of dropped activations that is negative, or leaves none.

    Raises:
        ConfigError: It isn't in [0, 1).
    """
    if not 0 <= dropout_rate < 1:
        raise ConfigError(f"is {dropout_rate!r}; expected 0 to below 1", parameter="dropout_rate")


def check_finite(least: float, **settings: float) -> None:
    """Refuse numbers that are not finite or below ``least``.

    Args:
        least: The smallest number allowed.
        **settings: Value by name of the parameter.

    Raises:
        ConfigError: One is.
    """
    for parameter, value in settings.items():
        if not (math.isfinite(value) and value >= least):
            raise ConfigError(
                f"is {value!r}; expected a number of at least {least:g}", parameter=parameter
            )


def check_choice(choices: Collection[str], **settings: str) -> None:
    """Refuse words that are none of ``choices``.

    Args:
        choices: The words allowed.
        **settings: Value by name of the parameter.

    Raises:
        ConfigError: One isn't among them.
    """
    for parameter, value in settings.items():
        if value not in choices:
            expected = ", ".join(map(repr, choices))
            raise ConfigError(f"is {value!r}; expected one of {expected}", parameter=parameter)


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
