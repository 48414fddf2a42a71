"""Tries what a run describes before it costs memory or time, with weights or without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.parameter import UninitializedParameter

from cifarzoo.components.run import Run
from cifarzoo.engine.assembly.build import Components, build, name_of
from cifarzoo.engine.assembly.failures import FailsError
from cifarzoo.engine.assembly.trials import (
    check_augmentations,
    check_network,
    check_network_stages,
    check_regularizers,
)
from cifarzoo.engine.assembly.validation import BYTES, GIB, check_memory, memory_of
from cifarzoo.errors import CifarzooError, ConfigError


def dry_run(run: Run, *, folder: Path | None, device: torch.device) -> Components:
    """What ``run`` describes, its network without weights where it can do without.

    Args:
        run: Run that is to be trained.
        folder: Folder of the data; None: not known.
        device: Device on which it is to be trained.

    Raises:
        ConfigError: A factory refused its parameters, components don't fit together, or the
            network is too large or doesn't take the dataset's images.
        DataError: The dataset isn't there.
    """
    try:
        components = build(run, folder=folder, device="meta")
        check_components(components, run, device)
    except FailsError:
        pass
    except CifarzooError:
        raise
    except Exception:  # noqa: S110  # what is wrong, if it isn't the device, shows below
        pass
    else:
        return components
    with _within_memory(device):  # a network may look at its numbers
        components = _build_with_weights(run, folder)
    check_components(components, run, device)
    return components


def build_within_memory(run: Run, *, folder: Path | None, device: torch.device) -> Components:
    """What ``run`` describes, its network with weights, and refused where it is too large.

    It is refused while it is built, before it takes the memory.

    Args:
        run: Run that is to be trained.
        folder: Folder of the data; None: not known.
        device: Device on which it is to be trained.

    Raises:
        ConfigError: A factory refused its parameters, components don't fit together, or the
            network is too large.
        DataError: The dataset isn't there.
    """
    try:
        with _within_memory(device):
            return _build_with_weights(run, folder)
    except _TooLargeError:
        # Without weights it can be built to its end, so that the message has the whole count.
        dry_run(run, folder=folder, device=device)
        return _build_with_weights(run, folder)  # it made modules that it didn't keep


def check_components(components: Components, run: Run, device: torch.device) -> None:
    """Try each of a run's components on two images.

    Args:
        components: What the run's factories made, the network on any one device.
        run: Run that is to be trained.
        device: Device on which it is to be trained.

    Raises:
        ConfigError: Components don't fit together, or the network is too large or doesn't take
            the dataset's images.
    """
    check_memory(sum(p.numel() for p in components.model.parameters()), device)
    image_shape, num_classes = components.dataset.image_shape, len(components.dataset.classes)
    check_augmentations(components.augmentations, image_shape=image_shape)
    check_regularizers(
        components.regularizers,
        components.loss,
        num_classes=num_classes,
        image_shape=image_shape,
        weights=components.loss_weights,
        loss_name=components.loss_maker(run),
    )
    check_network(
        components.model,
        num_classes=num_classes,
        name=name_of(run.architecture),
        image_shape=image_shape,
    )
    check_network_stages(
        components.regularizers,
        components.model,
        num_classes=num_classes,
        image_shape=image_shape,
        num_views=components.num_views,
    )


class _TooLargeError(ConfigError):
    """A network that the machine can't hold, noticed while it was built."""


def _build_with_weights(run: Run, folder: Path | None) -> Components:
    try:
        return build(run, folder=folder)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        raise _TooLargeError(
            f"needs more memory than there is: {error}", parameter="architecture"
        ) from error


@contextmanager
def _within_memory(device: torch.device) -> Iterator[None]:
    """Within ``with``, a network is refused as soon as it outgrows the memory of ``device``.

    A parameter is registered after its memory was reserved and before anything is written to it:
    until then the system has not given it.
    """
    made, memory = 0, memory_of(device)

    def count(_module: nn.Module, _name: str, parameter: nn.Parameter) -> None:
        nonlocal made
        if isinstance(parameter, UninitializedParameter) or memory is None:
            return
        made += parameter.numel()
        if made * BYTES > memory:
            raise _TooLargeError(
                f"has {made:,} parameters or more; this machine has {memory / GIB:,.1f} GiB, and "
                f"each needs {BYTES} bytes",
                parameter="architecture",
            )

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
