"""What a run would build, found out on the meta device: nothing is allocated or read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cifarzoo.components.protocols import IMAGE_SHAPE
from cifarzoo.components.run import Run
from cifarzoo.engine.assembly.build import (
    build_average,
    build_optimizer,
    name_of,
)
from cifarzoo.engine.assembly.dry_run import dry_run
from cifarzoo.engine.assembly.loss_trial import check_parts
from cifarzoo.engine.assembly.optimizer_trial import try_optimizer
from cifarzoo.engine.assembly.plan import Plan, length_warnings, plan
from cifarzoo.engine.assembly.repeated_calls import changing_answers
from cifarzoo.engine.assembly.selection import check_selection
from cifarzoo.engine.assembly.trials import check_norms, check_schedule
from cifarzoo.engine.assembly.weight_decay import count
from cifarzoo.engine.distributed.world import pick_device
from cifarzoo.layers import norms


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a run would build.

    Attributes:
        dataset: Title of the dataset.
        num_classes: K.
        num_parameters: Trainable values of the network.
        weight_decay: ``policy``, and of what is ``covered`` and ``not_covered``: ``tensors``,
            ``values`` and ``names``.
        plan: Sizes, or None where only reading the data tells how many images there are.
        flops: Floating-point operations of one image's forward pass; a multiply-add is two.
        optimizer: Name of the optimizer, and its base learning rate.
        schedule: Name of the schedule, the ``steps`` that it spans, and the learning rate at the
            ``first``, the ``last`` and the ``highest``, each a step from 1 and a rate; None: only
            reading the data tells.
        warnings: What may not be meant, a line each.
    """

    dataset: str
    num_classes: int
    num_parameters: int
    weight_decay: dict[str, Any]
    plan: Plan | None
    flops: int
    optimizer: dict[str, Any]
    schedule: dict[str, Any] | None
    warnings: list[str]


def describe(run: Run, *, data: Path | None, world_size: int = 1) -> Description:
    """Build ``run`` on the meta device and measure it.

    Args:
        run: Run that would be trained.
        data: Folder of the data; None: not known.
        world_size: Number of ranks.

    Raises:
        ConfigError: What training would raise before its first batch.
    """
    components = dry_run(run, folder=data, device=pick_device())
    dataset, model = components.dataset, norms.convert(components.model)
    optimizer, base_rates = build_optimizer(run, components, model)
    trial = try_optimizer(run, components, optimizer, device=torch.device("cpu"))
    build_average(components, model)  # for what it refuses
    sizes = schedule = None
    if dataset.num_train is not None and dataset.num_test is not None:
        sizes = plan(
            run,
            num_train=dataset.num_train,
            num_test=dataset.num_test,
            world_size=world_size,
            has_batch_norm=bool(norms.batch_norms(model)),
            num_views=components.num_views,
        )
        name = name_of(run.schedule)
        factors = check_schedule(components.schedule, sizes, name=name)
        check_selection(components.regularizers, seed=run.seed, plan=sizes)
        schedule = {"name": name, "steps": sizes.total_steps, **_rates(factors, base_rates[0])}
        check_parts(components, sizes, name=components.loss_maker(run))
        check_norms(model, sizes, name=name_of(run.architecture))
    decayed, spared = components.coverage.decayed, components.coverage.spared
    return Description(
        dataset=dataset.title,
        num_classes=len(dataset.classes),
        num_parameters=count(decayed) + count(spared),
        weight_decay={
            "policy": run.weight_decay_policy,
            "covered": _part(decayed),
            "not_covered": _part(spared),
        },
        plan=sizes,
        flops=flops(model, dataset.image_shape),
        optimizer={"name": name_of(run.optimizer), "lr": base_rates[0]},
        schedule=schedule,
        warnings=[
            *(components.warnings(sizes.total_epochs, base_rates) if sizes else []),
            *(length_warnings(run, sizes) if sizes else []),
            *trial.warnings,
            *changing_answers(components, loss=components.loss_maker(run)),
        ],
    )


def flops(model: nn.Module, image_shape: tuple[int, int, int] = IMAGE_SHAPE) -> int:
    """Floating-point operations of one image's forward pass; a multiply-add is two.

    Args:
        model: Any network, on any one device.
        image_shape: Shape of the image (C, H, W).
    """
    model.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        device = next(model.parameters()).device
        model(torch.empty(1, *image_shape, device=device))
    return int(counter.get_total_flops())


def _rates(factors: dict[int, float], base_rate: float) -> dict[str, tuple[int, float]]:
    steps = {"first": min(factors), "highest": max(factors, key=factors.__getitem__)}
    steps["last"] = max(factors)
    return {name: (step + 1, factors[step] * base_rate) for name, step in steps.items()}


def _part(named: list[tuple[str, nn.Parameter]]) -> dict[str, Any]:
    return {
        "tensors": len(named),
        "values": count(named),
        "names": [name for name, _ in named],
    }
