"""``train`` and ``resume`` from Python: what they give, refuse, and leave as it was."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cifarzoo
from cifarzoo import config, register
from cifarzoo.errors import ConfigProblemsError, PluginError, UsageError

TINY = """run.architecture = @resnet8
resnet8.stem_stride = 2
run.dataset = @glyphs
glyphs.train_images = 48
glyphs.test_images = 20
run.optimizer = @sgd
sgd.lr = 0.05
run.schedule = @cosine
run.batch_size = 16
run.epochs = 2
run.precision = 'float32'
"""
PLUGIN = '''
from cifarzoo import register

@register.schedule
def slow():
    """A tenth of the rate, always."""
    return lambda moment: 0.1
'''


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fading() -> Iterator[Any]:
    """A schedule that a notebook's cell registered."""

    def fading(*, factor: float = 0.5) -> Any:
        return lambda _moment: factor

    fading.__module__ = "__main__"
    register.schedule(fading)
    yield fading
    register.forget("fading")


def train(source: Any = TINY, **options: Any) -> cifarzoo.api.result.Result:
    return cifarzoo.train(source, progress=False, **options)


def script(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    Path("script.py").write_text(text)
    command = [sys.executable, "script.py", *arguments]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # as here: threads decide bits
    return subprocess.run(command, capture_output=True, text=True, check=False, env=one_thread)


# What it gives


def test_a_path_a_name_and_a_text_are_the_same_run(tmp_path):
    (tmp_path / "tiny.gin").write_text(TINY)
    settings = {"run.epochs": 1}

    results = [train(each, set=settings) for each in (TINY, "tiny.gin", Path("tiny.gin"))]
    loaded = config.load(TINY)
    results.append(train(loaded, set=settings))

    assert len({result.weights_sha256 for result in results}) == 1
    assert [result.path.parts[:2] for result in results[:2]] == [
        ("runs", "config"),
        ("runs", "tiny"),
    ]


def test_a_result_is_what_the_folder_and_the_command_line_say(tmp_path):
    (tmp_path / "tiny.gin").write_text(TINY)
    result = train("tiny.gin", seed=3, out="mine")
    command = [sys.executable, "-m", "cifarzoo", "run", "tiny.gin", "--seed", "3", "--json"]

    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # as the tests have
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=one_thread)

    theirs = json.loads(done.stdout.splitlines()[-1])
    record = json.loads((result.path / "run.json").read_text())
    for told in (theirs, record):
        assert (told["test_error"], told["test_loss"]) == (result.test_error, result.test_loss)
        assert told["steps"] == result.steps == 6
    assert record["weights_sha256"] == result.weights_sha256
    assert result.path.parts[:2] == ("mine", "tiny")
    assert (result.validation_error, result.validation_loss, result.tta_test) == (None, None, None)


def test_a_result_shows_its_numbers_and_its_path():
    result = train(set={"run.validation_images": 16, "run.epochs": 1}, run_dir="r")

    assert repr(result) == (
        f"Result(test_error={result.test_error:.4g}, test_loss={result.test_loss:.4g}, "
        f"validation_error={result.validation_error:.4g}, steps=2, "
        f"train_seconds={result.train_seconds:.1f}, path='r')"
    )


def test_values_are_pythons_and_texts_with_an_at_are_references():
    settings = {
        "run.epochs": 1,
        "run.regularizers": ["@ema", "@mixup"],
        "mixup.alpha": 1.0,
        "run.clip_norm": None,
        "run.max_steps": 1,
    }

    text = cifarzoo.load_run(train(set=settings).path).config.text()

    assert "run.regularizers = [@regularizer.ema, @regularizer.mixup]\n" in text
    assert "regularizer.mixup.alpha = 1.0\n" in text
    assert "run.clip_norm = None\n" in text


def test_plugins_are_used_and_kept(tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN)
    settings = {"run.schedule": "@slow", "run.max_steps": 1}

    result = train(set=settings, plugins=["mine.py"])
    plugin.unlink()

    assert cifarzoo.evaluate(result).weights_sha256 == result.weights_sha256


def test_lines_go_to_stderr_and_a_function_is_given_dicts(capsys):
    events: list[dict[str, Any]] = []
    settings = {"run.epochs": 1}

    cifarzoo.train(TINY, set=settings, progress=events.append)
    assert capsys.readouterr() == ("", "")
    result = cifarzoo.train(TINY, set=settings)

    kinds = [event["event"] for event in events]
    assert [kind for kind in kinds if kind != "step"] == ["start", "epoch", "checkpoint", "result"]
    out, err = capsys.readouterr()
    first, epoch, last = err.splitlines()
    assert out == ""
    assert first.startswith("config: 78,042 parameters, glyphs (synthetic, not CIFAR), 3 steps on ")
    assert epoch.startswith("epoch 1/1  train loss ")
    error = f"test error {100 * result.test_error:.2f} %"
    assert last == f"{error}; everything is in {result.path}"


# What a script or notebook registered


def test_a_component_of_a_cell_is_used_and_running_the_cell_again_replaces_it(fading):
    settings = {"run.schedule": "@fading", "run.max_steps": 2}
    first = train(set=settings)

    def again() -> Any:
        return lambda _moment: 0.5

    again.__name__, again.__module__ = "fading", "__main__"
    register.schedule(again)
    second = train(set=settings)
    third = train(set={"run.schedule": "@constant", "sgd.lr": 0.025, "run.max_steps": 2})

    assert first.weights_sha256 == second.weights_sha256 == third.weights_sha256


def test_resuming_with_another_source_of_it_is_refused(fading):
    settings = {"run.schedule": "@fading", "run.max_steps": 1}
    train(set=settings, run_dir="r")
    Path("r/run.json").write_text(Path("r/run.json").read_text().replace('"done"', '"stopped"'))

    def again() -> Any:
        return lambda _moment: 0.25

    again.__name__, again.__module__ = "fading", "__main__"
    register.schedule(again)

    with pytest.raises(
        UsageError,
        match=r"^r holds a run of other plugin code: fading has SHA-256 \w{12}… there and fading "
        r"has SHA-256 \w{12}… here; bring back the code that it began with, or",
    ):
        cifarzoo.resume("r")


@pytest.mark.usefixtures("fading")
def test_with_several_processes_it_is_refused_in_words():
    with pytest.raises(
        UsageError, match=r"^fading was registered by this script or notebook .* put"
    ):
        train(set={"run.schedule": "@fading"}, nproc=2)
    assert not Path("runs").exists()


def test_a_run_of_another_session_names_what_it_needs(fading):
    result = train(set={"run.schedule": "@fading", "run.max_steps": 1})
    register.forget(fading.__name__)

    with pytest.raises(
        UsageError, match=r" needs fading, registered by the script or notebook that"
    ):
        cifarzoo.load_run(result)


def test_a_script_without_a_guard_trains_on_two_processes_once():
    text = f"""
import cifarzoo
print(cifarzoo.train({TINY!r}, set={{"run.max_steps": 2}}, nproc=2).steps)
"""
    done = script(text)

    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
    assert len(list(Path("runs/config").iterdir())) == 1


# Stopping


STOPPING = f"""
import os, signal, sys
import cifarzoo

class Stopping:
    def __init__(self, *numbers): self.numbers = list(numbers)
    def __call__(self, event):
        if event["event"] == "epoch" and self.numbers:
            for number in self.numbers: os.kill(os.getpid(), number)
            self.numbers = []

def stop(*numbers):
    try:
        cifarzoo.train({TINY!r}, run_dir="r", progress=Stopping(*numbers))
    except BaseException as error:
        print(type(error).__name__, error)

stop(signal.SIGINT)
stop(signal.SIGUSR1)
print(cifarzoo.resume("r", progress=False).steps)
stop(signal.SIGINT, signal.SIGINT)
"""


def test_ctrl_c_saves_and_raises_and_the_same_call_goes_on():
    whole = train()
    text = STOPPING.replace("stop(signal.SIGUSR1)\n", "").rpartition("stop(")[0]

    done = script(text)

    assert done.stdout.splitlines() == [
        "KeyboardInterrupt stopped by SIGINT after step 4 of 6, with a checkpoint; "
        "cifarzoo.resume('r') goes on",
        "6",
    ]
    assert cifarzoo.load_run("r").result.weights_sha256 == whole.weights_sha256


def test_another_signal_is_a_stopped_error():
    text = STOPPING.replace("stop(signal.SIGINT)\n", "").partition("print(cifarzoo")[0]

    assert script(text).stdout.startswith("StoppedError stopped by SIGUSR1 after step 4 of 6, with")


def test_a_second_ctrl_c_raises_at_once():
    text = STOPPING.partition("stop(signal.SIGINT)\n")[0] + "stop(signal.SIGINT, signal.SIGINT)\n"

    assert script(text + "print('lives')").stdout == "KeyboardInterrupt \nlives\n"


# Where it is called from


def test_it_trains_in_a_running_event_loop_and_in_another_thread():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    settings = {"run.max_steps": 1}
    results = []

    async def cell() -> None:
        results.append(train(set=settings))

    asyncio.run(cell())
    thread = threading.Thread(target=lambda: results.append(train(set=settings)))
    thread.start()
    thread.join()

    first, second = results
    assert first.weights_sha256 == second.weights_sha256
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def drawn() -> list[float]:
    """Numbers from everybody's generators; half of a pair of normals is left in NumPy's."""
    return [float(torch.rand(())), np.random.normal(), random.random()]  # noqa: NPY002


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.PCG64])
def test_the_callers_generators_change_nothing_and_come_back(kind):
    plain = np.random.get_bit_generator()
    try:
        np.random.set_bit_generator(kind(5))
        random.seed(5)
        torch.manual_seed(5)
        drawn()
        expected = drawn()

        np.random.set_bit_generator(kind(5))
        random.seed(5)
        torch.manual_seed(5)
        drawn()
        train(set={"run.max_steps": 1})

        assert drawn() == expected
    finally:
        np.random.set_bit_generator(plain)


def test_what_the_caller_set_of_torch_changes_nothing_and_comes_back():
    settings = {"run.max_steps": 2}
    plain = train(set=settings)
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    torch.manual_seed(11)
    expected = torch.rand(3)

    torch.manual_seed(11)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        with torch.inference_mode():
            result = train(set=settings)
            run = cifarzoo.load_run(result)
            assert next(run.model.parameters()).dtype is torch.float32
            assert run.evaluate().test_error == result.test_error
            assert torch.is_inference_mode_enabled()
        assert torch.get_default_dtype() is torch.float64
        assert torch.get_default_device().type == "meta"
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)

    assert torch.equal(torch.rand(3), expected)
    assert (torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()) == before
    assert result.weights_sha256 == plain.weights_sha256


def test_folders_of_the_environment_are_those_of_the_command_line(monkeypatch, tmp_path):
    monkeypatch.setenv("CIFARZOO_RUNS", "elsewhere")
    monkeypatch.setenv("CIFARZOO_DATA", str(tmp_path / "nowhere"))

    result = train(set={"run.max_steps": 1})

    assert result.path.parts[0] == "elsewhere"
    assert cifarzoo.load_run("latest").path == result.path
    record = json.loads((result.path / "run.json").read_text())
    assert record["data_folder"] == str(tmp_path / "nowhere")


# What is refused


REFUSED: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "type": (3, {}, UsageError, r"^the config is of the type int; expected a path, the name of"),
    "name": ("quickstar", {}, ConfigProblemsError, r"^no config 'quickstar' in .*; did you mean "),
    "sets": (TINY, {"set": ["a=1"]}, UsageError, r"^set is \['a=1'\]; expected values by name, "),
    "value": (
        TINY,
        {"set": {"run.epochs": 1.5}},
        ConfigProblemsError,
        r"^set\['run.epochs'\]: run.epochs is 1.5; expected a whole number$",
    ),
    "seed": (TINY, {"seed": "a"}, ConfigProblemsError, r"^seed: run.seed is 'a'; expected a whole"),
    "one plugin": (TINY, {"plugins": "a.py"}, UsageError, r"^plugins is 'a.py'; .* \['a.py'\]$"),
    "plugin": (TINY, {"plugins": ["a.py"]}, PluginError, r"^no plugin file 'a.py'"),
    "nproc": (TINY, {"nproc": 0}, UsageError, r"^nproc is 0; expected a whole number of at leas"),
    "many": (TINY, {"nproc": 9999}, UsageError, r"^nproc is 9999, and this machine has"),
    "restarts": (TINY, {"max_restarts": -1}, UsageError, r"^max_restarts is -1; expected a whole"),
    "another": (TINY, {"run_dir": "."}, UsageError, r"^\. holds other files; expected an empty fo"),
}


@pytest.mark.parametrize(("source", "options", "kind", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_said_in_words(source, options, kind, message):
    Path("file").touch()

    with pytest.raises(kind, match=message):
        train(source, **options)


def test_plugins_beside_a_loaded_config_are_refused():
    with pytest.raises(UsageError, match=r"^plugins go with a config that is read; a loaded one"):
        train(config.load(TINY), plugins=["a.py"])


def test_progress_that_is_none_is_refused():
    with pytest.raises(UsageError, match=r"^progress is 3; expected True, False or a function$"):
        cifarzoo.train(TINY, progress=3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^progress is a function that the processes of nproc"):
        cifarzoo.train(TINY, nproc=2, progress=lambda _event: None)


def test_what_an_imported_module_registered_is_said_to_need_naming(tmp_path, monkeypatch):
    path = tmp_path / "my_schedules.py"
    path.write_text(PLUGIN.replace("slow", "modular"))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("my_schedules")

    with pytest.raises(ConfigProblemsError, match=r"no component 'modular'; ") as caught:
        cifarzoo.train(TINY, set={"run.schedule": "@modular"}, progress=False)

    assert str(caught.value).endswith(
        f"{path}:4 registered it, in a module that was imported; configs know the components of "
        f"files that are named: plugins=[{str(path)!r}]"
    )
    named = config.load(TINY, values={"run.schedule": "@modular"}, plugins=[path])
    assert named.build().schedule is not None
