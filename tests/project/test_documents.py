"""The documents say what is true: blocks run, files exist, tables agree with the code."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cifarzoo import config, errors
from cifarzoo.cli.app import app
from cifarzoo.results.tables import Row, tables

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(ROOT.glob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
SMALL = ["-s", "run.max_steps=2", "-s", "glyphs.train_images=128", "-s", "glyphs.test_images=40"]


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(README) if name == language]


def the(language: str, mark: str) -> str:
    """The only block of a language that holds ``mark``."""
    [block] = [text for text in blocks(language) if mark in text]
    return block


def rows(heading: str) -> list[list[str]]:
    """The cells of the table that starts with ``heading``, without its first two lines."""
    table = README[README.index(heading) :].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n")[2:]]


def tree() -> Iterator[str]:
    """The paths of the file tree in ARCHITECTURE.md, folders with a slash at their end."""
    above: list[str] = []
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    [block] = [text for _, text in BLOCK.findall(text) if "hatch_build.py" in text]
    for line in block.splitlines():
        name = line.split()[0]
        del above[(len(line) - len(line.lstrip())) // 2 :]
        yield "".join([*above, name])
        above.append(name)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The README's plugin, saved as it says where commands are run."""
    monkeypatch.chdir(tmp_path)
    Path("confidence_penalty.py").write_text(the("python", "A plugin"), encoding="utf-8")
    return "confidence_penalty.py"


def shown_commands(mark: str) -> list[list[str]]:
    """The commands of a console block, without the program's name."""
    lines = the("console", mark).splitlines()
    return [shlex.split(line)[2:] for line in lines if line.startswith("$ ")]


# Blocks


def test_the_plugin_has_twenty_lines():
    assert len([line for line in the("python", "A plugin").splitlines() if line]) == 20


def test_the_plugin_is_listed_as_shown(plugin, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    command, *_ = shown_commands(plugin)

    shown = CliRunner().invoke(app, command).stdout

    lines = [line.rstrip() for line in shown.splitlines()]
    assert "\n".join(lines) in the("console", plugin)


@pytest.mark.usefixtures("plugin")
def test_the_plugin_trains_and_its_typing_error_is_answered_as_shown():
    _, run, misspelt = shown_commands("confidence_penalty")

    done = CliRunner().invoke(app, [*run, *SMALL])
    refused = CliRunner().invoke(app, misspelt)

    assert done.exit_code == 0, done.output
    assert (refused.exit_code, refused.stderr.strip() in README) == (2, True)


def test_the_plugin_is_fine_and_refuses_what_it_says(plugin):
    sets = ["run.regularizers=[@confidence_penalty]", "confidence_penalty.beta=-1.0"]
    loaded = config.load("quickstart.gin", sets=sets, plugins=[plugin])
    [make] = loaded.build().regularizers

    with pytest.raises(errors.ConfigError, match=r"is -1.0; expected a number of at least 0"):
        make()


def test_the_plugins_penalty_is_its_formula(plugin):
    import torch

    sets = ["run.regularizers=[@confidence_penalty]", "confidence_penalty.beta=0.5"]
    [make] = config.load("quickstart.gin", sets=sets, plugins=[plugin]).build().regularizers
    logits = torch.tensor([[0.0, 0.0], [0.0, 50.0]])  # entropies log 2 and 0

    penalised = make().loss(lambda *_: torch.tensor(3.0))(logits, logits)

    assert penalised.item() == pytest.approx(3 - 0.5 * 0.693147 / 2)


def test_the_python_block_runs(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(the("python", "create_model"), encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)], capture_output=True, text=True, check=False
    )

    assert (done.stderr, done.stdout) == ("", "torch.Size([8, 100]) True 0.0 0.5\n")


# Tables


def test_exit_codes_are_those_of_the_errors():
    of_code = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert {int(code) for code, _ in rows("| exit code |")} == of_code | {0}


def test_the_results_are_those_of_the_published_tables():
    shown = rows("| row | network |")
    assert {f"`{name}`" for name in known_rows() if name.startswith("flax_gpu/")} <= {
        cells[0] for cells in shown
    }
    for name, network, epochs, machine, error, of, here in shown:
        row = known_rows()[name.strip("`")]
        assert network.removesuffix("; CIFAR-100") == row.model
        assert network.endswith("; CIFAR-100") == (row.dataset == "cifar100")
        assert epochs == str(row.epochs)
        assert machine == ", ".join(filter(None, (row.hardware, row.time)))
        assert error == f"{row.error} %"
        assert of == rule_of(row)
        assert re.fullmatch(r"(\d+\.\d+ %, n = \d+, \d+\.\d+ to \d+\.\d+)?", here)


def known_rows() -> dict[str, Row]:
    return {row.path: row for table in tables().values() for row in table.rows.values()}


def rule_of(row: Row) -> str:
    if row.rule in ("mean", "median"):
        return f"{row.rule} of {row.n}"
    if row.rule == "last epoch":
        return "one run"
    return "one run, rule unknown" if row.n == 1 else "rule unknown"


def test_the_recipes_of_flaxs_table_claim_what_it_says():
    for name, row in known_rows().items():
        if name.startswith("flax_gpu/"):
            text = config.recipes()[row.recipe].read_text(encoding="utf-8")
            claims = [line for line in text.splitlines() if line.startswith("#")]
            parts = (f"{row.error} %", row.time, row.hardware)
            assert all(any(part in line for line in claims) for part in parts), name
            run = config.load(row.recipe, sets=row.sets).build()
            assert run.epochs == row.epochs
            assert (run.bn_group_size == 32) == (row.hardware == "8 x V100")


def test_every_component_is_in_the_table_of_kinds():
    table = {kind: re.findall(r"`(\w+)`", names) for kind, names in rows("| kind | with cifarzoo")}
    found = config.load("quickstart.gin").catalogue.entries.values()
    ours = [entry for entry in found if entry.origin == "cifarzoo"]
    assert ours
    assert [entry.name for entry in ours if entry.name not in table[entry.kind]] == []


# Figures


def test_trust_is_what_its_figures_say():
    from tests.trust.report import render

    figures = json.loads((ROOT / "docs" / "trust.json").read_text(encoding="utf-8"))

    assert (ROOT / "docs" / "trust.md").read_text(encoding="utf-8") == render(figures)


# Files


def test_every_file_of_the_tree_is_there():
    paths = list(tree())
    assert len(paths) == len(set(paths))
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert [path for path in paths if path.endswith("/") != (ROOT / path).is_dir()] == []


def test_the_tree_has_every_module_and_folder_of_the_package():
    package = ROOT / "cifarzoo"
    modules = {path.relative_to(ROOT).as_posix() for path in package.glob("*.py")}
    folders = {f"{path.parent.relative_to(ROOT).as_posix()}/" for path in package.rglob("*.py")}
    assert sorted((modules | folders) - set(tree())) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document):
    links = LINK.findall(document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(document):
    text = document.read_text(encoding="utf-8")
    named = re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|gin|md))`", text)
    places = (ROOT, ROOT / "cifarzoo")
    assert [name for name in named if not any((p / name).exists() for p in places)] == []
