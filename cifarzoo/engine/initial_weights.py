"""Weights that a run starts from: read once, matched by name, recorded by digest.

Checkpoints have all that is trained from then on, so a run that is resumed or tested doesn't
need them any more.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cifarzoo.components.user_paths import expanded
from cifarzoo.engine.checkpoint import Checkpoints
from cifarzoo.engine.saved_tensors import UnusableError, most_bytes, read_saved
from cifarzoo.engine.state_schema import check_plain
from cifarzoo.errors import ConfigError
from cifarzoo.files.real_folder import read_regular
from cifarzoo.run_folders.folder import CHECKPOINTS, STATE, RunFolder

PARAMETER = "initial_weights"
# Under which others, and our checkpoints, keep a state dict; the first that is there is taken.
ENTRIES = ("averaged", "model", "state_dict", "model_state_dict", "model_state", "net", "network")
COMPILED = "_orig_mod."  # in each name where torch.compile wrapped a module
ONE_PATH = ".paths.0."  # in names of checkpoints of the first format
MOST_NAMES = 3  # in a message


@dataclass(frozen=True, kw_only=True)
class InitialWeights:
    """Weights by name, as they were read.

    Attributes:
        path: Path of the file or of the run's folder, as it was given.
        sha256: SHA-256 (hex) of the file.
        tensors: Weights by the names that they have there.
    """

    path: str
    sha256: str
    tensors: Mapping[str, Tensor]

    def matched(self, model: nn.Module) -> Matched:
        """Which of them are of ``model``, on any device.

        Raises:
            ConfigError: None is.
        """
        targets = model.state_dict()
        named = _without_prefix(self.tensors, targets)
        fitting = {n: t for n, t in named.items() if n in targets and t.shape == targets[n].shape}
        if not fitting:
            raise _refused(
                self.path,
                f"has no weights of this network: there {_some(list(self.tensors))}; expected "
                f"names such as {_some(list(targets))}",
            )
        misfits = [
            f"{name} is {tuple(named[name].shape)} there and {tuple(targets[name].shape)} here"
            for name in targets
            if name in named and name not in fitting
        ]
        return Matched(
            tensors=fitting,
            of=len(targets),
            misfits=misfits,
            missing=[name for name in targets if name not in named],
            unused=[name for name in named if name not in targets],
        )


@dataclass(frozen=True, kw_only=True)
class Matched:
    """Weights of one network.

    Attributes:
        tensors: Those that are loaded, by the network's names.
        of: Number of tensors that the network has.
        misfits: Those of another shape, a phrase each.
        missing: Names that only the network has; these keep their first weights.
        unused: Names that the network hasn't.
    """

    tensors: Mapping[str, Tensor]
    of: int
    misfits: list[str]
    missing: list[str]
    unused: list[str]

    @torch.no_grad()
    def load_into(self, model: nn.Module) -> None:
        """Set the weights of ``model``; its number types and its device stay."""
        targets = model.state_dict()
        for name, tensor in self.tensors.items():
            targets[name].copy_(tensor)

    def summary(self, path: str) -> str:
        """What was loaded, and what was not."""
        parts = [
            ("of another shape", self.misfits),
            ("not there, so as it was built", self.missing),
            ("not of this network", self.unused),
        ]
        said = [f"{len(found)} {what} ({_some(found)})" for what, found in parts if found]
        loaded = f"{len(self.tensors)} of {self.of} tensors start as in {path}"
        return "; ".join([loaded, *said])

    @property
    def is_whole(self) -> bool:
        """Whether all names and shapes are the same."""
        return not (self.misfits or self.missing or self.unused)


def read_initial_weights(given: str) -> InitialWeights:
    """Read a file of weights, or the newest weights of a run, averaged ones if it has them.

    Args:
        given: Path of a file that torch saved, or of a run's folder.

    Raises:
        ConfigError: There is none, or it holds no weights.
    """
    path = expanded(given)
    file = _newest(path, given) if path.is_dir() else path
    try:
        data = read_regular(file, at_most=most_bytes())
    except OSError as error:
        raise _refused(given, f"cannot be read: {error.strerror}") from error
    try:
        state = read_saved(data)
        check_plain(state)
    except ValueError as problem:
        wrong = problem if isinstance(problem, UnusableError) else f"it {problem}"
        expected = "expected torch.save(model.state_dict(), …)"
        raise _refused(given, f"is no file of weights: {wrong}; {expected}") from problem
    return InitialWeights(
        path=given, sha256=hashlib.sha256(data).hexdigest(), tensors=_state_dict(state, given)
    )


def _newest(folder: Path, given: str) -> Path:
    if not (folder / CHECKPOINTS).is_dir():
        expected = "expected the folder of a run that has a checkpoint, or a file"
        raise _refused(given, f"is a folder without {CHECKPOINTS}; {expected}")
    checkpoints = Checkpoints(RunFolder(folder).checkpoints, keep=1, warn=lambda _message: None)
    steps = checkpoints.steps()
    if not steps:
        raise _refused(given, "is a run that has no checkpoint yet")
    checkpoints.read(steps[-1])  # refused where it is damaged
    return checkpoints.path(steps[-1]) / STATE


def _state_dict(state: Any, given: str) -> dict[str, Tensor]:
    """The tensors by name, wherever they are kept."""
    while isinstance(state, Mapping):
        tensors = {str(name): each for name, each in state.items() if isinstance(each, Tensor)}
        entry = next((e for e in ENTRIES if isinstance(state.get(e), Mapping)), None)
        if entry is None:
            if tensors:
                return tensors
            break
        state = state[entry]
    raise _refused(given, f"holds no weights by name; expected a state dict, or one at {ENTRIES}")


def _without_prefix(
    tensors: Mapping[str, Tensor], targets: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """By the network's names: without what wrappers, such as DDP and torch.compile, put before."""
    named = {name.replace(COMPILED, ""): tensor for name, tensor in tensors.items()}
    if not any(ONE_PATH in name for name in targets):
        named = {name.replace(ONE_PATH, "."): tensor for name, tensor in named.items()}
    prefixes = Counter(
        name[: len(name) - len(tail)] for name in named for tail in _tails(name) if tail in targets
    )
    if not prefixes:
        return named
    prefix = prefixes.most_common(1)[0][0]
    return {name.removeprefix(prefix): tensor for name, tensor in named.items()}


def _tails(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]


def _some(found: list[str]) -> str:
    shown = ", ".join(found[:MOST_NAMES])
    return f"{shown} and {len(found) - MOST_NAMES} more" if len(found) > MOST_NAMES else shown


def _refused(given: str, problem: str) -> ConfigError:
    return ConfigError(f"is {given!r}, which {problem}", parameter=PARAMETER)
