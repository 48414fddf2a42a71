"""The sizes of a run on a number of ranks: steps, shares of a batch, BatchNorm's groups.

Plain arithmetic, done before any network is built, so that what doesn't fit is refused early.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cifarzoo.components.protocols import Timestamp
from cifarzoo.components.run import Run
from cifarzoo.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The sizes of a run.

    Attributes:
        train_images: Images trained on.
        validation_images: Images of the training set kept for validation.
        test_images: Images tested on.
        batch_size: Images an optimizer step, over all ranks.
        world_size: Ranks.
        local_batch_size: Images an optimizer step on one rank.
        micro_batch_size: Images a forward pass on one rank.
        bn_group_size: Images that share BatchNorm statistics.
        steps_per_epoch: Optimizer steps in an epoch.
        total_steps: Optimizer steps in the run.
        num_views: Views of each image that go through the network in a step.
    """

    train_images: int
    validation_images: int
    test_images: int
    batch_size: int
    world_size: int
    local_batch_size: int
    micro_batch_size: int
    bn_group_size: int
    steps_per_epoch: int
    total_steps: int
    num_views: int = 1

    @property
    def num_micro_batches(self) -> int:
        """Forward passes an optimizer step on one rank."""
        return self.local_batch_size // self.micro_batch_size

    @property
    def bn_ranks(self) -> int:
        """Ranks whose batches make one BatchNorm group; 1: groups lie within a rank."""
        return max(1, self.bn_group_size // self.local_batch_size)

    @property
    def is_one_group(self) -> bool:
        """Whether a step is one forward pass on one rank, whose images share their statistics."""
        return self.batch_size == self.micro_batch_size == self.bn_group_size

    @property
    def total_epochs(self) -> float:
        """Epochs in the run, in fractions."""
        return self.total_steps / self.steps_per_epoch

    def timestamp(self, step: int) -> Timestamp:
        """The point of training before optimizer step ``step``, from 0."""
        return Timestamp(step, self.steps_per_epoch, self.total_steps)

    def part(self, rank: int) -> slice:
        """The images of the global batch that are ``rank``'s."""
        return slice(rank * self.local_batch_size, (rank + 1) * self.local_batch_size)

    def of_fewer(self, num_images: int) -> Plan:
        """The sizes of a step that trains on so many images of its batch.

        Raises:
            ConfigError: Ranks, passes or BatchNorm's groups can't have equal shares of them.
        """
        shares = {
            "processes": self.world_size,
            "forward passes": self.batch_size // self.micro_batch_size,
            "groups of BatchNorm": max(1, self.batch_size // self.bn_group_size),
        }
        for what, number in shares.items():
            if num_images % number:
                raise ConfigError(
                    f"selects {num_images} of {self.batch_size} images; expected a multiple of "
                    f"the {number} {what}"
                )
        return replace(
            self,
            batch_size=num_images,
            local_batch_size=num_images // self.world_size,
            micro_batch_size=num_images // shares["forward passes"],
            bn_group_size=num_images // shares["groups of BatchNorm"],
        )

    @property
    def num_rows(self) -> int:
        """What goes through the network in a step, over all ranks: each view of each image."""
        return self.batch_size * self.num_views

    def rows(self, rank: int) -> slice:
        """The rows that are ``rank``'s; the views of an image follow each other."""
        images = self.part(rank)
        return slice(images.start * self.num_views, images.stop * self.num_views)


def plan(
    run: Run,
    *,
    num_train: int,
    num_test: int,
    world_size: int = 1,
    has_batch_norm: bool = True,
    num_views: int = 1,
) -> Plan:
    """The sizes of ``run`` on a dataset and a number of ranks.

    Args:
        run: Run that is trained.
        num_train: Images in the dataset's training set.
        num_test: Images in the dataset's test set.
        world_size: Ranks.
        has_batch_norm: Whether the network has BatchNorm, so that its groups must fit.
        num_views: Views of each image that go through the network.

    Raises:
        ConfigError: Sizes that don't fit each other; names the parameter of ``run``.
    """
    _check_there(run, num_train=num_train, num_test=num_test)
    train = (run.train_images or num_train) - run.validation_images
    if train < 1:
        raise ConfigError(
            f"is {run.validation_images}; expected fewer than the {train + run.validation_images} "
            "training images",
            parameter="validation_images",
        )
    if run.batch_size > train:
        raise ConfigError(
            f"is {run.batch_size}; expected at most the {train} training images",
            parameter="batch_size",
        )
    if run.batch_size % world_size:
        lower = run.batch_size - run.batch_size % world_size
        raise ConfigError(
            f"is {run.batch_size}; expected a multiple of the {world_size} processes, such as "
            f"{lower or world_size}",
            parameter="batch_size",
        )
    local = run.batch_size // world_size
    micro = min(run.micro_batch_size or local, local)
    if local % micro:
        raise ConfigError(
            f"is {micro}; expected a divisor of the {local} images of each process",
            parameter="micro_batch_size",
        )
    group = run.bn_group_size or run.batch_size
    if has_batch_norm:
        _check_groups(run, group=group, local=local, micro=micro)
    steps_per_epoch = train // run.batch_size
    total_steps = run.epochs * steps_per_epoch
    return Plan(
        train_images=train,
        validation_images=run.validation_images,
        test_images=run.eval_images or num_test,
        batch_size=run.batch_size,
        world_size=world_size,
        local_batch_size=local,
        micro_batch_size=micro,
        bn_group_size=group,
        steps_per_epoch=steps_per_epoch,
        total_steps=min(run.max_steps or total_steps, total_steps),
        num_views=num_views,
    )


def length_warnings(run: Run, sizes: Plan) -> list[str]:
    """What ``run.max_steps`` does to the run and its schedule that may not be meant, in a line.

    To end within the last epoch is how a run of 9.9 epochs is written.
    """
    whole = run.epochs * sizes.steps_per_epoch
    if run.max_steps is None or whole - sizes.steps_per_epoch < run.max_steps <= whole:
        return []
    epochs = f"run.epochs = {run.epochs}"
    if run.max_steps > whole:
        return [f"run.max_steps is {run.max_steps} and changes nothing: {epochs} is {whole} steps"]
    return [
        f"run.max_steps is {run.max_steps} of the {whole} steps of {epochs}: the schedule is the "
        f"whole one of a run of {run.max_steps} steps, not the beginning of the longer one"
    ]


def _check_there(run: Run, *, num_train: int, num_test: int) -> None:
    """Refuse more images than there are, which would be a setting without its effect."""
    for name, wanted, there, part in (
        ("train_images", run.train_images, num_train, "training"),
        ("eval_images", run.eval_images, num_test, "test"),
    ):
        if wanted is not None and wanted > there:
            raise ConfigError(
                f"is {wanted}; expected at most the {there} {part} images", parameter=name
            )
    if run.micro_batch_size is not None and run.micro_batch_size > run.batch_size:
        raise ConfigError(
            f"is {run.micro_batch_size}; expected at most the {run.batch_size} images of a batch",
            parameter="micro_batch_size",
        )


def _check_groups(run: Run, *, group: int, local: int, micro: int) -> None:
    within = group <= micro and micro % group == 0
    across = micro == local and group % local == 0 and run.batch_size % group == 0
    if within or across:
        return
    if run.bn_group_size is None:
        raise ConfigError(
            f"is {micro}, and BatchNorm's statistics are of the whole batch of {run.batch_size}, "
            f"which no forward pass sees; set run.bn_group_size to {micro} or a divisor of it",
            parameter="micro_batch_size",
        )
    raise ConfigError(
        f"is {group}; expected a divisor of the {micro} images of a forward pass"
        + (f", or a multiple of them that divides {run.batch_size}" if micro == local else ""),
        parameter="bn_group_size",
    )
