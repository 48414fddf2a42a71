"""The ways of a CUDA graph on a CPU: operations are recorded with all that Python gave them.

Recording computes nothing that lasts; replaying calls the same operations on the same memory. So
a number that Python passed, or work that Python did beside them, is frozen as on a GPU, and to
read a tensor in Python is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

READS = {"aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal", "aten::nonzero"}
UNDECLARED = {"running_mean", "running_var"}  # batch norms write to them and don't say so


class RecorderOnCpu:
    """Records work on a CPU; see ``cifarzoo.engine.step_graph.Recorder``."""

    def __init__(self) -> None:
        self.num_replays = 0
        self.num_recordings = 0

    @contextmanager
    def warming(self) -> Iterator[None]:
        """Work runs as it is."""
        yield

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record ``work``, and put back what it changes."""
        tape = Tape()
        with tape:
            work()
        tape.put_back()
        self.num_recordings += 1

        def replay() -> None:
            self.num_replays += 1
            tape.replay()

        return replay


class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's
    """The operations that ran within ``with``.

    Attributes:
        calls: Operation, arguments, keyword arguments, and new tensors by their place among the
            results.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], dict[int, Tensor]]] = []
        self._before: dict[int, tuple[Tensor, Tensor]] = {}
        self._made: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation and note it."""
        kwargs = kwargs or {}
        if func.name().partition(".")[0] in READS:
            raise RuntimeError(f"{func.name()} reads a tensor in Python, while a step is recorded")
        for tensor in written(func, args, kwargs):
            memory = tensor.untyped_storage().data_ptr()
            if memory not in self._made and memory not in self._before:
                self._before[memory] = (tensor, whole(tensor).clone())
        result = func(*args, **kwargs)
        given = {each.untyped_storage().data_ptr() for each in tensors((args, kwargs))}
        results = enumerate(tensors(result))
        new = {i: each for i, each in results if each.untyped_storage().data_ptr() not in given}
        self._made |= {each.untyped_storage().data_ptr() for each in new.values()}
        if new or written(func, args, kwargs):
            self.calls.append((func, args, kwargs, new))
        return result

    def put_back(self) -> None:
        """Undo what was written to memory that was there before."""
        for tensor, before in self._before.values():
            whole(tensor).copy_(before)

    @torch.no_grad()
    def replay(self) -> None:
        """Call everything again."""
        for func, args, kwargs, outputs in self.calls:
            results = tensors(func(*args, **kwargs))
            for index, output in outputs.items():
                output.copy_(results[index])


def tensors(values: Any) -> list[Tensor]:
    """All tensors in nested values."""
    return [each for each in tree_leaves(values) if isinstance(each, Tensor)]


def written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The arguments that an operation writes to."""
    found: list[Any] = []
    arguments = func._schema.arguments  # noqa: SLF001  # known nowhere else
    for index, argument in enumerate(arguments):
        is_declared = argument.alias_info is not None and argument.alias_info.is_write
        if is_declared or argument.name in UNDECLARED:
            found.append(kwargs.get(argument.name, args[index] if index < len(args) else None))
    return tensors(found)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor's memory, as bytes."""
    storage = tensor.untyped_storage()
    return torch.empty(0, dtype=torch.uint8).set_(storage)
