"""cifarzoo: experiments on CIFAR-class image classification, described by .gin files.

The public names are loaded when they are used, so that importing the package costs no torch.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cifarzoo.components.registry import register
    from cifarzoo.engine.assembly.build import create, create_model

__all__ = ["__version__", "create", "create_model", "register"]

try:
    __version__ = version("cifarzoo")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"

_HOMES = {
    "register": "cifarzoo.components.registry",
    "create": "cifarzoo.engine.assembly.build",
    "create_model": "cifarzoo.engine.assembly.build",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cifarzoo' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
