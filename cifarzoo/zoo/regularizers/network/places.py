"""Places in a network, after whose modules ``network`` stages see features."""

from __future__ import annotations

from torch import nn

from cifarzoo.errors import ConfigError


def after_thirds(network: nn.Module) -> tuple[str, ...]:
    """Names of the modules that end the first and the second third of the network's blocks.

    Of two blocks the first alone is before the end.

    Raises:
        ConfigError: The network has no ``blocks``.
    """
    blocks = getattr(network, "blocks", None)
    if not isinstance(blocks, nn.Sequential | nn.ModuleList) or len(blocks) < 2:
        raise ConfigError(
            "is None, and the network has no list of blocks; expected names of modules",
            parameter="modules",
        )
    names = [name for name, _ in blocks.named_children()]
    ends = dict.fromkeys(max(1, len(names) * third // 3) for third in (1, 2))
    return tuple(f"blocks.{names[end - 1]}" for end in ends)


def module_called(network: nn.Module, name: str) -> nn.Module:
    """The module of that name.

    Raises:
        ConfigError: There is none.
    """
    try:
        return network.get_submodule(name)
    except AttributeError:
        children = ", ".join(dict(network.named_children()))
        raise ConfigError(
            f"has {name!r}, which the network doesn't; expected names of modules, such as those of "
            f"its parts {children}",
            parameter="modules",
        ) from None
