"""C6: a run's state, manifest, record and metrics that are whole by their digests and senseless.

Each value in turn is replaced by others that no run can have written, or taken out, and the digests
are made right again. A checkpoint has to be passed over then, unless the value has no effect.
"""

from __future__ import annotations

import json
import random
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from cifarzoo.engine.checkpoint import STATE, Checkpoints
from cifarzoo.engine.device.precision import choose
from cifarzoo.engine.distributed.signals import StopRequest
from cifarzoo.engine.distributed.world import init_distributed
from cifarzoo.engine.events import WarningEvent
from cifarzoo.engine.resume import DECIDE_BITS, restore
from cifarzoo.engine.training import Training, open_session, prepare
from cifarzoo.errors import CifarzooError
from cifarzoo.runs.folder import METRICS
from tests.tiny import tiny_task
from tests.trust.attempts import attempt
from tests.trust.cases import FAULTS, WRONG, Budget, Check, Outcome
from tests.trust.damage import KEPT, died, replace_state, saved
from tests.trust.senseless_values import changes, places, replaced
from tests.trust.workload import digest

BACK = "going back to the checkpoint before it"
ADVICE = "weights_only"


class Restoring:
    """A training that goes on from the newest checkpoint of a run again and again."""

    def __init__(self, root: Path, name: str) -> None:
        task = tiny_task(root, name, **KEPT)
        self.folder = task.open_folder()
        self.said: list[str] = []
        with init_distributed() as world:
            policy = choose(task.run, world.device)
            self._setup, self._data, self._state = prepare(
                task.run, folder=None, world=world, policy=policy
            )
        self.checkpoints = Checkpoints(self.folder.checkpoints, keep=9, warn=print)
        self.newest = self.checkpoints.path(self.checkpoints.steps()[-1])
        manifest = self.checkpoints.read(self.checkpoints.steps()[-1]).manifest
        self._facts = {name: manifest[name] for name in ("config", *DECIDE_BITS)}

    def go_on(self) -> str:
        """A digest of the state that training would go on from."""
        self.said.clear()
        session = open_session(
            self._setup,
            self._data,
            self.folder,
            facts=self._facts,
            stop=StopRequest(),
            emit=self._note,
        )
        restore(Training(setup=self._setup, data=self._data, state=self._state, session=session))
        state = self._state.state_dict()
        groups = [{**group, "lr": 0.0} for group in state["optimizer"]["param_groups"]]
        return digest({**state, "optimizer": {**state["optimizer"], "param_groups": groups}})

    def _note(self, event: Any) -> None:
        if isinstance(event, WarningEvent):
            self.said.append(event.message)


def fuzz_states(root: Path, number: int, seed: int, answer: Path) -> None:
    """Go on from ``number`` states with something senseless in them, or from all there are."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of making such tensors
    restoring = Restoring(root, "died")
    newest = restoring.newest
    metrics = (restoring.folder.path / METRICS).read_bytes()
    whole = restoring.go_on()
    state = torch.load(newest / STATE, weights_only=True)
    kept = newest.rename(newest.with_name("kept"))
    older = restoring.go_on()
    kept.rename(newest)
    cases = [(at, what, new) for at in places(state) for what, new in changes(state, at).items()]
    cases = random.Random(seed).sample(cases, min(number, len(cases)))
    tally: Counter[str] = Counter()
    for at, what, new in cases:
        (restoring.folder.path / METRICS).write_bytes(metrics)
        replace_state(newest, saved(replaced(state, at, new)))
        try:
            found = restoring.go_on()
        except CifarzooError as error:
            found, restoring.said = "", [str(error)]
        said = " ".join(restoring.said)
        if found == whole and not said:
            tally["of no effect"] += 1
        elif found == older and BACK in said and ADVICE not in said:
            tally["passed over"] += 1
        else:
            tally["wrong"] += 1
            place = ".".join(map(str, at))
            sys.stdout.write(f"{what} at {place}: {said or 'went on without a word'}\n")
    answer.write_text(json.dumps(tally))


def states(budget: Budget) -> Iterator[Outcome]:
    """Damage the newest of several checkpoints."""
    root, number = budget.scratch, budget.take(1000, 100)
    died(root)
    ended = attempt(
        fuzz_states,
        root,
        number,
        budget.seed,
        root / "states.json",
        log=root / "states.log",
        timeout=900,
    )
    tally = json.loads((root / "states.json").read_text()) if ended.code == 0 else {"wrong": 1}
    yield Outcome(
        name="values in a state",
        passed=ended.code == 0 and not tally.get("wrong"),
        figure=", ".join(f"{count} {what}" for what, count in sorted(tally.items()))
        + (f"; {ended.said[-500:]}" if tally.get("wrong") else ""),
        counts={FAULTS: sum(tally.values()), WRONG: tally.get("wrong", 0)},
    )


CHECKS = (Check(id="C6", title="a run's files, whole by their digests and senseless", run=states),)
