"""D2: every test image is counted and kept once, for any number of images and processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from cifarzoo.data.store import ImageStore
from cifarzoo.engine.device.precision import Policy, Scaler
from cifarzoo.engine.distributed.launcher import launch
from cifarzoo.engine.distributed.world import World, init_distributed
from cifarzoo.engine.evaluation import Score, evaluate
from cifarzoo.engine.recorder import Recorder
from cifarzoo.protocols import Split
from tests.trust.attempts import attempt, say_into_log
from tests.trust.cases import HUNG, Budget, Check, Outcome

NUM_CLASSES = 10
BATCH = 16
# Fewer images than processes, fewer than a batch, whole batches, and a last one that is partial.
SIZES = (1, 2, 3, 4, 5, 15, 16, 17, 31, 61, 64, 65, 203, 1000)
EXACT = 1e-13
SCALE = 256  # so that float32 has the quotients exactly


def grid(budget: Budget) -> Iterator[Outcome]:
    """Compare what the engine counts with one pass over all images in NumPy's order."""
    expected = {size: _in_one_go(size) for size in SIZES}
    for nproc in (1, 2, 3, 4) if not budget.is_fast else (2,):
        path = budget.scratch / f"{nproc}.json"
        ended = attempt(_evaluate, path, nproc, log=budget.scratch / f"{nproc}.log")
        found = json.loads(path.read_text()) if ended.code == 0 else {}
        problems = [f"ended with {ended.code}: {ended.said[-300:]}"] * bool(ended.code)
        for size, (score, classes) in expected.items():
            got = found.get(str(size), {"loss": float("nan"), "error": float("nan")})
            if got["error"] != score.error or not abs(got["loss"] - score.loss) < EXACT:
                problems.append(f"{size} images: {got} for {asdict(score)}")
            if got.get("classes") != classes:
                problems.append(f"{size} images: kept are {got.get('classes')} for {classes}")
        yield Outcome(
            name=f"{len(SIZES)} numbers of images on {nproc} process{'es' * (nproc > 1)}",
            passed=not problems,
            figure="; ".join(problems[:2])
            or f"1 to {SIZES[-1]} images, each counted and kept once",
            counts={"tests of a network": len(SIZES), HUNG: int(ended.hung)},
        )


def _evaluate(path: Path, nproc: int) -> int:
    if nproc == 1:
        evaluate_on_rank(path)
    else:
        launch(evaluate_on_rank, path, nproc=nproc)
    return 0


def evaluate_on_rank(path: Path) -> None:
    """Test on every number of images, as one of the ranks; rank 0 writes the scores."""
    say_into_log()
    with init_distributed({}) as world:
        policy = Policy(
            name="float64", channels_last=True, compile=False, deterministic=True, threads=1
        )
        scores = {size: _score(size, world, policy) for size in SIZES}
        if world.is_main:
            path.write_text(json.dumps(scores))


def _score(size: int, world: World, policy: Policy) -> dict[str, Any]:
    """The score on some images, and the predicted and true classes that the ranks keep of them."""
    recorder = Recorder(size, NUM_CLASSES, world_size=world.size, device=world.device)
    score = evaluate(
        _network(),
        ImageStore(_split(size), num_classes=NUM_CLASSES, device=world.device),
        prepare=lambda images: images / SCALE,
        scaler=Scaler(policy, world.device),
        world=world,
        batch_size=BATCH,
        recorder=recorder,
    )
    _, *classes = recorder.gathered(world)
    return {**asdict(score), "classes": [numbers.tolist() for numbers in classes]}


def _in_one_go(size: int) -> tuple[Score, list[list[int]]]:
    split = _split(size)
    images = torch.from_numpy(split.images).double() / SCALE
    with torch.no_grad():
        logits = _network().eval()(images)
    labels = torch.from_numpy(split.labels)
    predicted = logits.argmax(1)
    wrong = (predicted != labels).sum().item()
    score = Score(loss=F.cross_entropy(logits, labels).item(), error=wrong / size)
    return score, [predicted.tolist(), labels.tolist()]


def _network() -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = (torch.nn.Conv2d(3, 8, 5, 4), torch.nn.BatchNorm2d(8), torch.nn.Flatten())
        return torch.nn.Sequential(*layers, torch.nn.Linear(8 * 49, NUM_CLASSES)).double()


def _split(size: int) -> Split:
    rng = np.random.default_rng(size)
    images = rng.integers(0, 256, (size, 3, 32, 32), dtype=np.uint8)
    return Split(images=images, labels=rng.integers(0, NUM_CLASSES, size))


CHECKS = (
    Check(id="D2", title="tests of any number of images on any number of processes", run=grid),
)
