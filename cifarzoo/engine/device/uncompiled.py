"""torch without its compiler, where nothing is compiled.

torch imports its compiler when an optimizer is made and when deterministic algorithms are asked
for: a thousand modules, whose import takes about as long as that of torch itself. Here is how they
are left out; operations on ``meta`` need them too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

# Methods of optimizers that torch hides from its compiler, which it imports for that when they are
# first called; then the mark below is on the method that they wrap.
HIDDEN = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
MARK = "__dynamo_disable"


@contextmanager
def optimizers_uncompiled() -> Iterator[None]:
    """Within ``with``, optimizers do without the compiler, if it wasn't imported before."""
    with ExitStack() as marked:
        for name in HIDDEN:
            method = getattr(getattr(torch.optim.Optimizer, name), "__wrapped__", None)
            if method is not None and not hasattr(method, MARK):
                setattr(method, MARK, method)  # what is called in its place: it itself
                marked.callback(delattr, method, MARK)
        yield


def set_deterministic_algorithms(mode: int, *, compiles: bool) -> None:
    """As ``torch.use_deterministic_algorithms``, which tells the compiler too.

    Args:
        mode: Debug mode: 0, not; 1, with a warning where there is none; 2, with an error.
        compiles: Whether something is compiled.
    """
    if compiles:
        torch.use_deterministic_algorithms(mode > 0, warn_only=mode == 1)
    else:
        torch.set_deterministic_debug_mode(mode)
