"""Whether the loss of a batch is put together from the losses of its parts.

Ranks and micro-batches each see a part, and what they find is averaged. That is the loss of the
whole batch where it is a plain mean over the images, or where the loss gives one number an image
and its weights, and not where it divides by something of the batch's own: a sum of class weights,
a number of pairs. Random logits tell, in halves and as a whole; no network is needed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from cifarzoo.engine.assembly.build import Components
from cifarzoo.engine.assembly.failures import failed, unfit
from cifarzoo.engine.assembly.plan import Plan
from cifarzoo.engine.assembly.trials import copied
from cifarzoo.randomness.global_generators import kept_generators, seed_generators

IMAGES, TRIALS = 16, 4
TOLERANCE = 1e-5  # of float32 sums over as many images, relative


def check_parts(components: Components, plan: Plan, *, name: str) -> None:
    """Refuse a loss that several ranks or micro-batches would change.

    One that draws random numbers, or remembers calls, can't be judged so and passes.

    Args:
        components: What the run's factories made.
        plan: Sizes of the run.
        name: Name of the loss, or of the last regularizer that wraps it.

    Raises:
        ConfigError: The loss of a batch isn't that of its parts; or it fails.
    """
    if plan.world_size == 1 and plan.num_micro_batches == 1:
        return
    num_classes = len(components.dataset.classes)
    numbers = torch.Generator().manual_seed(0)
    shape = (2 * IMAGES * plan.num_views, num_classes)
    with kept_generators():
        for _ in range(TRIALS):
            logits = 3 * torch.randn(shape, generator=numbers)
            targets = torch.softmax(3 * torch.randn(shape, generator=numbers), 1)
            try:
                found = _parts(copied(components.loss), logits, targets)
            except Exception as error:
                raise failed(name, f"on {len(logits)} images, in the loss", error) from error
            if found is not None:
                raise unfit(name, _words(found, plan))


def _parts(
    loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, targets: Tensor
) -> tuple[float, float] | None:
    """The loss of the whole and what its halves make of it, if these differ."""

    def of(rows: slice, seed: int = 0) -> Tensor:
        seed_generators(seed, "evaluation", "torch")
        return loss(logits[rows].clone(), targets[rows].clone()).detach().double()

    everything, half = slice(None), len(logits) // 2
    whole = of(everything)
    is_function = torch.equal(whole, of(everything)) and torch.equal(whole, of(everything, 1))
    first, second = of(slice(half)), of(slice(half, None))
    put_together = torch.cat([first, second]) if whole.ndim else (first + second) / 2
    difference = (whole - put_together).abs()
    if not is_function or not bool(torch.isfinite(difference).all()):
        return None
    worst = int(difference.argmax())
    if float(difference.max()) <= TOLERANCE * float(whole.abs().max()):
        return None
    return float(whole.flatten()[worst]), float(put_together.flatten()[worst])


def _words(found: tuple[float, float], plan: Plan) -> str:
    whole, parts = found
    several = (
        f"{plan.world_size} processes"
        if plan.world_size > 1
        else f"micro-batches of {plan.micro_batch_size}"
    )
    return (
        f"gives a loss that isn't a mean over the images, nor one number an image: of a random "
        f"batch {whole:.4g} as a whole and {parts:.4g} in halves, so {several} would train "
        "something else; give one number an image, and their weights by weights(targets) "
        "(cifarzoo.protocols.SupportsWeights), or train in one process and one pass"
    )
