"""Training starts from weights of a file or a run, which aren't needed after that."""

from __future__ import annotations

import hashlib
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cifarzoo.engine.events import Event
from cifarzoo.engine.initial_weights import read_initial_weights
from cifarzoo.engine.runner import execute
from cifarzoo.errors import ConfigError, UsageError
from cifarzoo.zoo.regularizers.average.ema import ema
from cifarzoo.zoo.regularizers.branch.stochastic_depth import stochastic_depth
from tests.tiny import evaluated, messages, tiny_net


def network(**sizes: Any) -> nn.Module:
    torch.manual_seed(7)
    return tiny_net(10, lambda make_path, _site: make_path(), **sizes)


def stopped() -> Any:
    """A rate of zero: what is trained stays as it was."""
    return lambda _timestamp: 0.0


def weights_of(task: Any) -> dict[str, Tensor]:
    """The parameters in the newest checkpoint."""
    newest = sorted(task.open_folder().checkpoints.glob("step-*"))[-1]
    state: dict[str, Any] = torch.load(newest / "state.pt", weights_only=True)
    return {n: t for n, t in state["model"].items() if "running" not in n and "num_" not in n}


WRAPPED = {
    "plain": lambda state: state,
    "of DataParallel": lambda state: {f"module.{n}": t for n, t in state.items()},
    "of torch.compile": lambda state: {f"_orig_mod.{n}": t for n, t in state.items()},
    "of Lightning": lambda state: {"state_dict": {f"model.net.{n}": t for n, t in state.items()}},
    "in a checkpoint": lambda state: {"epoch": 3, "model_state_dict": state},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_training_starts_from_the_weights_of_a_file(task, tmp_path, wrap):
    file, state = tmp_path / "w.pt", network().state_dict()
    torch.save(wrap(state), file)
    events: list[Event] = []
    done = task("run", initial_weights=str(file), schedule=stopped, epochs=1)

    execute(done, [events.append])

    found = weights_of(done)
    assert all(torch.equal(found[name], state[name]) for name in found)
    assert done.open_folder().record["initial_weights"]["loaded"] == len(state)
    assert messages(events) == []


def test_training_starts_from_the_averaged_weights_of_a_run_with_or_without_droppers(task):
    first = task("first", regularizers=[stochastic_depth, partial(ema, decay=0.5)], max_steps=3)
    execute(first)
    path = str(first.open_folder().path)
    second = task("second", initial_weights=path, schedule=stopped, epochs=1)

    execute(second)

    averaged = torch.load(
        first.open_folder().checkpoints / "step-00000003/state.pt", weights_only=True
    )["averaged"]
    found = weights_of(second)
    assert all(torch.equal(found[name], averaged[name]) for name in found)


def test_they_are_not_needed_once_there_is_a_checkpoint(task, tmp_path):
    file = tmp_path / "w.pt"
    torch.save(network().state_dict(), file)
    settings: dict[str, Any] = {"initial_weights": str(file), "max_steps": 6, "checkpoint_steps": 3}
    whole = execute(task("whole", **settings))
    done = task("done", **settings)
    execute(done)
    folder = done.open_folder()
    shutil.rmtree(folder.checkpoints / "step-00000006")
    folder.update(status="stopped")
    file.unlink()

    assert execute(done).weights_sha256 == whole.weights_sha256
    assert evaluated(done).weights_sha256 == whole.weights_sha256
    assert folder.record["initial_weights"]["path"] == str(file)


def test_what_does_not_match_is_said(task, tmp_path):
    file, state = tmp_path / "w.pt", dict(network().state_dict())
    state["head.weight"] = torch.zeros(100, 8)
    del state["head.bias"]
    torch.save({**state, "fc.bias": torch.zeros(3)}, file)
    events: list[Event] = []
    done = task("run", initial_weights=str(file), epochs=1)

    execute(done, [events.append])

    [message] = messages(events)
    total = len(network().state_dict())
    assert message == (
        f"{total - 2} of {total} tensors start as in {file}; 1 of another shape (head.weight is "
        "(100, 8) there and (10, 8) here); 1 not there, so as it was built (head.bias); 1 not of "
        "this network (fc.bias)"
    )


def test_the_digest_is_of_the_file(tmp_path):
    file = tmp_path / "w.pt"
    torch.save(network().state_dict(), file)

    assert read_initial_weights(str(file)).sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


REFUSED = {
    "nothing there": (
        lambda _file: None,
        r"initial_weights is '.*', which cannot be read: No such",
    ),
    "no weights": (
        lambda file: file.write_text("x"),
        r"which is no file of weights: .*torch\.save",
    ),
    "no tensors": (
        lambda file: torch.save({"epoch": 3}, file),
        r"which holds no weights by name; expected a state dict",
    ),
    "another network": (
        lambda file: torch.save({"a.b": torch.zeros(2)}, file),
        r"which has no weights of this network: there a\.b; expected names such as stem\.0\.weight",
    ),
    "a folder": (lambda file: file.mkdir(), r"which is a folder without checkpoints; expected the"),
}


@pytest.mark.parametrize(("write", "message"), REFUSED.values(), ids=REFUSED)
def test_what_holds_no_weights_is_refused_before_the_data_are_read(task, tmp_path, write, message):
    file: Path = tmp_path / "w.pt"
    write(file)

    with pytest.raises(ConfigError, match=message):
        execute(task("run", initial_weights=str(file)))


def test_a_home_folder_that_there_is_not_is_refused_in_words():
    with pytest.raises(UsageError, match=r"'~nouser/w.pt': there is no home folder ~nouser; "):
        read_initial_weights("~nouser/w.pt")
