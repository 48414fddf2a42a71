"""The closure that an optimizer may be given for its step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def evaluated(closure: Callable[[], Any] | None) -> Any:
    """The loss that ``closure`` gives with gradients; None: there is none, the gradients are."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()
