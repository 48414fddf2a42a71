# ruff: noqa: E501  # a case is easiest to read on a line

"""Row 71: runs whose files are whole by their digests and say what no run can have written."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.trust.bad_input.case import Case
from tests.trust.bad_input.folders import DONE, after, newest, unfinished

ROW = 71


def record(**changes: Any) -> Callable[[Path], None]:
    """Change entries of run.json."""

    def change(run: Path) -> None:
        there = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({**there, **changes}))

    return change


def sealed(run: Path, data: bytes, **changes: Any) -> None:
    """Put another state, and other entries, into the newest checkpoint, with their digests."""
    path = newest(run)
    (path / "state.pt").write_bytes(data)
    body = (path / "manifest.json").read_text().rstrip("\n").rpartition("\n")[0]
    facts = {"state.pt": {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}}
    body = json.dumps({**json.loads(body), "files": facts, **changes})
    digest = hashlib.sha256(body.encode()).hexdigest()
    (path / "manifest.json").write_text(f"{body}\n{digest}\n")


def state(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Change the newest state, and make its digests right again."""

    def both(run: Path) -> None:
        import torch

        file = io.BytesIO()
        torch.save(change(torch.load(newest(run) / "state.pt", weights_only=True)), file)
        sealed(run, file.getvalue())

    return both


def numbers(**changes: Any) -> Callable[[Path], None]:
    """Change how far training had come."""
    return state(lambda s: {**s, "numbers": {**s["numbers"], **changes}})


def whole_numbers(there: dict[str, Any]) -> dict[str, Any]:
    """Weights that are whole numbers."""
    return {**there, "model": {name: weight.int() for name, weight in there["model"].items()}}


def manifest(**changes: Any) -> Callable[[Path], None]:
    """Change the newest manifest, and make its digest right again."""
    return lambda run: sealed(run, (newest(run) / "state.pt").read_bytes(), **changes)


def tested(name: str, says: str, change: Callable[[Path], None]) -> Case:
    """A test of a run whose newest checkpoint makes no sense, and another one does."""
    words = rf"{says}.*; going back to the checkpoint before it"
    return after(ROW, name, words, change, "eval", "r", exit_code=0, prints=DONE)


def refused(
    name: str, says: str, change: Callable[[Path], None], *command: str, **more: Any
) -> Case:
    """A run that is refused for its record or its metrics."""
    return after(ROW, name, rf"^{says}; put back what the run wrote", change, *command, **more)


def metrics(line: bytes) -> Callable[[Path], None]:
    """Have another first line of metrics."""

    def add(run: Path) -> None:
        path = run / "metrics.jsonl"
        path.write_bytes(line + b"\n" + path.read_bytes())

    return unfinished(add)


CASES = [
    tested("a step of -1e12", r"state\.pt has numbers\.step -1000000000000; expected at least 0", numbers(step=-(10**12))),
    tested("a text for a step", r"state\.pt has numbers\.step 'two'; expected a whole number", numbers(step="two")),
    tested("10**400 seconds", r"state\.pt has numbers\.train_seconds 10*; expected", numbers(train_seconds=10**400)),
    tested("True for a number of losses", r"state\.pt has numbers\.loss_steps True; expected a whole", numbers(loss_steps=True)),
    tested("a negative size of the metrics", r"state\.pt has metrics_size -5; expected at least 0", state(lambda s: {**s, "metrics_size": -5})),
    tested("a list for a state", r"state\.pt holds \[1\]; expected a dict", state(lambda _: [1])),
    tested("a state without a model", r"state\.pt has no model", state(lambda s: {k: v for k, v in s.items() if k != "model"})),
    tested("weights that are whole numbers", r"step-\d+ does not fit this run: model\.\S+ is a tensor of torch\.int32 there", state(whole_numbers)),
    tested("sparse weights", r"state\.pt has model\.\S+, which has the layout torch\.sparse", state(lambda s: {**s, "model": {n: w.to_sparse() if w.ndim else w for n, w in s["model"].items()}})),
    tested("weights that are not finite", r"state\.pt has model\.\S+, which is not finite", state(lambda s: {**s, "model": {n: w * float("nan") for n, w in s["model"].items()}})),
    tested("a manifest with a negative size", r"manifest\.json has files\.state\.pt\.size -1; expected at least 0", manifest(files={"state.pt": {"size": -1, "sha256": "0" * 64}})),
    tested("a manifest with True for 1", r"manifest\.json has format True; expected a whole number", manifest(format=True)),
    refused("a status that there isn't", r"r/run\.json has status 'won'; expected 'running', 'done', .*", record(status="won")),
    refused("a negative number of processes", r"r/run\.json has world_size -2; expected at least 1", record(world_size=-2)),
    refused("NUL in the folder of the data", r"r/run\.json has data_folder 'a\\x00b'; expected a text without NUL", record(data_folder="a\0b")),
    refused("plugins that are a dict", r"r/run\.json has plugins \{.*; expected a list", record(plugins={"x": 1}), "eval", "r"),
    refused("an error of 300 %", r"r/run\.json has test_error 3; expected at most 1", record(test_error=3)),
    refused("a date that is none", r"r/run\.json has started 'yesterday'; expected a date and time", record(started="yesterday")),
    refused("NaN in a record", r"r/run\.json is not JSON: .*", record(train_loss=float("nan"))),
    refused("brackets without end", r"r/run\.json is not JSON: recursion limit exceeded.*", lambda run: (run / "run.json").write_text("[" * 100_000)),
    refused("a text for a loss in the metrics", r"line 1 of r/metrics\.jsonl has test_loss 'low'; expected a number", metrics(b'{"test_loss": "low"}'), leaves=("r/run.json",)),
]  # fmt: skip
