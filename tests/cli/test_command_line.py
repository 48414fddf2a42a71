"""Help, versions, completion and errors, which all commands share."""

import os
import subprocess
import sys

import pytest

from cifarzoo.cli.app import PLACES
from tests.command import on_a_terminal, refuse, succeed
from tests.many_runs import a_run


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


def test_nothing_that_only_looks_imports_torch(tmp_path):
    run = a_run(tmp_path / "r", name="mine")
    commands = ["--help", "run -h", "--version", "ls", "ls --json", "ls configs"]
    commands += ["show shake_shake", "check pyramid.gin", "reproduce", "reproduce flax_gpu"]
    commands += ["compare wrn26_10.gin pyramid.gin", f"new loss my_own -o {tmp_path}"]
    commands += [f"runs -o {tmp_path}", f"runs {tmp_path} --json -w sgd.lr=0.1", f"show {run}"]
    code = f"""
import sys
from typer.testing import CliRunner
from cifarzoo.cli.app import app

def look(command, **env):
    result = CliRunner().invoke(app, command.split(), env=env)
    assert result.exit_code == 0, (command, result.output)
    assert "torch" not in sys.modules, command
    assert "numpy" not in sys.modules or "reproduce" in command, command

for command in {commands}:
    look(command)
for words in ("run w", "resume m"):
    words = "cifarzoo " + words
    look("", _CIFARZOO_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD="2")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_command_imports_what_it_is_made_of_and_not_the_others(tmp_path):
    code = f"""
import atexit, sys
atexit.register(lambda: print(*sorted(sys.modules)))
sys.argv = ["cifarzoo", "runs", {str(tmp_path)!r}]
from cifarzoo.cli import main
main()
"""
    listing = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    imported = set(listing.stdout.decode().split())
    of_commands = {f"cifarzoo.cli.{place.module}" for place in PLACES.values()}

    assert of_commands & imported == {"cifarzoo.cli.runs"}
    assert not imported & {"gin", "filelock", "cifarzoo.api.execution", "cifarzoo.components.index"}


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
