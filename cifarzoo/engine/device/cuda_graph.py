"""Work captured on a GPU as one graph of kernels, which the host then starts by one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


class CudaRecorder:
    """Captures work on a stream of its own, where it has to have run before.

    Args:
        device: GPU that computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's

    @contextmanager
    def warming(self) -> Iterator[None]:
        """Within ``with``, work runs as it will be captured: on the same stream."""
        outside = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(outside)
        with torch.cuda.stream(self._stream):
            yield
        outside.wait_stream(self._stream)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Capture ``work``, which computes nothing yet.

        Returns:
            What computes it, as often as it is called: the same kernels in the same memory, with
            every number that Python passed to them as it was.

        Raises:
            RuntimeError: It does what can't be captured, such as to wait for the GPU.
        """
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            work()
        return graph.replay
