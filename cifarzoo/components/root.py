"""Names of what every config describes, for those who read values and make nothing of them."""

from __future__ import annotations

ROOT = "run"  # the dataclass Run, under this gin name

# Its fields that are no part of what is trained: a run with other values of them is the same run.
# Kernels and graphs differ by rounding, as numbers of threads do, and a run may go on with others.
BOOKKEEPING = frozenset(
    {"checkpoint_steps", "checkpoint_seconds", "keep_checkpoints", "kernels", "cuda_graph"}
)
