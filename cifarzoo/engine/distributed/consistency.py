"""What must be the same on every rank: config, code and data, which hosts have copies of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import torch

from cifarzoo.engine.distributed.environment import is_launched_by_us, is_worker
from cifarzoo.engine.distributed.rendezvous import listed
from cifarzoo.engine.distributed.world import World
from cifarzoo.errors import UsageError
from cifarzoo.run_folders.provenance import own_code


def fingerprint(digest: str, plugins: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Digests that ranks compare at the rendezvous; none where one parent has started them all.

    Args:
        digest: SHA-256 (hex) of the config's effective values.
        plugins: Provenance of each plugin: its ``origin``, and the ``sha256`` of a file.
    """
    if not is_worker() or is_launched_by_us():
        return {}
    digests = [plugin.get("sha256", plugin["origin"]) for plugin in plugins]
    return {
        "config": digest,
        "version of torch": version("torch"),
        "code of cifarzoo": own_code()["sha256"],
        "plugins": hashlib.sha256(" ".join(digests).encode()).hexdigest(),
    }


def check_same_data(world: World, digest: str) -> None:
    """Refuse ranks whose data differ, as copies on several hosts may.

    Args:
        world: Ranks of the run.
        digest: SHA-256 (hex) of the dataset that this one read.

    Raises:
        UsageError: They do; on every rank.
    """
    theirs = _others(world, digest)
    if theirs:
        raise UsageError(
            f"{theirs[0]} read other data: {theirs[1]}; copy the data folder of one host to all"
        )


def check_same_teachers(world: World, digest: str) -> None:
    """Refuse ranks whose teachers have other weights.

    Args:
        world: Ranks of the run.
        digest: SHA-256 (hex) of the weights that this one loaded.

    Raises:
        UsageError: They have; on every rank.
    """
    theirs = _others(world, digest)
    if theirs:
        raise UsageError(
            f"{theirs[0]} have teachers of other weights: {theirs[1]}; copy the "
            "teacher's folder of one host to all"
        )


def _others(world: World, digest: str) -> tuple[str, str] | None:
    """Which ranks have another digest than rank 0, and both of them; None: all have the same."""
    rows = world.gather(torch.tensor(list(bytes.fromhex(digest)), device=world.device))
    others = (rows != rows[0]).any(1).nonzero().flatten().tolist()
    if not others:
        return None
    theirs, first = (bytes(rows[rank].tolist()).hex()[:16] for rank in (others[0], 0))
    return f"{listed(others)} and rank 0", f"SHA-256 {theirs}... and {first}..."
