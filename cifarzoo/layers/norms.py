"""Which norms a network has, and torch's turned into ours, which obey the run's groups.

A batch norm of torch becomes ours of the same kind. A subclass of one, such as a norm with its
activation, keeps its forward pass, in which ``F.batch_norm`` is ours. One that computes
statistics of the batch in another way can't be told a group; ``disobedient`` finds it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.overrides import TorchFunctionMode

from cifarzoo.layers.batch_norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    Grouped,
    SyncBatchNorm,
)

PLAIN: dict[type[_BatchNorm], type[Grouped]] = {
    nn.BatchNorm1d: BatchNorm1d,
    nn.BatchNorm2d: BatchNorm2d,
    nn.BatchNorm3d: BatchNorm3d,
    nn.SyncBatchNorm: SyncBatchNorm,
}
# Names that a subclass must not have; the last one is that of a lazy module.
TAKEN = ("unbiased", "group_size", "batch_size", "gather", "batch_norm", "cls_to_become")


class _InPlaceOf(TorchFunctionMode):
    """Within ``with``, ``F.batch_norm`` is that of a norm with groups.

    Args:
        norm: The norm.
    """

    def __init__(self, norm: Grouped) -> None:
        super().__init__()
        self._norm = norm

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call ``func``, or what takes its place."""
        called = self._norm.batch_norm if func is F.batch_norm else func
        return called(*args, **(kwargs or {}))


class Subclass(Grouped):
    """What is mixed into a subclass of torch's batch norms."""

    made_from: type[_BatchNorm]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The subclass's own forward pass, its statistics those of the groups."""
        is_whole = self.gather is None and self.group_size in {None, self.batch_size}
        if is_whole or not self.training:
            return super().forward(*args, **kwargs)
        with _InPlaceOf(self):
            return super().forward(*args, **kwargs)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Copied and pickled by the subclass, since nothing finds this class by its name."""
        return _empty, (self.made_from,), self.__dict__.copy()


@cache
def _with_groups(kind: Any) -> type[Subclass]:
    """The class ``kind``, its statistics those of the groups."""
    named = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(kind.__name__, (Subclass, kind), {**named, "made_from": kind})


def _empty(kind: Any) -> Subclass:
    made_of = _with_groups(kind)
    return made_of.__new__(made_of)


def convert(model: nn.Module) -> nn.Module:
    """Turn every batch norm of ``model`` into one with groups, in place.

    The module objects stay: so do their parameters, buffers, settings, hooks and any reference
    that the network keeps to them. Lazy ones, which have no parameters yet, stay as they are,
    and so do subclasses that have something else by a name of ours, such as ``group_size``.
    """
    for module in model.modules():
        if not isinstance(module, _BatchNorm) or isinstance(module, Grouped):
            continue
        kind: Any = type(module)
        if kind in PLAIN:
            module.__class__ = PLAIN[kind]
        elif not any(hasattr(module, name) for name in TAKEN):
            module.__class__ = _with_groups(kind)
    return model


def batch_norms(model: nn.Module) -> list[Grouped]:
    """Every normalisation of ``model`` that can be told its group."""
    return [module for module in model.modules() if isinstance(module, Grouped)]


def disobedient(model: nn.Module) -> Iterator[tuple[str, _BatchNorm]]:
    """The batch norms of a converted ``model`` that can't be told their groups, by name."""
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and not _obeys(module):
            yield name, module


def _obeys(norm: _BatchNorm) -> bool:
    """Whether a norm takes its statistics by ``Grouped.batch_norm``.

    It is found out by a call in training mode of a copy of the norm.
    """
    if not isinstance(norm, Subclass):
        return isinstance(norm, Grouped)
    asked: list[Tensor] = []

    def note(images: Tensor, *_args: Any, **_settings: Any) -> Tensor:
        asked.append(images)
        return images

    tried = copy.deepcopy(norm).train()
    replace_batch_norm(tried, note)
    like = next(chain(norm.parameters(), running_statistics(norm)), torch.empty(()))
    for shape in _shapes(norm):
        images = torch.zeros(4, norm.num_features, *shape, dtype=like.dtype, device=like.device)
        with suppress(Exception), torch.random.fork_rng(devices=[]), torch.no_grad():
            tried(images)  # where it fails, another shape may do
        if asked:
            return True
    return False


def replace_batch_norm(norm: Grouped, called: Callable[..., Tensor] | None) -> None:
    """Have a norm call something else in training; None: what it called before."""
    vars(norm).pop("batch_norm", None)
    norm.gather = None
    norm.group_size = None
    if called is not None:
        vars(norm)["batch_norm"] = called
        norm.group_size = 1  # a subclass whose group is the whole batch isn't intercepted


def _shapes(norm: Grouped) -> list[tuple[int, ...]]:
    """What may follow (N, C) in the shape of an input."""
    lengths = {nn.BatchNorm1d: (0, 1), nn.BatchNorm2d: (2,), nn.BatchNorm3d: (3,)}
    known = (dims for kind, dims in lengths.items() if isinstance(norm, kind))
    return [(2,) * dims for dims in next(known, (2, 0, 1, 3))]


def named_statistics(model: nn.Module) -> dict[str, Tensor]:
    """``running_statistics`` by their names in ``model.state_dict()``."""
    statistics = {id(tensor) for tensor in running_statistics(model)}
    named = model.state_dict(keep_vars=True)  # by other names than modules have, in some networks
    return {name: buffer for name, buffer in named.items() if id(buffer) in statistics}


def running_statistics(model: nn.Module) -> list[Tensor]:
    """Running means and variances of all norms of ``model``."""
    return [tensor for tensor in tracked(model) if tensor.is_floating_point()]


def tracked(model: nn.Module) -> list[Tensor]:
    """All that norms change in a forward pass: statistics and step counts."""
    return [
        buffer
        for module in model.modules()
        if isinstance(module, _NormBase)
        for buffer in module.buffers(recurse=False)
    ]
