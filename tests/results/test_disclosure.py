"""What a run's folder tells of whoever made it, and that the documents list all of it."""

from __future__ import annotations

import getpass
import json
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

import cifarzoo
from cifarzoo.run_folders.disclosure import MASK, disclosed, masked
from tests.command import invoke, succeed
from tests.trust.bad_input.small import small_config

PAGE = Path(__file__).parents[2] / "docs/never-lose-a-run.md"
CONFIG = small_config("run.epochs = 1", "run.checkpoint_steps = 1", images=(32, 20))
GIVEN = ("run", "c.gin", "--run-dir", "r")
HUB, OPEN = f"hf_{'aB3' * 8}", f"sk-{'aB3' * 8}"
SECRETS = {
    "a setting": ("x.token='abc def'", "x.token=***"),
    "a setting with spaces": ("x.password = 'abc'", "x.password = ***"),
    "a list": ("x.secrets=['a', 'b']", "x.secrets=***"),
    "an option": ("--hub-token=abc", "--hub-token=***"),
    "a variable": ("WANDB_API_KEY=abc", "WANDB_API_KEY=***"),
    "a user of an address": ("https://me:pass@host/x", "https://***@host/x"),
    "a query": ("https://host/x?token=abc&size=3", "https://host/x?token=***&size=3"),
    "JSON": ('{"api_key": "abc"}', '{"api_key": ***}'),
    "a token of Hugging Face": (HUB, MASK),
    "a token of GitHub": (f"x.a=ghp_{'aB3' * 8}", "x.a=***"),
    "a token of OpenAI": (f"x.a='{OPEN}'", "x.a='***'"),
    "a long key": (f"--wandb-key={'0a' * 20}", "--wandb-key=***"),
}
HONEST = [
    "sgd.lr=0.1",
    "vit.num_tokens=512",
    "vit.tokens=['a']",
    "parquet.image_key='img'",
    "tokenizer=bpe",
    "https://host/x@2",
    "runs/sk-learn-datasets-of-mine",
    "secretary.name='x'",
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a config, in which commands are given."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CIFARZOO_ANONYMOUS", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.gin").write_text(CONFIG)
    (tmp_path / "data").mkdir()
    return tmp_path


def record_of(run: str = "r") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(run, "run.json").read_text())
    return found


@pytest.mark.parametrize(("given", "expected"), SECRETS.values(), ids=SECRETS)
def test_what_looks_like_a_secret_is_masked(given, expected):
    assert [*masked(["run", given])] == ["run", expected]
    assert disclosed({"error": given})["error"] == expected


def test_the_value_after_an_option_for_secrets_is_masked():
    assert [*masked(["--token", "abc", "--seed", "3"])] == ["--token", MASK, "--seed", "3"]
    assert [*masked(["--token", "--seed", "3"])] == ["--token", "--seed", "3"]


@pytest.mark.parametrize("given", HONEST)
def test_what_is_no_secret_stays(given):
    assert [*masked([given])] == [given]


def test_a_record_is_written_the_same_again(home):
    told = {
        "command": ["/bin/cifarzoo", "--token", "abc", f"--data={home}/data", "../up/c.gin"],
        "error": f"{home}/x.json cannot be written: password='abc'",
        "data_folder": str(home),
        "attempts": [{"folder": f"{home}/a"}, {"folder": f"{home}-of-another"}],
    }

    once = disclosed(told)
    anonymous = disclosed(once | {"anonymous": True})

    assert once["command"] == ["cifarzoo", "--token", MASK, "--data=~/data", "../up/c.gin"]
    assert once["error"] == "~/x.json cannot be written: password=***"
    assert once["data_folder"] == "~"
    assert [each["folder"] for each in once["attempts"]] == ["~/a", f"{home}-of-another"]
    assert anonymous["command"] == ["cifarzoo", "--token", MASK, "--data=…/data", "…/c.gin"]
    assert anonymous["error"] == "…/x.json cannot be written: password=***"
    assert disclosed(once) == once
    assert disclosed(anonymous) == anonymous


@pytest.mark.parametrize("ranks", ["rank 3 on node7", "ranks 1, 2 and 3 on node-7, node-8.lan"])
def test_hosts_of_lost_ranks_are_not_named_in_an_anonymous_record(ranks):
    error = f"{ranks} ended; this rank was in step 5"
    names = ranks.partition(" on ")[0]

    told = disclosed({"error": error, "anonymous": True})["error"]

    assert told == f"{names} ended; this rank was in step 5"
    assert disclosed({"error": error})["error"] == error


def test_folders_below_home_are_found_again_by_who_goes_on_elsewhere(home, monkeypatch):
    succeed(*GIVEN, "--data", str(home / "data"))
    record = record_of()
    assert (record["folder"], record["data_folder"]) == ("~", "~/data")
    assert str(home) not in (home / "r/run.json").read_text()
    other = home / "other"
    shutil.copytree(home / "r", other / "r")

    monkeypatch.setenv("HOME", str(other))

    assert cifarzoo.load_run(other / "r")._reopened.data == other / "data"


def test_the_parent_of_a_run_is_known_again_in_whatever_words(home):
    succeed(*GIVEN)
    longer = ("run", "c.gin", "-s", "run.epochs=2", "--from", "r", "--run-dir")

    for name, more in (("plain", ()), ("nameless", ("--anonymous",))):
        succeed(*longer, name, *more)
        succeed(*longer, name)  # the same run, which is done

    killed = record_of("nameless") | {"parent": {"run": f"{home}/r", "step": 2, "config": "0"}}
    assert disclosed(killed)["parent"]["run"] == "r"
    del killed["num_parameters"]
    assert disclosed(killed)["parent"]["run"] == "~/r"  # it has to be read again
    assert record_of("plain")["parent"]["run"] == "~/r"
    assert record_of("nameless")["parent"]["run"] == "r"


def anonymous_run(how: str) -> None:
    if how == "option":
        succeed(*GIVEN, "--data", "data", "--anonymous")
    elif how == "variable":
        succeed(*GIVEN, "--data", "data", CIFARZOO_ANONYMOUS="1")
    elif how == "Python":
        cifarzoo.train("c.gin", run_dir="r", data="data", anonymous=True, progress=False)
    elif how == "ranks":
        cifarzoo.train("c.gin", run_dir="r", data="data", nproc=2, anonymous=True, progress=False)
    else:
        succeed(*GIVEN, "--data", str(Path("data").resolve()))
        succeed("resume", "r", "--anonymous")


@pytest.mark.parametrize("how", ["option", "variable", "Python", "ranks", "afterwards"])
def test_an_anonymous_run_names_no_host_user_or_folder(home, how):
    anonymous_run(how)

    record = record_of()
    for each in (record, *record["attempts"]):
        assert each["folder"] is each["data_folder"] is each["process"]["host"] is None
    text = "".join(
        path.read_text() for path in Path("r").rglob("*") if path.suffix in (".json", ".gin")
    )
    assert str(home) not in text
    for name in (socket.gethostname(), getpass.getuser()):
        assert not re.search(rf"\W{re.escape(name)}\W", text)
    (events,) = Path("r/tensorboard").iterdir()
    assert re.fullmatch(r"events\.out\.tfevents\.\d+", events.name)


def test_a_run_stays_anonymous_where_it_goes_on(home):
    succeed(*GIVEN, "--anonymous", "-s", "run.checkpoint_steps=1")
    record = record_of()
    Path("r/run.json").write_text(json.dumps(record | {"status": "running"}))

    succeed("resume", "r", "--data", "data")

    assert [each["process"]["host"] for each in record_of()["attempts"]] == [None, None]
    assert record_of()["data_folder"] is None


def test_a_setting_that_looks_like_a_secret_is_warned_of(home):
    (home / "p.py").write_text(
        '"""A plugin."""\nfrom cifarzoo import register\n\n\n@register.schedule\n'
        'def hub(*, token: str):\n    """Constant."""\n    return lambda moment: 1.0\n'
    )
    options = ("-p", "p.py", "-s", "run.schedule=@hub", "-s", f"hub.token='{HUB}'")

    done = invoke(*GIVEN, *options)

    assert done.exit_code == 0, done.output
    said = "hub.token looks like a secret, and config.gin and resolved.gin in the run's folder keep"
    assert said in " ".join(done.stderr.split())
    assert HUB not in Path("r/run.json").read_text()
    assert record_of()["command"][-1] != f"hub.token='{HUB}'"


def test_the_documents_list_all_that_is_recorded(home):
    succeed(*GIVEN, "--anonymous")
    succeed("run", "c.gin", "-s", "run.epochs=2", "--from", "r", "--run-dir", "child")
    recorded = {*record_of()} | {*record_of("child")}
    recorded |= {key for each in record_of()["attempts"] for key in each} - {"attempts"}

    section = PAGE.read_text().partition("## What a run's folder tells")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}

    assert recorded - listed == {"attempts"}
    sometimes = {"initial_weights", "teachers", "validation_loss", "validation_error"}
    assert listed - recorded == sometimes | {"tta_test_loss", "tta_test_error"}
