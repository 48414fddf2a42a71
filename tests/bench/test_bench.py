"""``bench``: what is measured, in which order, beside what; and that nothing is kept."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from cifarzoo import config
from cifarzoo.bench.harness import Harness, bare_step, build_harness, read_once
from cifarzoo.bench.spreads import rate, ratio
from cifarzoo.bench.timing import Sample, Work, interleave
from cifarzoo.bench.variants import Variant, variants
from cifarzoo.cli.app import app
from cifarzoo.engine.distributed.world import World
from cifarzoo.engine.loop import advance
from cifarzoo.errors import UsageError

SMALL = ["glyphs.train_images=96", "glyphs.test_images=40", "run.batch_size=32"]
CPU = torch.device("cpu")


def bench(*options: object) -> Any:
    sets = [word for setting in SMALL for word in ("-s", setting)]
    return CliRunner().invoke(app, ["bench", "quickstart.gin", *sets, *map(str, options)])


def harness(variant: Variant | None = None, *sets: str) -> Harness:
    run = config.load("quickstart.gin", sets=[*SMALL, *sets]).build()
    variant = variant or Variant(name="recipe")
    return build_harness(run, variant, data=None, world=World(0, 1, CPU))


def resnet8_flops() -> int:
    """Of an image in a step of quickstart's network, added up by hand."""
    stem = 2 * 16 * 16 * 16 * 3 * 9
    first = 2 * (2 * 16 * 16 * 16 * 16 * 9)
    second = 2 * 8 * 8 * 32 * (16 * 9 + 32 * 9 + 16)
    third = 2 * 4 * 4 * 64 * (32 * 9 + 64 * 9 + 32)
    head = 2 * 64 * 10
    return 2 * stem + 3 * (first + second + third + head)  # images get no gradient


# What is compared


def test_the_recipe_comes_first_and_is_compared_with_the_bare_loop_unless_told_otherwise():
    assert [(v.name, v.is_bare) for v in variants([])] == [("recipe", False), ("bare", True)]


def test_a_variant_joins_policies_and_settings():
    _, variant = variants(["nchw; threads=1; bfloat16; sgd.lr=0.2; bare"])
    settings = ("run.precision='bfloat16'", "sgd.lr=0.2")
    expected = Variant(name="", settings=settings, is_bare=True, channels_last=False, threads=1)
    assert variant == expected
    assert variant.name == "nchw; threads=1; bfloat16; sgd.lr=0.2; bare"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["nwch"], "no policy named 'nwch'; did you mean nchw?"),
        (["fast"], "no policy named 'fast'; expected bare, nchw, threads=N, .*setting NAME=VALUE"),
        ([" ; "], "--policy ' ; ' says nothing; expected bare"),
        (["threads=0"], r"--policy threads is '0'; expected 1 to the \d+ cores"),
        (["threads=two"], r"--policy threads is 'two'; expected 1 to the \d+ cores"),
        (["threads=100000"], r"--policy threads is '100000'; expected 1 to the \d+ cores"),
        (["nchw", " nchw;"], "--policy ' nchw;' is the same as 'nchw'; expected each once"),
    ],
)
def test_a_policy_that_says_nothing_new_is_refused(texts: list[str], message: str):
    with pytest.raises(UsageError, match=message):
        variants(texts)


# How it is measured


def test_samples_are_taken_in_turns_and_numbered():
    done: list[str] = []

    def job(name: str) -> Work:
        done.append(f"ready {name}")
        return lambda: float(len(done) if done.append(name) is None else 0)

    samples = interleave({"a": lambda: job("a"), "b": lambda: job("b")}, rounds=2, device=CPU)

    assert done == ["ready a", "a", "ready b", "b"] * 2
    assert [(s.round, s.order, s.amount) for s in samples["a"]] == [(0, 0, 2.0), (1, 2, 6.0)]
    assert [(s.round, s.order, s.amount) for s in samples["b"]] == [(0, 1, 4.0), (1, 3, 8.0)]


def sample(amount: float, wall: float, cpu: float = 1.0) -> Sample:
    return Sample(round=0, order=0, amount=amount, wall_seconds=wall, cpu_seconds=cpu)


def test_rates_are_medians_and_ratios_are_of_the_same_round():
    a = [sample(10, 1), sample(10, 5), sample(10, 2)]
    b = [sample(5, 1), sample(5, 5), sample(5, 1)]  # the second round was slow for both
    assert rate(a, "wall_seconds") == {"median": 5, "low": 2, "high": 10}
    assert ratio(a, b, "wall_seconds") == {"median": 2, "low": 1, "high": 2}
    assert ratio(a, b, "cpu_seconds") == {"median": 2, "low": 2, "high": 2}


def test_operations_are_those_of_a_count_by_hand():
    assert harness().flops == resnet8_flops()


def test_the_bare_loop_does_what_the_engine_does_bit_for_bit():
    engine, bare = harness(), harness()
    before = bare.training.data.batches(bare.training.state.step)

    advance(engine.training)
    bare.training.state.set_rate(0.0)
    engine_rate = engine.training.state.rate
    for group in bare.training.state.optimizer.param_groups:
        group["lr"] = engine_rate
    bare_step(bare.training, *before)

    ours, theirs = (r.training.state.model.state_dict() for r in (engine, bare))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_nchw_is_what_the_first_layer_gets():
    layouts: list[bool] = []
    for variant in variants(["nchw"]):
        made = harness(variant)
        made.training.state.model.stem.register_forward_pre_hook(
            lambda _, args: layouts.append(args[0].is_contiguous())
        )
        made.train(1)()
    assert layouts == [False, True]


def test_threads_are_as_asked_while_it_is_measured_and_as_they_were_after():
    before = torch.get_num_threads()
    threads = 1 if before > 1 else min(2, os.cpu_count() or 1)
    made = harness(variants([f"threads={threads}"])[1])
    seen: list[int] = []
    made.training.state.model.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    assert made.train(1)() == 32
    assert (seen, torch.get_num_threads()) == ([threads], before)


def test_measuring_starts_anew_where_the_run_ends():
    made = harness(None, "run.max_steps=3")
    assert [(made.train(2)(), made.training.state.step) for _ in range(3)] == [(64, 2)] * 3


def test_a_dataset_is_read_once_for_all_variants():
    run = config.load("quickstart.gin", sets=SMALL).build()
    shared = read_once(run.dataset)
    one, other = shared(folder=None), shared(folder=None)
    assert one.load()[0] is other.load()[0]
    assert one.load()[0].images.tobytes() == run.dataset(folder=None).load()[0].images.tobytes()


# The command


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a small benchmark wrote, what it printed and what it left behind."""
    folder = tmp_path_factory.mktemp("bench")
    before = Path.cwd()
    os.chdir(folder)
    try:
        options = ["--policy", "bare", "--vary", "sgd.lr=0.1", "--rounds", 2, "--steps", 1]
        result = bench(*options, "--out", "found.json")
    finally:
        os.chdir(before)
    assert result.exit_code == 0, result.output
    written = json.loads((folder / "found.json").read_text())
    return {"json": written, "shown": result.stdout, "left": os.listdir(folder)}  # noqa: PTH208


def test_nothing_is_left_but_the_file_that_was_asked_for(found):
    assert found["left"] == ["found.json"]


def test_the_json_says_what_was_measured_on_what(found):
    report = found["json"]
    assert report["name"] == "quickstart"
    assert config.from_text(report["config"]).text() == report["config"]
    assert report["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert report["machine"]["cores"] == os.cpu_count()
    assert {"git", "python", "created", "load_average", "device"} <= report.keys()
    names = [(row["name"], row["settings"], row["is_bare"]) for row in report["variants"]]
    assert names == [
        ("recipe", [], False),
        ("bare", [], True),
        ("sgd.lr=0.1", ["sgd.lr=0.1"], False),
    ]


def test_the_json_has_each_sample_in_the_order_of_measuring(found):
    rows, [rates] = found["json"]["variants"], found["json"]["rates"]
    of_round = [
        *(row["training"]["samples"] for row in rows),
        *(rates[what]["samples"] for what in ("matmul", "convolution")),
    ]
    for row in rows:
        of_round += [row[part]["samples"] for part in ("batches", "evaluation") if row[part]]
    in_order = [samples[number] for number in range(2) for samples in of_round]
    assert [s["order"] for s in in_order] == list(range(2 * len(of_round)))
    assert {s["amount"] for row in rows for s in row["training"]["samples"]} == {32}
    assert [s["amount"] for s in rows[0]["evaluation"]["samples"]] == [32, 32]


def test_the_figures_are_those_of_the_samples(found):
    recipe, bare, _ = found["json"]["variants"]
    [rates] = found["json"]["rates"]

    def speeds(samples: list[dict[str, float]]) -> list[float]:
        return [s["amount"] / s["wall_seconds"] for s in samples]

    ours, theirs, limit = (
        speeds(part["samples"]) for part in (recipe["training"], bare["training"], rates["matmul"])
    )
    assert recipe["training"]["per_second"]["median"] == pytest.approx(sum(ours) / 2)
    shares = [resnet8_flops() * a / b for a, b in zip(ours, limit, strict=True)]
    assert recipe["of_machine"]["matmul"]["wall"]["high"] == pytest.approx(max(shares))
    [overhead] = found["json"]["overheads"]
    longer = [b / a - 1 for a, b in zip(ours, theirs, strict=True)]
    assert overhead["wall"]["low"] == pytest.approx(min(longer))
    assert (overhead["engine"], overhead["bare"]) == ("recipe", "bare")


def test_people_are_shown_a_row_a_variant(found):
    lines = found["shown"].splitlines()
    assert lines[0] == "quickstart"
    assert any(line.split()[:2] == ["engine", "recipe"] for line in lines)
    assert [line.split()[0] for line in lines[-3:]] == ["recipe", "bare", "sgd.lr=0.1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rounds", 0], "--rounds is 0; expected at least 1"),
        (["--steps", 0], "--steps is 0; expected at least 1"),
        (["--steps", 19], "--steps is 19; expected at most the 18 steps of the run"),
        (["--policy", "bear"], "no policy named 'bear'; did you mean bare?"),
        (["--vary", "sgd.lrr=1.0"], "sgd has no parameter 'lrr'; did you mean lr?"),
        (["--policy", "tf32"], "precision is 'tf32', which needs a GPU"),
        (["--out", "."], "--out . is a folder; expected a file"),
        (["--out", "no/such/f.json"], "there is no folder no/such; make it first"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_line(options: list[object], message: str):
    result = bench(*options)
    errors = [line for line in result.stderr.splitlines() if message in line]
    assert (result.exit_code, len(errors)) == (2, 1), result.output


def test_a_result_that_a_full_disk_does_not_take_is_shown_and_the_failure_said():
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    result = bench("--rounds", 1, "--steps", 1, "--out", "/dev/full")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (1, "quickstart")
    assert result.stderr.splitlines()[-1] == (
        "--out /dev/full cannot be written: No space left on device"
    )


def test_a_dataset_that_is_not_there_is_refused_in_a_line(monkeypatch):
    monkeypatch.delenv("CIFARZOO_DATA", raising=False)
    result = CliRunner().invoke(app, ["bench", "resnet20.gin"])
    assert result.exit_code == 2
    assert "CIFAR-10 needs a folder" in result.stderr.splitlines()[-1]
