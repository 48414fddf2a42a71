"""A machine looked at: versions, devices, plugins and folders, and what is wrong with them."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cifarzoo.cli.terminal.units import plural
from cifarzoo.cli.versions import installed_version, version_line
from cifarzoo.engine.device.allocator import why_no_huge_pages
from cifarzoo.errors import CifarzooError

PACKAGES = ("torchvision", "gin-config", "numpy", "tensorboardX", "typer", "rich", "pydantic")
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """A line of the report.

    Attributes:
        subject: Thing that was looked at.
        text: Facts that were found.
        is_problem: Whether something will not work.
    """

    subject: str
    text: str
    is_problem: bool = False


def examine(data: Path | None, runs: Path) -> Iterator[Finding]:
    """Look at everything that a training needs."""
    yield Finding("cifarzoo", f"{version_line()}, in {Path(__file__).parents[1]}")
    yield Finding("python", f"{platform.python_version()}, {sys.executable}")
    yield Finding("system", platform.platform())
    yield Finding("packages", ", ".join(f"{name} {installed_version(name)}" for name in PACKAGES))
    yield _gin()
    yield from _devices()
    missing = why_no_huge_pages()
    yield Finding("huge pages", f"none, since {missing}" if missing else "used in training")
    yield from _plugins()
    yield _data(data)
    yield _runs(runs)


def _gin() -> Finding:
    """The folder gin/ of a checkout passes for a package where gin-config is missing."""
    spec = find_spec("gin")
    if spec is None or spec.origin is None:
        return Finding("gin", "gin-config is not installed; pip install gin-config", True)
    if not (Path(spec.origin).parent / "config_parser.py").is_file():
        return Finding("gin", f"{spec.origin} is not gin-config and hides it", True)
    return Finding("gin", f"gin-config, in {Path(spec.origin).parent}")


def _devices() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding("torch", f"it cannot be imported: {error}", True)
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = plural(torch.get_num_threads(), "thread")
    yield Finding("cpu", f"{platform.machine()}, {cores} cores, {threads} used by torch")
    yield _kernels()
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        memory = f"{gpu.total_memory / GIB:.0f} GiB"
        yield Finding(f"gpu {index}", f"{gpu.name}, {memory}, compute {gpu.major}.{gpu.minor}")
    if not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without it"
        yield Finding("gpu", f"none: torch finds no CUDA device ({built})")


def _kernels() -> Finding:
    """The kernels for CPUs, compiled now if they never were."""
    from cifarzoo.engine.device.kernels import load
    from cifarzoo.layers.kernels.build import UnavailableError

    try:
        found = load()
    except UnavailableError as error:
        return Finding("kernels", f"torch's own; {error}")
    made = "" if found.seconds is None else f", compiled now in {found.seconds:.1f} s"
    return Finding("kernels", f"ours, by {found.compiler}, in {found.path.parent}{made}")


def _plugins() -> Iterator[Finding]:
    try:
        from cifarzoo.components.plugins import catalogue

        found = catalogue()
    except (CifarzooError, ImportError) as error:
        yield Finding("plugins", str(error), True)
        return
    origins = sorted({entry.origin for entry in found.entries.values()} - {"cifarzoo"})
    yield Finding("components", plural(len(found.entries), "component"))
    yield Finding("plugins", ", ".join(origins) or "none")
    for origin, problem in found.broken:
        yield Finding(f"plugin {origin}", problem, True)


def _data(folder: Path | None) -> Finding:
    if folder is None:
        return Finding("data", "no folder named; --data DIR or CIFARZOO_DATA says where data lie")
    if not folder.is_dir():
        return Finding("data", f"{folder} is no folder; cifarzoo data fetch makes it", True)
    held = sorted(path.name for path in folder.iterdir())
    return Finding("data", f"{folder}: {', '.join(held) or 'empty'}")


def _runs(folder: Path) -> Finding:
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        return Finding("runs", f"{folder.absolute()} cannot be written", True)
    free = shutil.disk_usage(place).free / GIB
    return Finding("runs", f"{folder.absolute()}, {free:.0f} GiB free")
