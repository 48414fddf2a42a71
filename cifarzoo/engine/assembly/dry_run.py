"""Builds and tries what a run describes before it costs memory or time."""

from __future__ import annotations

from pathlib import Path

import torch

from cifarzoo.components.run import Run
from cifarzoo.engine.assembly.build import Components, build, name_of
from cifarzoo.engine.assembly.validation import (
    FailsError,
    check_augmentations,
    check_memory,
    check_network,
    check_network_stages,
    check_regularizers,
)
from cifarzoo.errors import CifarzooError


def dry_run(run: Run, *, folder: Path | None, device: torch.device) -> Components:
    """What ``run`` describes, its network without weights where it can do without.

    Args:
        run: What is to be trained.
        folder: Where data lie, or None.
        device: Where it is to be trained.

    Raises:
        ConfigError: A factory refused its parameters, components don't fit together, or the
            network is too large or doesn't take the dataset's images.
        DataError: The dataset isn't there.
    """
    try:
        return _tried(run, folder, device, "meta")
    except FailsError:
        pass
    except CifarzooError:
        raise
    except Exception:  # noqa: S110  # what is wrong, if it isn't the device, shows below
        pass
    return _tried(run, folder, device, "cpu")  # a network may look at its numbers


def _tried(run: Run, folder: Path | None, device: torch.device, build_on: str) -> Components:
    components = build(run, folder=folder, device=build_on)
    check_memory(sum(p.numel() for p in components.model.parameters()), device)
    image_shape, num_classes = components.dataset.image_shape, len(components.dataset.classes)
    check_augmentations(components.augmentations, image_shape=image_shape)
    check_regularizers(
        components.regularizers,
        components.loss,
        num_classes=num_classes,
        image_shape=image_shape,
        weights=components.loss_weights,
        loss_name=name_of(run.loss) if run.loss else "loss",
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
    )
    return components
