"""C6: a run's state, manifest, record and metrics that are whole by their digests and senseless.

Each value in turn is replaced by others that no run can have written, or taken out, and the digests
are made right again. A checkpoint has to be passed over then, unless the value has no effect.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from typer.testing import CliRunner

from cifarzoo import load_run
from cifarzoo.cli.app import app
from cifarzoo.engine.checkpoint import Checkpoints
from cifarzoo.engine.device.precision import choose
from cifarzoo.engine.distributed.signals import StopRequest
from cifarzoo.engine.distributed.world import init_distributed
from cifarzoo.engine.events import WarningEvent
from cifarzoo.engine.resume import DECIDE_BITS, restore
from cifarzoo.engine.step_graph import step_graph
from cifarzoo.engine.training import Training, open_session, prepare
from cifarzoo.errors import CifarzooError
from cifarzoo.run_folders.folder import MANIFEST, METRICS, RECORD, STATE
from tests.tiny import tiny_task
from tests.trust.attempts import attempt
from tests.trust.bad_input.folders import finished
from tests.trust.cases import FAULTS, WRONG, Budget, Check, Outcome
from tests.trust.damage import KEPT, died, replace_state, saved
from tests.trust.senseless_values import changes, places, replaced
from tests.trust.workload import digest

COMMANDS = (
    ("show", "r/config.gin"),
    ("compare", "r/config.gin", "quickstart.gin"),
    ("eval", "latest", "--out", "."),
    ("eval", "r"),
    ("resume", "r"),
)
UNFINISHED = 0.5  # share of the runs that have no result yet
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
        restore(
            Training(
                setup=self._setup,
                data=self._data,
                state=self._state,
                session=session,
                graph=step_graph(self._setup, self._note),
            )
        )
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
    died(budget.scratch)
    yield _fuzzed(budget, fuzz_states, "values in a state", (1000, 100))


def fuzz_commands(root: Path, number: int, seed: int, answer: Path) -> None:
    """Ask commands about a run after each of ``number`` changes of what JSON it has."""
    torch.set_num_threads(1)
    os.chdir(root)
    shutil.copytree(finished(), root / "whole")
    draws = random.Random(seed)
    files = _json_files(root / "whole")
    cases = [
        (file, at, what, new)
        for file, value in files.items()
        for at in places(value)
        for what, new in changes(value, at).items()
    ]
    tally: Counter[str] = Counter()
    for file, at, what, new in draws.sample(cases, min(number, len(cases))):
        shutil.rmtree(root / "r", ignore_errors=True)
        shutil.copytree(root / "whole", root / "r")
        if draws.random() < UNFINISHED:
            record = files[RECORD] | {"status": "running"}
            (root / "r" / RECORD).write_text(json.dumps(record))
        _write_json(root / "r", file, replaced(_json_files(root / "r")[file], at, new))
        found = list(_problems(root / "r"))
        tally["wrong" if found else "answered or refused"] += 1
        for problem in found:
            sys.stdout.write(f"{what} at {file} {'.'.join(map(str, at))}: {problem}\n")
    answer.write_text(json.dumps(tally))


def _json_files(run: Path) -> dict[str, Any]:
    """What run.json, the metrics and the newest manifest say."""
    manifest = max((run / "checkpoints").iterdir()) / MANIFEST
    return {
        RECORD: json.loads((run / RECORD).read_text()),
        METRICS: [json.loads(line) for line in (run / METRICS).read_text().splitlines()],
        MANIFEST: json.loads(manifest.read_text().rstrip("\n").rpartition("\n")[0]),
    }


def _write_json(run: Path, file: str, value: Any) -> None:
    """Write one of them, with its digest where it has one."""
    body = json.dumps(value)
    if file == MANIFEST:
        sha256 = hashlib.sha256(body.encode()).hexdigest()
        path = max((run / "checkpoints").iterdir()) / MANIFEST
        path.write_text(f"{body}\n{sha256}\n")
    elif file == METRICS:
        (run / METRICS).write_text("".join(f"{json.dumps(line)}\n" for line in value))
    else:
        (run / RECORD).write_text(body)


def _problems(run: Path) -> Iterator[str]:
    """What is wrong with what commands, and Python, say of a run."""
    before = _content(run)
    for command in COMMANDS:
        done = CliRunner().invoke(app, list(command), prog_name="cifarzoo")
        if not isinstance(done.exception, SystemExit | None):
            yield f"{command[0]} raised {done.exception!r}"
        if done.exit_code not in (0, 2):
            yield f"{command[0]} ended with {done.exit_code}: {done.output[-200:]!r}"
        if ADVICE in done.output:
            yield f"{command[0]} advises to run code"
        if command[0] != "resume" and _content(run) != before:
            yield f"{command[0]} changed the folder"
    gone = [name for name in before if not Path(name).exists()]
    if gone:
        yield f"resume deleted {gone}"
    for name in ("status", "result", "history", "model"):
        with suppress(CifarzooError):
            getattr(load_run(run), name)


def _content(run: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def all_files(budget: Budget) -> Iterator[Outcome]:
    """States are loaded by the engine; of runs with other files all commands are asked."""
    yield from states(budget)
    yield _fuzzed(budget, fuzz_commands, "values in run.json, metrics and manifest", (120, 10))


def _fuzzed(
    budget: Budget, work: Callable[..., None], name: str, numbers: tuple[int, int]
) -> Outcome:
    root, number = budget.scratch, budget.take(*numbers)
    answer, log = root / f"{work.__name__}.json", root / f"{work.__name__}.log"
    ended = attempt(work, root, number, budget.seed, answer, log=log, timeout=900)
    tally = json.loads(answer.read_text()) if ended.code == 0 else {"wrong": 1}
    wrong = tally.get("wrong", 0)
    figure = ", ".join(f"{count} {what}" for what, count in sorted(tally.items()))
    return Outcome(
        name=name,
        passed=not wrong,
        figure=figure + f"; {ended.said[-500:]}" * bool(wrong),
        counts={FAULTS: sum(tally.values()), WRONG: wrong},
    )


CHECKS = (
    Check(id="C6", title="a run's files, whole by their digests and senseless", run=all_files),
)
