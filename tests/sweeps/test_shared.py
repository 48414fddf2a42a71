import json
import subprocess
import sys
import time

import pytest

from cifarzoo.errors import UsageError
from cifarzoo.sweeps.storage import open_storage
from tests.command import refuse
from tests.sweeps import postgresql
from tests.sweeps.test_sweep import SMALL, finals

needs_server = pytest.mark.skipif(bool(postgresql.missing()), reason=postgresql.missing())


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.gin"
    path.write_text(SMALL)
    return path


def start(*command):
    """A sweep in a process; ``ended`` waits for it."""
    return subprocess.Popen(
        [sys.executable, "-m", "cifarzoo", "sweep", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    """What a sweep that has to be done wrote to stdout and stderr."""
    told = process.communicate(timeout=250)
    assert process.returncode == 0, told[1]
    return told


@needs_server
def test_hosts_pull_cells_from_one_database_which_goes_away_and_comes_back(small, tmp_path):
    command = (small, "--vary", "sgd.lr=.1,.3", "--threads", 1, "--json")
    wanted = json.loads(ended(start(*command, "-o", tmp_path / "alone"))[0])

    with postgresql.running() as server:
        folders = [tmp_path / host / "study" for host in ("a", "b")]
        hosts = [start(*command, "-o", each, "--storage", server.url) for each in folders]
        while not all(list(each.glob("*/*/metrics.jsonl")) for each in folders):
            assert all(host.poll() is None for host in hosts), [h.stderr.read() for h in hosts]
            time.sleep(0.1)
        server.stop()
        time.sleep(8)
        server.start()
        told = [ended(host) for host in hosts]

    assert [json.loads(out)["points"] for out, _ in told] == [wanted["points"]] * 2
    trained = [set(finals(each)) for each in folders]
    assert not trained[0] & trained[1]
    assert len(trained[0] | trained[1]) == 2
    for _, said in told:
        assert "cannot be reached" in said
        assert "is there again" in said


@needs_server
def test_hosts_share_the_trials_of_a_search(small, tmp_path):
    search = ("--search", "random", "--trials", 2, "--vary", "sgd.lr=log:1e-3..1")
    command = (small, *search, "-s", "run.validation_images=32", "-s", "run.epochs=1", "--json")
    with postgresql.running() as server:
        folders = [tmp_path / host / "study" for host in ("a", "b")]
        hosts = [start(*command, "-o", each, "--storage", server.url) for each in folders]
        told = [ended(host) for host in hosts]

    trained = sorted(name for each in folders for name in finals(each))
    assert trained == [f"trial000{n}/seed0" for n in range(2)]
    best = [json.loads(out)["best"]["trial"] for out, _ in told]
    assert best[0] == best[1]


def stored(folder, *, seed=0, sampler="tpe", identity="x", url=None, emit=lambda _: None):
    return open_storage(folder, url=url, sampler=sampler, seed=seed, identity=identity, emit=emit)


def asked_of(storage, number, facts=None):
    from optuna.distributions import FloatDistribution

    found = []
    for _ in range(number):
        trial = storage.ask({"x": FloatDistribution(0.0, 1.0)}, facts or {"host": "h"})
        storage.tell(trial.number, "complete", trial.params["x"], {})
        found.append(trial.params["x"])
    return found


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_that_was_stopped_draws_as_one_that_was_not(tmp_path, sampler):
    places = [tmp_path / name / "study" for name in ("whole", "parts", "other")]
    for place in places:
        place.mkdir(parents=True)

    whole = asked_of(stored(places[0], sampler=sampler), 14)
    parts = asked_of(stored(places[1], sampler=sampler), 5)
    parts += asked_of(stored(places[1], sampler=sampler), 9)
    other = asked_of(stored(places[2], sampler=sampler, seed=1), 14)

    assert parts == whole
    assert other != whole
    assert len(set(whole)) == 14


def test_a_trial_is_claimed_once(tmp_path):
    ours, theirs = stored(tmp_path), stored(tmp_path)
    ours.enqueue({"cell": "a"})

    assert [ours.claim(0, {"host": "h"}), theirs.claim(0, {"host": "k"})] == [True, False]
    assert ours.trials()[0].user_attrs["host"] == "h"


def test_what_a_host_has_lost_is_done_again_and_counted_once(tmp_path, monkeypatch):
    storage = stored(tmp_path)
    asked_of(storage, 1)
    storage.enqueue({"cell": "a", "digest": "d"})
    assert storage.claim(1, {"host": "gone", "folder": "f"})
    storage.give_back_lost({"host": "here", "folder": "f"})
    assert [trial.state.name for trial in storage.trials()] == ["COMPLETE", "RUNNING"]

    monkeypatch.setattr("cifarzoo.sweeps.storage.LOST_SECONDS", -1.0)
    storage.give_back_lost({"host": "gone", "folder": "f"})
    assert [trial.state.name for trial in storage.trials()] == ["COMPLETE", "RUNNING"]
    storage.give_back_lost({"host": "here", "folder": "f"})

    assert [trial.state.name for trial in storage.trials()] == ["COMPLETE", "FAIL", "WAITING"]
    assert storage.trials()[1].user_attrs["problem"] == "lost by gone"
    assert storage.trials()[2].user_attrs == {"cell": "a", "digest": "d"}


def test_what_a_database_could_not_be_told_is_told_when_it_is_there_again(tmp_path, monkeypatch):
    said = []
    storage = stored(tmp_path, emit=said.append)
    trial = storage.ask({}, {"host": "h"})
    monkeypatch.setattr("cifarzoo.sweeps.storage.AGAIN_SECONDS", 0.0)
    file = tmp_path / "trials.db"
    kept = file.read_bytes()
    file.write_bytes(b"no database")

    storage.tell(trial.number, "complete", 0.5, {"test_error": 1.0})
    assert storage.has_pending
    file.write_bytes(kept)
    storage.attempt(storage.trials)

    assert not storage.has_pending
    assert storage.trials()[0].value == 0.5
    assert "cannot be reached" in said[0]
    assert said[-1].endswith("is there again")


def test_a_study_of_something_else_is_refused(tmp_path):
    stored(tmp_path, identity="a" * 64)
    with pytest.raises(UsageError, match="of other configs or values"):
        stored(tmp_path, identity="b" * 64)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "is no address of a database"),
        ("postgresql+nodriver://x/y", "cannot be reached|needs|no address"),
    ],
)
def test_an_address_that_is_none_is_refused(tmp_path, url, message):
    with pytest.raises(UsageError, match=message):
        stored(tmp_path, url=url)


@needs_server
def test_a_password_is_never_shown(small, tmp_path):
    with postgresql.running() as server:
        url = server.url.replace("@", ":s3cret@").replace("/postgres?", "/nowhere?")
        with start(small, "-o", tmp_path / "study", "--storage", url) as host:
            told = host.communicate(timeout=100)
    assert host.returncode == 1
    assert "nowhere" in told[1]
    assert "s3cret" not in told[0] + told[1]
    assert "s3cret" not in (tmp_path / "study/sweep.json").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--vary", "sgd.lr=log:1e-3..1"], "is a range; give values, or search it"),
        (["--trials", "3"], "--trials has no effect without --search"),
        (["--search", "tpe"], "has nothing to search"),
        (["--search", "tpe", "--vary", "sgd.lr=.1..1"], "keeps no validation images"),
        (["--search", "tpe", "--vary", "sgd.lr=.1..1", "--trials", "0"], "--trials is 0"),
        (["--search", "tpe", "--vary", "sgd.lr=1...1"], "the lower first"),
        (["--search", "tpe", "--vary", "sgd.lr=log:0..1"], "numbers above 0"),
        (["--search", "tpe", "--vary", "sgd.lr=.1..1", "--dry-run"], "--dry-run has no effect"),
        (
            [
                "--search",
                "tpe",
                "--vary",
                "sgd.momentum=0.5..1.5",
                "-s",
                "run.validation_images=32",
            ],
            "sgd.momentum is 1.5",
        ),
    ],
)
def test_a_search_that_cannot_be_is_refused_before_anything_is_written(
    small, tmp_path, options, message
):
    assert message in refuse("sweep", small, "-o", tmp_path / "study", *options)
    assert not (tmp_path / "study").exists()


def test_a_search_goes_on_after_kill_9_with_the_same_trials(small, tmp_path):
    search = ("--search", "tpe", "--vary", "sgd.lr=log:1e-3..1", "--prune")
    command = (small, *search, "-s", "run.validation_images=32", "--trials", 2)
    ended(start(*command, "-o", tmp_path / "quiet/study"))

    study = tmp_path / "killed/study"
    with start(*command, "-o", study) as first:
        while not list(study.glob("*/*/metrics.jsonl")):
            assert first.poll() is None, first.stderr.read()
            time.sleep(0.1)
        first.kill()
    out, _ = ended(start(*command, "-o", study))

    assert finals(study) == finals(tmp_path / "quiet/study")
    assert "trial0001" in out
