"""Compiles a network by its repeated blocks: those of one shape share what was compiled.

A network of fifty blocks is then compiled as fast as one of six.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cifarzoo.files.own_folders import compile_cache

LEAST_REPEATS = 4
MODES = 4  # in which a block may be compiled: training and testing, each in two precisions


def compile_network(network: nn.Module, backend: str = "inductor") -> list[nn.Module]:
    """Compile ``network`` in place; it is compiled when it is first called.

    Args:
        network: As the loop calls it.
        backend: Backend of ``torch.compile``.

    Returns:
        The modules that are compiled: its blocks, or itself where it has none.
    """
    if backend == "inductor":
        _keep_headers_private(compile_cache())
    parts = list(blocks(network)) or [network]
    config = torch._dynamo.config  # noqa: SLF001  # where torch documents it
    # Blocks share their code, and each shape of theirs is one more compilation of it.
    config.recompile_limit = max(config.recompile_limit, MODES * len(parts))
    options: dict[str, Any] = {"backend": backend, "dynamic": False}
    # Each block of a PyramidNet would try what was compiled of all the others first.
    if len(set(map(_shapes, parts))) == len(parts) and _can_isolate():
        options["isolate_recompiles"] = True
    for part in parts:
        part.compile(**options)
    return parts


def _keep_headers_private(folder: Path) -> None:
    """Have precompiled headers in ``folder`` too, for which torch doesn't ask the environment."""
    from torch._inductor import codecache, config

    headers = folder / "precompiled_headers"
    places = {"_HEADER_DIR": headers, "_HEADER_LOCK_DIR": headers / "locks"}
    if all(hasattr(codecache, name) for name in places):
        for name, place in places.items():
            setattr(codecache, name, str(place))
    else:  # without them compiling takes twice the time
        config.cpp_cache_precompile_headers = False


def forget_compiled() -> None:
    """Have all networks compiled anew, as parameters that begin to be trained ask for.

    Before torch 2.14 what was compiled doesn't see them, and they get no gradient.
    """
    torch.compiler.reset()


def _can_isolate() -> bool:
    return "isolate_recompiles" in inspect.signature(torch.compile).parameters


def _shapes(module: nn.Module) -> tuple[torch.Size, ...]:
    return tuple(parameter.shape for parameter in module.parameters())


@contextmanager
def uncompiled(*, active: bool) -> Iterator[None]:
    """While ``active``, what was compiled runs as it is written, and calls all of its hooks.

    A compiled block knows the hooks that it had when it was compiled, and no later ones.
    """
    if active:
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield


def blocks(network: nn.Module) -> Iterator[nn.Module]:
    """The outermost modules of a class that the network has often: its residual blocks.

    Layers, which have no modules of their own, and torch's containers are none.
    """
    counts = Counter(type(module) for module in network.modules() if _may_be_block(module))
    frequent = {kind for kind, count in counts.items() if count >= LEAST_REPEATS}
    yield from _outermost(network, frequent)


def _outermost(module: nn.Module, kinds: set[type]) -> Iterator[nn.Module]:
    for child in module.children():
        if type(child) in kinds:
            yield child
        else:
            yield from _outermost(child, kinds)


def _may_be_block(module: nn.Module) -> bool:
    is_container = type(module).__module__.startswith("torch.nn")
    return not is_container and any(True for _ in module.children())
