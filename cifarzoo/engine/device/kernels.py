"""Whose kernels the layers of a run use: torch's own, or ours where they can be had."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import torch
from torch import nn

from cifarzoo.components.run import Run
from cifarzoo.engine.distributed.world import World
from cifarzoo.errors import ConfigError
from cifarzoo.files.own_folders import lasting_cache_folder
from cifarzoo.layers import dropout, norms, pointwise
from cifarzoo.layers.kernels import fused, operations, strips
from cifarzoo.layers.kernels.build import Built, UnavailableError, built, openmp
from cifarzoo.layers.kernels.library import Library

FOLDER = "kernels"  # below this user's caches
PRECISIONS = {
    "cpu": ("float32", "bfloat16"),
    "cuda": ("float32", "bfloat16", "float16"),
}
SHORT = 12  # hexadecimal digits that tell one code from another


@dataclass(frozen=True, kw_only=True)
class Kernels:
    """The kernels of a run.

    Attributes:
        code: SHA-256 (hex) of source and flags of ours, which decide bits; None: torch's.
        least: Number of activations from which on a layer uses ours.
        is_triton: Whether ours are those for GPUs, which have norms alone.
        has_strips: Whether narrow convolutions are in strips, which need no code of ours.
        reason: Why ours can't be had, where the run would use them; else empty.
    """

    code: str | None = None
    least: int = 0
    is_triton: bool = False
    has_strips: bool = False
    reason: str = ""

    def __str__(self) -> str:
        own = f"fused {self.code[:SHORT]}" if self.code else "torch"
        return own + ", strips" * self.has_strips


TORCH = Kernels()


def choose_kernels(run: Run, device: torch.device, precision: str) -> Kernels:
    """The kernels of ``run`` on ``device``; ours are compiled now if they never were.

    Args:
        run: Run that is trained.
        device: Device on which it is.
        precision: Precision that was chosen for it.

    Raises:
        ConfigError: Ours are asked for, and can't be had.
    """
    if run.kernels == "torch":
        return TORCH
    is_triton = device.type == "cuda"
    if is_triton and run.kernels == "auto":  # until a GPU has shown what they gain
        return TORCH
    unfit = _unfit(run, device, precision)
    reason, code = unfit, None
    if not unfit:
        try:
            code = _load_triton() if is_triton else load().code
        except UnavailableError as error:
            reason = str(error)
    if code is None and run.kernels == "fused":
        raise ConfigError(
            f"is 'fused', and these kernels can't be had: {reason}; expected 'auto' or 'torch'",
            parameter="kernels",
        )
    if unfit:
        return TORCH
    if is_triton:
        return Kernels(code=code, is_triton=True)
    has_strips = precision == "bfloat16" and strips.are_quick()
    is_any = code is not None or has_strips
    least = fused.LEAST if is_any and run.kernels == "auto" else 0
    return Kernels(code=code, least=least, has_strips=has_strips, reason=reason)


def _unfit(run: Run, device: torch.device, precision: str) -> str:
    """Why a run can't use ours on any machine; empty: it can."""
    precisions = PRECISIONS.get(device.type)
    if precisions is None:
        return f"there are none for {device.type}"
    if precision not in precisions:
        return f"there are none for {precision}"
    if run.compile:
        return "run.compile has torch make its own"
    return ""


@cache
def _loaded() -> Built | UnavailableError:
    try:
        openmp()
        found = built(lasting_cache_folder(FOLDER))
        library = Library(found.path)
        openmp()  # the library's own would be a second one
    except UnavailableError as error:
        return error
    except OSError as error:
        where = error.filename or "the folder of this user's caches"
        return UnavailableError(f"{where}: {error.strerror or error}")
    except AttributeError as error:
        return UnavailableError(str(error))
    operations.use(library)
    return found


def load() -> Built:
    """Load our kernels into this process, which must not be one that others are forked from.

    Raises:
        UnavailableError: They can't be had; says why.
    """
    found = _loaded()
    if isinstance(found, UnavailableError):
        raise found
    return found


def _load_triton() -> str:
    """Load our kernels for GPUs; their SHA-256 (hex), and that of the compiler's version.

    Raises:
        UnavailableError: There is no Triton.
    """
    try:
        operations.use_triton()
        version = metadata.version("triton")
    except (ImportError, metadata.PackageNotFoundError) as error:
        raise UnavailableError(f"they are compiled by Triton: {error}") from error
    source = Path(operations.__file__).with_name("on_gpus.py").read_bytes()
    return hashlib.sha256(source + version.encode()).hexdigest()


def agreed(kernels: Kernels, world: World) -> Kernels:
    """The kernels of all ranks: ours where every rank has the same ones, else torch's."""
    own = zlib.crc32(str(kernels).encode())
    if len(set(world.gather(torch.tensor(own, device=world.device)).tolist())) == 1:
        return kernels
    return Kernels(reason=kernels.reason or "other processes of this run haven't got the same ones")


def convert(model: nn.Module, kernels: Kernels) -> nn.Module:
    """Give ``model`` the engine's layers in place, which obey the run and use its kernels."""
    pointwise.convert(dropout.convert(norms.convert(model)))
    if kernels.code is not None:
        fused.convert(model, least=kernels.least, pools=not kernels.is_triton)
    least = strips.LEAST if kernels.least else 0
    return strips.convert(model, quick=kernels.has_strips, least=least)


def summary(model: nn.Module, kernels: Kernels) -> str:
    """Whose kernels the layers of a converted ``model`` use, in words."""
    found = fused.count(model) | strips.count(model)
    size = f" (from {kernels.least:,} activations on)" if kernels.least else ""
    parts = [f"{found['norms']} norms{size}", f"{found['poolings']} poolings"]
    parts.append(f"{found['strips']} convolutions in strips where images are narrow")
    ours = ", ".join(part for part in parts if not part.startswith("0 "))
    if not ours:
        unfit = "this network has no layers that ours are for" if kernels.code else ""
        return "; ".join(filter(None, ["torch's own", kernels.reason or unfit]))
    return f"ours for {ours}" + f"; {kernels.reason}" * bool(kernels.reason)
