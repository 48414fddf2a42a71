"""Teachers: networks of finished runs that regularizers learn from.

Each is loaded as a run is that is tested, frozen, and put where training is. Checkpoints don't have
it; which weights it has is recorded, since a run that goes on has to go on with the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from cifarzoo.components.hooks import SupportsTeacher
from cifarzoo.components.protocols import Augmentation
from cifarzoo.components.run import Run
from cifarzoo.engine.assembly.build import Components, naming
from cifarzoo.engine.batches import prepare_for_evaluation
from cifarzoo.engine.resume import SHORT
from cifarzoo.engine.state import digest_of
from cifarzoo.engine.trained import Trained, load_trained
from cifarzoo.engine.training import Setup
from cifarzoo.errors import CifarzooError, ConfigError, UntrustedPluginError, UsageError
from cifarzoo.randomness.global_generators import kept_generators
from cifarzoo.run_folders.folder import RunFolder

PARAMETER = "teacher"
MOST_PIXEL = 255


@dataclass(frozen=True, kw_only=True)
class OpenedRun:
    """A run that is to teach.

    Attributes:
        run: Run that was trained.
        folder: Folder of the run.
        notes: What is otherwise than in its training, a line each.
    """

    run: Run
    folder: RunFolder
    notes: Sequence[str] = ()


OpenRun: TypeAlias = Callable[[str], OpenedRun]  # of the path of its folder


def opens_none(path: str) -> OpenedRun:
    """Refuse to open a run, as the engine can't without the door for configs.

    Raises:
        UsageError: Always.
    """
    raise UsageError(f"nothing opens {path} here; expected a call of cifarzoo.train")


@dataclass(frozen=True, kw_only=True)
class TeacherWeights:
    """Which weights teach a run.

    Attributes:
        path: Folder of the run that they are of.
        sha256: SHA-256 (hex) of the weights.
        notes: What is otherwise than in that run's training, a line each.
    """

    path: str
    sha256: str
    notes: Sequence[str] = ()


def give_teachers(setup: Setup, open_run: OpenRun) -> dict[str, TeacherWeights]:
    """Give each regularizer that has a teacher its network.

    Args:
        setup: Run, components, arithmetic and device; its regularizers have their teachers then.
        open_run: Opens a run by the path of its folder.

    Returns:
        Which weights the teachers have, by the regularizers' names.

    Raises:
        ConfigError: There is no such run, it isn't finished, or it learned other classes or images.
    """
    given: dict[str, TeacherWeights] = {}
    for name, regularizer in setup.components.regularizers.items():
        if not isinstance(regularizer, SupportsTeacher):
            continue
        with naming(name), _refusing(regularizer.teacher), kept_generators():
            opened = open_run(regularizer.teacher)
            trained = _finished(opened)
            network = _fitted(trained, setup.components)
        given[name] = TeacherWeights(
            path=str(opened.folder.path),
            sha256=digest_of(trained.network.state_dict()),
            notes=opened.notes,
        )
        regularizer.take_teacher(_frozen(network, setup))
    return given


def _frozen(network: nn.Module, setup: Setup) -> nn.Module:
    network = network.eval().requires_grad_(requires_grad=False)
    network = network.to(setup.world.device, setup.policy.weights)
    return network.to(memory_format=torch.channels_last) if setup.policy.channels_last else network


def teachers_digest(teachers: Mapping[str, TeacherWeights]) -> str:
    """SHA-256 (hex) of the weights of all teachers."""
    together = " ".join(teacher.sha256 for teacher in teachers.values())
    return hashlib.sha256(together.encode()).hexdigest()


def record_teachers(folder: RunFolder, teachers: Mapping[str, TeacherWeights]) -> None:
    """Note which weights teach a run.

    Raises:
        UsageError: The run began with others.
    """
    recorded = folder.record.get("teachers", {})
    for name, teacher in teachers.items():
        there = recorded.get(name, {}).get("weights_sha256", teacher.sha256)
        if there != teacher.sha256:
            raise UsageError(
                f"{folder.path} was taught by other weights: SHA-256 {there[:SHORT]}… there and "
                f"{teacher.sha256[:SHORT]}… of {teacher.path} here; bring back what it began with, "
                "or begin a run of its own in another folder"
            )
    if teachers:
        folder.update(
            teachers={
                name: {"run": teacher.path, "weights_sha256": teacher.sha256}
                for name, teacher in teachers.items()
            }
        )


@contextmanager
def _refusing(path: str) -> Iterator[None]:
    """While a teacher is loaded: whatever is wrong with it is said of the setting."""
    try:
        yield
    except CifarzooError as error:
        problem = "; ".join(str(error).splitlines())
        if isinstance(error, UntrustedPluginError):
            problem += f" to cifarzoo eval {path}, once"
        raise ConfigError(f"is {path!r}, which cannot teach: {problem}", parameter=PARAMETER) from (
            error
        )


def _finished(opened: OpenedRun) -> Trained:
    """The network of a run with its last weights.

    Raises:
        UsageError: The run isn't finished.
        CifarzooError: See ``load_trained``.
    """
    record = opened.folder.record
    if record.get("status") != "done":
        raise UsageError(f"the run is {record.get('status', 'new')}; expected one that is done")
    trained = load_trained(opened.run, opened.folder)
    if trained.step != record.get("steps", trained.step):
        raise UsageError(
            f"of its {record['steps']} steps only the first {trained.step} have a whole checkpoint"
        )
    return trained


def _fitted(trained: Trained, components: Components) -> nn.Module:
    """The teacher's network for the images and classes of the run that it teaches.

    Raises:
        UsageError: It is for others.
    """
    theirs, ours = trained.components.dataset, components.dataset
    if [*theirs.classes] != [*ours.classes]:
        raise UsageError(
            f"it knows {len(theirs.classes)} classes ({_some(theirs.classes)}), and the run has "
            f"{len(ours.classes)} ({_some(ours.classes)}); expected the same, in the same order"
        )
    if theirs.image_shape != ours.image_shape:
        raise UsageError(
            f"it is for images {theirs.image_shape}; expected one for {ours.image_shape}"
        )
    pairs = [
        _pixel_line(each.augmentations, ours.image_shape)
        for each in (trained.components, components)
    ]
    return trained.network if torch.equal(*pairs) else Renormalized(trained.network, *pairs)


class Renormalized(nn.Module):
    """A network on images that were normalised for another one.

    Args:
        network: Network that takes ``scale * pixel + shift``.
        wanted: Its scale and shift (2, C), float64.
        given: Those of the images that it is given.
    """

    line: Tensor

    def __init__(self, network: nn.Module, wanted: Tensor, given: Tensor) -> None:
        super().__init__()
        self.network = network
        scale = wanted[0] / given[0]
        line = torch.stack([scale, wanted[1] - scale * given[1]])[:, :, None, None]
        self.register_buffer("line", line.float())

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        scale, shift = self.line.to(images.dtype)
        logits: Tensor = self.network(images * scale + shift)
        return logits


def _pixel_line(augmentations: Mapping[str, Augmentation], shape: tuple[int, int, int]) -> Tensor:
    """Scale and shift (2, C), float64, by which test images are prepared from their pixels.

    Raises:
        UsageError: They are prepared otherwise.
    """
    pixels = torch.arange(MOST_PIXEL + 1, dtype=torch.uint8)
    noise = pixels.repeat(-(-torch.Size(shape).numel() // len(pixels)))[: torch.Size(shape).numel()]
    black = torch.zeros(shape, dtype=torch.uint8)
    images = torch.stack([black, black + MOST_PIXEL, noise.view(shape)])
    low, high, seen = prepare_for_evaluation(augmentations, images).double()
    shift = low[:, 0, 0]
    scale = (high[:, 0, 0] - shift) / MOST_PIXEL
    expected = images[2] * scale[:, None, None] + shift[:, None, None]
    if seen.shape != expected.shape or not torch.allclose(seen, expected, rtol=1e-4, atol=1e-4):
        raise UsageError(
            "its test images, or those of the run, aren't prepared by a mean and a standard "
            "deviation a channel"
        )
    return torch.stack([scale, shift])


def _some(classes: Sequence[str]) -> str:
    return ", ".join(classes[:3]) + ", …" * (len(classes) > 3)
