"""``ls``, ``show``, ``check``, completion and errors, as a user meets them."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cifarzoo import config
from cifarzoo.cli.app import app
from cifarzoo.components.plugins import catalogue

PLUGIN = '''
"""A plugin."""

from collections.abc import Sequence

from cifarzoo import register


@register.schedule
def sawtooth(*, teeth: int, steepness: float = 0.5):
    """Up slowly and down at once.

    Sawtooth (Nobody, 2026; arXiv:2601.00001).

    Args:
        teeth: How often it falls,
            over the whole run.
        steepness: Of the rise.

    Returns:
        The factor.

    Differs from the paper: there is none.
    """
    return lambda moment: steepness * (moment.progress * teeth % 1)
'''
OVERRIDE = '''
from cifarzoo import register


@register.schedule(override=True)
def constant():
    """Always one."""
    return lambda moment: 1.0
'''


def invoke(*command: str | Path, **env: str) -> Result:
    return CliRunner().invoke(app, [str(word) for word in command], env=env or None)


def succeed(*command: str | Path, **env: str) -> str:
    result = invoke(*command, **env)
    assert result.exit_code == 0, result.output
    return result.stdout


def refuse(*command: str | Path) -> str:
    """Run a command that must be refused, and give what it says."""
    result = invoke(*command)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert not result.stdout
    return result.stderr


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "teeth.py"
    path.write_text(PLUGIN)
    return path


# ls


@pytest.mark.parametrize("options", [(), ("-v",)])
def test_ls_has_a_line_for_every_component_with_its_summary_and_with_v_its_parameters(options):
    lines = succeed("ls", *options).splitlines()
    for entry in catalogue().entries.values():
        (line,) = [line for line in lines if line.split()[:1] == [entry.name]]
        rest = line.strip().removeprefix(entry.name).strip()
        summary = entry.summary.replace("``", "")
        assert rest.startswith(summary)
        takes = rest.removeprefix(summary)
        assert bool(takes) == bool(options and entry.parameters)
        assert all(parameter.name in takes for parameter in entry.parameters if options)


@pytest.mark.parametrize("width", [80, 200])
def test_ls_cuts_what_a_line_does_not_take_and_with_v_shows_it_all(width):
    def listed(*options: str) -> list[str]:
        lines = succeed("ls", "regularizers", *options, COLUMNS=str(width)).splitlines()
        assert max(map(len, lines)) <= width
        assert all(line == line.rstrip() for line in lines)
        return lines

    entries = [e for e in catalogue().entries.values() if e.kind == "regularizer"]
    assert len(listed()) == 1 + len(entries)
    words = " ".join(listed("-v")).split()
    for entry in entries:
        assert all(word in words for word in entry.summary.replace("``", "").split())
        assert all(any(p.name in word for word in words) for p in entry.parameters)


def test_ls_names_origins_only_where_a_component_is_not_ours(plugin):
    (ours,) = [line for line in succeed("ls").splitlines() if line.startswith("  cosine ")]
    assert not ours.endswith(" cifarzoo")
    ours, theirs = succeed("ls", "schedules", "-p", plugin).splitlines()[2::2]
    assert ours.split()[-1] == "cifarzoo"
    assert theirs.split()[-1] == "teeth.py"


@pytest.mark.parametrize(("width", "height"), [(80, 40), (100, 50)])
def test_ls_fits_a_screen_and_names_everything(width, height):
    lines = shown_by_ls(width, height)
    assert len(lines) <= height - 2
    assert max(map(len, lines)) <= width
    words = {word for line in lines for word in line.split()}
    assert {entry.name for entry in catalogue().entries.values()} <= words
    assert "Stochastic gradient descent" in "\n".join(lines)  # a kind of few has its summaries


def test_ls_on_a_tall_screen_has_a_line_each():
    assert len(shown_by_ls(100, 1000)) > len(catalogue().entries)


def shown_by_ls(width: int, height: int) -> list[str]:
    """The lines of ``ls`` on a terminal of this size."""
    env = {"TERM": "xterm-256color", "COLUMNS": str(width), "LINES": str(height), "NO_COLOR": "1"}
    text = on_a_terminal("ls", env=os.environ | env, stream="stdout")
    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()


def test_ls_json_has_the_promised_keys_and_source_text_for_defaults(plugin):
    listed = json.loads(succeed("ls", "--json", "-p", plugin))
    (mine,) = [item for item in listed if item["name"] == "sawtooth"]
    line = PLUGIN[: PLUGIN.index("def sawtooth")].count("\n") + 1
    assert mine == {
        "kind": "schedule",
        "name": "sawtooth",
        "doc": "Up slowly and down at once.",
        "origin": str(plugin),
        "source": f"{plugin}:{line}",
        "parameters": {"teeth": None, "steepness": "0.5"},
    }
    assert {item["name"] for item in listed} == {"sawtooth", *catalogue().entries}


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        *(("schedule", "schedule"), ("schedules", "schedule"), ("Sched", "schedule")),
        *(("regularisers", "regularizer"), ("optimiser", "optimizer"), ("config", "config")),
    ],
)
def test_a_kind_may_be_singular_plural_begun_or_british(word, kind):
    result = invoke("ls", word, "--json")
    assert ({item["kind"] for item in json.loads(result.stdout)}, result.stderr) == ({kind}, "")


@pytest.mark.parametrize(
    ("word", "listed"),
    [
        ("mixup", ["mixup"]),
        ("flip", ["alternating_flip", "flip", "flip_tta"]),
        ("LABEL_s", ["label_smoothing"]),
        ("quickst", ["quickstart.gin"]),
        ("quickstart.gin", ["quickstart.gin"]),
    ],
)
def test_a_name_or_the_beginning_of_a_word_in_it_selects(word, listed):
    assert [item["name"] for item in json.loads(succeed("ls", word, "--json"))] == listed


@pytest.mark.parametrize(
    ("command", "meant", "listed"),
    [
        (("optimzers",), "optimizers", "sgd"),
        (("optimzers", "s*"), "optimizers", "sgd"),
        (("mixpu",), "mixup", "mixup"),
    ],
)
def test_what_is_nearly_a_kind_or_a_name_is_taken_for_it_and_that_is_said(command, meant, listed):
    result = invoke("ls", *command)
    assert (result.exit_code, listed in result.stdout.split()) == (0, True)
    assert result.stderr == f"warning: there is no {command[0]!r}; taken for {meant}\n"


@pytest.mark.parametrize("command", [("ls", "arch", "wrn*"), ("ls", "wrn*")])
def test_a_pattern_selects_names(command):
    names = {item["name"] for item in json.loads(succeed(*command, "--json"))}
    assert names == {name for name in catalogue().entries if name.startswith("wrn")}
    assert "wrn26_10" in names


def test_what_is_like_no_kind_and_no_name_is_refused_with_the_kinds():
    message = refuse("ls", "xyzzy")
    assert "no kind, component or recipe 'xyzzy'; the kinds are architectures, " in message
    assert "no kind 'xyzzy'; the kinds are architectures, " in refuse("ls", "xyzzy", "s*")


def test_ls_says_when_nothing_matches():
    result = invoke("ls", "schedules", "zzz*")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing matches 'zzz*'" in result.stderr
    assert json.loads(succeed("ls", "schedules", "zzz*", "--json")) == []


def test_ls_configs_has_every_recipe_with_the_first_line_of_its_comment():
    text = succeed("ls", "configs")
    for name, path in config.recipes().items():
        first = path.read_text().partition("\n")[0].removeprefix("# ")
        assert f"{name} " in text
        assert first in text


def test_ls_marks_what_takes_the_place_of_another(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OVERRIDE)
    text = succeed("ls", "schedules", "constant", "-p", path)
    assert "mine.py, for cifarzoo's" in text


def test_ls_lives_with_a_broken_installed_plugin_and_says_so(tmp_path, monkeypatch):
    (tmp_path / "broken_zoo.py").write_text("from cifarzoo import register\ndef oops(:\n")
    info = tmp_path / "broken_zoo-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-zoo\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[cifarzoo.plugins]\nbroken = broken_zoo\n")
    monkeypatch.syspath_prepend(tmp_path)

    result = invoke("ls")

    assert result.exit_code == 0
    assert "wrn26_10" in result.stdout
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: the plugin broken-zoo 1.2 cannot be used: ")
    assert "broken_zoo.py:2: " in line


def test_a_broken_plugin_that_was_asked_for_is_refused_in_one_line(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("def oops(:\n")
    (line,) = refuse("ls", "-p", path).splitlines()
    assert line.startswith(f"{path}:1: ")


# show COMPONENT


def test_show_says_what_a_component_is_and_what_it_takes(plugin):
    text = succeed("show", "sawtooth", "-p", plugin)
    for part in (
        "sawtooth  schedule",
        "Up slowly and down at once.",
        "Sawtooth (Nobody, 2026; arXiv:2601.00001).",
        "Differs from the paper: there is none.",
        "  teeth: int  required",
        "How often it falls, over the whole run.",
        "  steepness: float = 0.5",
        "  run.schedule = @sawtooth",
        "  sawtooth.steepness = 0.5",
        str(plugin),
    ):
        assert part in text
    assert "The factor." not in text


def test_show_json_says_the_same(plugin):
    card = json.loads(succeed("show", "sawtooth", "-p", plugin, "--json"))
    assert card["parameters"]["teeth"] == {
        "type": "int",
        "default": None,
        "doc": "How often it falls, over the whole run.",
    }
    assert card["gin"].startswith("run.schedule = @sawtooth\n")
    assert card["kind"] == "schedule"


def test_show_run_lists_every_setting_of_a_run():
    text = succeed("show", "run")
    assert "batch_size: int = 128" in text
    assert "Images an optimizer step, over all ranks." in text


@pytest.mark.parametrize("name", sorted(catalogue().entries))
def test_what_show_gives_to_paste_passes_check(name, tmp_path):
    card = json.loads(succeed("show", name, "--json"))
    required = [p for p, about in card["parameters"].items() if about["default"] is None]
    path = tmp_path / "mine.gin"
    path.write_text(f"include 'quickstart.gin'\n{card['gin']}\n")
    result = invoke("check", path)
    if required:
        assert all(f"{name}.{parameter}" in result.stderr for parameter in required)
    else:
        assert result.exit_code == 0, result.output


def test_an_unknown_name_is_refused_with_what_was_meant():
    assert "no component 'shake_shak'; did you mean shake_shake?" in refuse("show", "shake_shak")
    assert "no component 'quikstart'; did you mean quickstart.gin?" in refuse("show", "quikstart")
    assert "cifarzoo ls lists them" in refuse("show", "xyzzy")


# show CONFIG


def test_a_recipe_is_shown_by_its_bare_name_and_a_component_of_that_name_first():
    assert "kind" in json.loads(succeed("show", "pyramid", "--json"))
    assert "plan" in json.loads(succeed("show", "autoaugment_wrn28_10", "--json"))


def test_show_config_json_has_the_promised_keys():
    shown = json.loads(succeed("show", "wrn26_10.gin", "--json"))
    assert shown["num_parameters"] == 38_557_770
    assert shown["steps"] == 200 * (50_000 // 256)
    assert shown["weight_decay"]["covered"]["values"] == 38_529_712 + 2 * 8_976
    assert shown["bindings"]["architecture.wrn26_10.dropout_rate"] == "0.3"
    assert shown["bindings"]["run.dataset"] == "@dataset.cifar10"
    assert shown["flops"] > 0


def test_show_config_text_is_the_config_again(tmp_path):
    text = succeed("show", "wrn26_2.gin", "-s", "run.epochs=3")
    path = tmp_path / "again.gin"
    path.write_text(text)
    assert "1,555,658 parameters" in text
    assert config.load(str(path)).text() == config.load("wrn26_2.gin", sets=["run.epochs=3"]).text()


# check


def test_check_says_in_one_line_that_a_config_is_fine():
    (line,) = succeed("check", "wrn26_10.gin").splitlines()
    assert line.startswith("wrn26_10.gin: fine")
    assert "cifar10" in line


def test_check_says_every_problem_of_every_config_a_line_each(tmp_path):
    path = tmp_path / "bad.gin"
    path.write_text("include 'quickstart.gin'\nrun.epoch = 3\nresnet8.stem = 2\n")
    result = invoke("check", path, "wrn26_10.gin", "wrn2610.gin")
    assert result.exit_code == 2
    assert [line.partition(": ")[0] for line in result.stderr.splitlines()[:2]] == [
        f"{path}:2",
        f"{path}:3",
    ]
    assert "did you mean wrn26_10.gin?" in result.stderr
    assert "wrn26_10.gin: fine" in result.stdout


def test_check_as_json_has_a_verdict_for_each_config():
    result = invoke("check", "quickstart.gin", "wrn2610.gin", "--json")

    fine, missing = json.loads(result.stdout)
    assert (fine["config"], fine["fine"], fine["problems"]) == ("quickstart.gin", True, [])
    assert "resnet8" in fine["components"]
    assert not missing["fine"]
    assert "did you mean wrn26_10.gin?" in missing["problems"][0]
    assert (result.exit_code, result.stderr) == (2, "")


def test_a_misspelt_setting_is_refused_with_what_was_meant():
    assert "did you mean lr?" in refuse("check", "quickstart.gin", "-s", "sgd.lrr=0.1")


# help, versions, completion, errors


def test_an_unknown_command_is_refused_with_what_was_meant():
    assert refuse("chekc") == "no such command 'chekc'; did you mean 'check'; see cifarzoo -h\n"


def test_help_groups_the_commands():
    text = succeed("-h")
    assert text.index("Train") < text.index("Look") < text.index("Tools")


def test_version_names_cifarzoo_and_torch():
    from importlib.metadata import version

    from cifarzoo import __version__

    text = succeed("--version")
    assert text.startswith(f"cifarzoo {__version__}")
    assert text.endswith(f"torch {version('torch')}\n")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("run wrn26_6_ss_", "wrn26_6_ss_cosine1800.gin"),
        ("show shake_s", "shake_shake"),
        ("ls sch", "schedules"),
        ("run wrn26_10.gin -s sgd.nest", "sgd.nesterov="),
        ("run wrn26_10.gin -s run.max_", "run.max_steps="),
    ],
)
def test_the_shell_completes(typed, offered):
    assert offered in complete(typed).splitlines()


def test_the_shell_completes_configs_in_folders(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "good.gin").write_text("# My own.\n")
    (tmp_path / "mine" / "notes.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    assert complete("run mi").split() == ["mine/"]
    assert complete("run mine/").split() == ["mine/good.gin"]


def complete(typed: str) -> str:
    words = f"cifarzoo {typed}"
    return succeed(
        _CIFARZOO_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(words.count(" "))
    )


def test_nothing_that_only_looks_imports_torch():
    commands = ["--help", "run -h", "--version", "ls", "ls --json", "ls configs"]
    commands += ["show shake_shake", "check pyramid.gin", "reproduce", "reproduce flax_gpu"]
    commands += ["compare wrn26_10.gin pyramid.gin"]
    code = f"""
import sys
from typer.testing import CliRunner
from cifarzoo.cli.app import app

def look(command, **env):
    result = CliRunner().invoke(app, command.split(), env=env)
    assert result.exit_code == 0, (command, result.output)
    assert "torch" not in sys.modules, command

for command in {commands}:
    look(command)
look("", _CIFARZOO_COMPLETE="complete_bash", COMP_WORDS="cifarzoo run w", COMP_CWORD="2")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_pipe_that_closes_early_is_no_error():
    command = [sys.executable, "-m", "cifarzoo", "ls", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as listing:
        listing.stdout.close()
        assert listing.stderr.read() == b""


@pytest.mark.parametrize("no_color", [True, False])
def test_an_error_is_marked_in_red_on_a_terminal_unless_colour_is_not_wanted(no_color):
    env = os.environ | {"TERM": "xterm-256color"} | ({"NO_COLOR": "1"} if no_color else {})
    shown = on_a_terminal("ls", "xyzzy", env=env)
    assert "error: " in shown
    assert "'xyzzy'; the kinds are" in shown
    assert ("\x1b[1;31m" in shown) is not no_color


def on_a_terminal(*command: str, env: dict[str, str], stream: str = "stderr") -> str:
    """What a command writes to a terminal as its stderr, or its stdout."""
    ours, theirs = pty.openpty()
    line = [sys.executable, "-m", "cifarzoo", *command]
    text = b""
    with subprocess.Popen(line, **{stream: theirs}, env=env):
        os.close(theirs)
        with contextlib.suppress(OSError):  # as reading ends once nobody can write
            while block := os.read(ours, 10_000):
                text += block
    return text.decode()
