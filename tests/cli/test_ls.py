"""``ls``: everything on one screen, and what was meant by a word."""

import json
import os
import re

import pytest

from cifarzoo import config
from cifarzoo.components.plugins import catalogue
from tests.command import invoke, on_a_terminal, refuse, succeed
from tests.installed import write_distribution

OVERRIDE = '''
from cifarzoo import register


@register.schedule(override=True)
def constant():
    """Always one."""
    return lambda moment: 1.0
'''


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
    listed = succeed("ls", "schedules", "-p", plugin).splitlines()
    [ours] = [line for line in listed if line.startswith("  cosine ")]
    [theirs] = [line for line in listed if line.startswith("  sawtooth ")]
    assert ours.split()[-1] == "cifarzoo"
    assert theirs.split()[-1] == "teeth.py"


@pytest.mark.parametrize(("width", "height"), [(80, 40), (100, 50)])
def test_ls_fits_a_screen_and_names_everything(width, height):
    lines = shown_by_ls(width, height)
    assert len(lines) <= height - 2
    assert max(map(len, lines)) <= width
    words = {word for line in lines for word in line.split()}
    entries = catalogue().entries.values()
    presets = [e.name for e in entries if e.preset and e.kind == "architecture"]
    assert {entry.name for entry in entries} - {*presets} <= words
    folded = f"  and {len(presets)} of these with settings, such as {presets_first(presets)}"
    assert f"{folded}: cifarzoo ls architectures" in lines
    has_room = height == 50  # then a kind of few has its summaries
    assert ("synthetic, not CIFAR" in "\n".join(lines)) == has_room


def presets_first(names: list[str]) -> str:
    return sorted(names)[0]


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
    source = plugin.read_text()
    line = source[: source.index("def sawtooth")].count("\n") + 1
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
        ("mixup", ["manifold_mixup", "mixup"]),
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
    write_distribution(tmp_path, "broken-zoo", {"broken": "broken_zoo"}, version="1.2")
    monkeypatch.syspath_prepend(tmp_path)

    result = invoke("ls")
    *_, row = json.loads(succeed("ls", "--json"))
    asked = invoke("ls", "schedules")

    assert (result.exit_code, result.stderr) == (0, "")
    assert "wrn26_10" in result.stdout
    heading, line = result.stdout.splitlines()[-2:]
    why = f"{tmp_path}/broken_zoo.py:2: invalid syntax"
    assert (heading, line) == ("plugins that cannot be used", f"  broken-zoo 1.2: {why}")
    assert (row["kind"], row["name"], row["doc"]) == ("broken", "broken-zoo 1.2", why)
    assert asked.stderr == f"warning: the plugin broken-zoo 1.2 cannot be used: {why}\n"


def test_a_broken_plugin_that_was_asked_for_is_refused_in_one_line(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("def oops(:\n")
    (line,) = refuse("ls", "-p", path).splitlines()
    assert line.startswith(f"{path}:1: ")
