"""A config and what it would build: what ``cifarzoo show CONFIG`` says of it."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.patterns import listed
from cifarzoo.cli.terminal.text import Text
from cifarzoo.cli.terminal.units import count, plural, scaled
from cifarzoo.config.effective import effective_values
from cifarzoo.run_folders.resolved import one_line

if TYPE_CHECKING:
    from cifarzoo.config import Config
    from cifarzoo.engine.assembly.describe import Description

UNKNOWN = "only reading the data tells; see --data"
VALUE_WIDTH = 50  # where a line is longer, its origin stands right behind it
LABEL_WIDTH = len("# not decayed  ")


BUILT = (
    *("num_parameters", "weight_decay", "steps", "flops", "dataset", "num_classes", "optimizer"),
    *("schedule", "plan", "warnings"),
)  # keys of what is built


def to_json(config: Config, description: Description | None) -> dict[str, Any]:
    """The promised object; scripts lean on its first keys.

    A step count may be null, and so is all of what is built where that isn't known.
    """
    return {
        "name": config.name,
        "bindings": {key: bound.source for key, bound in config.bindings.items()},
        **(_built(description) if description else dict.fromkeys(BUILT)),
        "values": {
            name: {"source": value.source, "origin": value.origin, "is_default": value.is_default}
            for name, value in effective_values(config).items()
        },
    }


def _built(description: Description) -> dict[str, Any]:
    plan = description.plan
    return {
        "num_parameters": description.num_parameters,
        "weight_decay": description.weight_decay,
        "steps": plan.total_steps if plan else None,
        "flops": description.flops,
        "dataset": description.dataset,
        "num_classes": description.num_classes,
        "optimizer": description.optimizer,
        "schedule": description.schedule,
        "plan": asdict(plan) if plan else None,
        "warnings": description.warnings,
    }


def print_summary(out: Console, config: Config, description: Description | None) -> None:
    """Print every value with where it is from, then what is built: the whole is a config again.

    What isn't set stands in comments, as what is built does, if that is known.
    """
    values = effective_values(config).items()
    are_set = [
        (f"{name} = {value.source}", value) for name, value in values if not value.is_default
    ]
    are_not = [(f"# {name} = {value.source}", value) for name, value in values if value.is_default]
    for lines in (are_set, are_not):
        width = min(max((len(line) for line, _ in lines), default=0), VALUE_WIDTH)
        for line, value in lines:
            out.print(Text(f"{line:{width}}  # {one_line(value.origin)}"), soft_wrap=True)
        out.print()
    if description is None:
        return
    # Broken here, where each line can begin as a comment does.
    width = max(out.width - LABEL_WIDTH, LABEL_WIDTH)
    rows = [
        (f"# {label}" if number == 0 else "#", line)
        for label, text in facts(description)
        for number, line in enumerate(textwrap.wrap(text, width, break_on_hyphens=False))
    ]
    console.print_table(out, console.labelled(rows, indent=0))


def facts(description: Description) -> list[tuple[str, str]]:
    """What a run would build, as labelled lines."""
    decay = description.weight_decay
    plan = description.plan
    lines = [
        ("network", f"{count(description.num_parameters)} parameters"),
        ("flops", f"{scaled(description.flops)}FLOPs, one image forward (a multiply-add is two)"),
        ("decayed", f"{_part(decay['covered'])}, by the policy {decay['policy']}"),
        *_names(decay["covered"]["names"], decay["not_covered"]["names"]),
        ("not decayed", _part(decay["not_covered"])),
        *_names(decay["not_covered"]["names"], decay["covered"]["names"]),
        ("optimizer", f"{description.optimizer['name']}, base rate {description.optimizer['lr']}"),
    ]
    if plan is None:
        return [*lines, ("data", f"{description.dataset}; how many images, {UNKNOWN}")]
    validation = f", {count(plan.validation_images)} kept for validation" * bool(
        plan.validation_images
    )
    return [
        *lines,
        (
            "data",
            f"{description.dataset}: {plural(plan.train_images, 'training image')}, "
            f"{plural(plan.test_images, 'test image')}{validation}",
        ),
        (
            "steps",
            f"{count(plan.total_steps)} ({plan.total_epochs:g} epochs of "
            f"{plural(plan.steps_per_epoch, 'step')} of {plural(plan.batch_size, 'image')})",
        ),
        *_schedule(description.schedule),
        ("BatchNorm", f"statistics over {plural(plan.bn_group_size, 'image')}"),
    ]


def _schedule(seen: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Which learning rates the run's steps will see."""
    if seen is None:
        return []
    (_, first), (step, highest), (_, last) = seen["first"], seen["highest"], seen["last"]
    steps = f"{seen['name']} over {plural(seen['steps'], 'step')}"
    ends = f"rate {first:.3g} at the first, {last:.3g} at the last"
    return [("schedule", f"{steps}: {ends}, highest {highest:.3g} at step {count(step)}")]


def _part(part: dict[str, Any]) -> str:
    return f"{plural(part['tensors'], 'tensor')} of {count(part['values'])} values"


def _names(names: list[str], others: list[str]) -> list[tuple[str, str]]:
    """Which tensors these are, on lines of their own, where they aren't all or none."""
    return [("", listed(names, others))] if names and others else []
