"""The documents say what is true: blocks run, files exist, tables agree with the code."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cifarzoo import config, errors
from cifarzoo.cli.app import app
from cifarzoo.results.tables import Row, tables

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
README = ROOT / "README.md"
TUTORIAL = "docs/tutorial.md"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
SMALL = ["-s", "run.max_steps=2", "-s", "glyphs.train_images=128", "-s", "glyphs.test_images=40"]


def text_of(name: str) -> str:
    """A document, by its path from the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def the(language: str, mark: str, document: str) -> str:
    """The only block of a language in a document that holds ``mark``."""
    found = BLOCK.findall(text_of(document))
    [block] = [text for name, _, text in found if name == language and mark in text]
    return block


def rows(heading: str, document: str) -> list[list[str]]:
    """The cells of the table that starts with ``heading``, without its first two lines."""
    text = text_of(document)
    table = text[text.index(heading) :].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n")[2:]]


def shown_commands(document: Path) -> Iterator[tuple[list[str], str]]:
    """The commands of console blocks that are shown with their answer, and the answer."""
    for language, _, block in BLOCK.findall(document.read_text(encoding="utf-8")):
        parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:] if language == "console" else []
        for command, _, answer in (part.partition("\n") for part in parts):
            if answer.strip() and command not in NEED_MORE:
                yield shlex.split(command), answer


# Commands that need what isn't here: a copy of CIFAR-10, and what a run of it left.
NEED_MORE = {"cifarzoo data verify", "cifarzoo data cache"}
SHOWN = [
    pytest.param(document, *shown, id=f"{document.name}: {' '.join(shown[0])[:60]}")
    for document in DOCUMENTS
    for shown in shown_commands(document)
]


def tree() -> Iterator[str]:
    """The paths of the file tree in ARCHITECTURE.md, folders with a slash at their end."""
    above: list[str] = []
    for line in the("text", "hatch_build.py", "ARCHITECTURE.md").splitlines():
        name = line.split()[0]
        del above[(len(line) - len(line.lstrip())) // 2 :]
        yield "".join([*above, name])
        above.append(name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(document: Path) -> None:
    """Save every block of a document that has a title, as its reader does."""
    for _, title, text in BLOCK.findall(document.read_text(encoding="utf-8")):
        if title:
            Path(title).write_text(text, encoding="utf-8")


@pytest.fixture
def plugin(folder: Path) -> str:
    """The tutorial's plugin, saved where commands are run."""
    save(ROOT / TUTORIAL)
    assert (folder / "confidence_penalty.py").is_file()
    return "confidence_penalty.py"


# Blocks


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("document", "command", "answer"), SHOWN)
def test_commands_answer_as_shown(document, command, answer, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    save(document)

    done = CliRunner().invoke(app, command[1:])

    lines = [line.rstrip() for line in f"{done.stdout}{done.stderr}".strip().splitlines()]
    assert "\n".join(lines) == answer.strip()


def test_the_readme_has_at_most_900_words():
    assert len(text_of("README.md").split()) <= 900


def test_the_plugin_has_twenty_lines():
    plugin = the("python", "A plugin", TUTORIAL)
    assert len([line for line in plugin.splitlines() if line]) == 20


def test_the_plugin_trains_with_another_regularizer(plugin):
    [line] = [line for line in text_of(TUTORIAL).splitlines() if "@ema]" in line]
    command = shlex.split(line)[2:]
    assert plugin in command

    done = CliRunner().invoke(app, [*command, *SMALL])

    assert done.exit_code == 0, done.output


@pytest.mark.usefixtures("folder")
def test_the_readmes_plugin_trains_as_it_says():
    save(README)
    [command] = re.findall(r"`cifarzoo (run [^`]*-p root_decay.py[^`]*)`", text_of("README.md"))

    done = CliRunner().invoke(app, [*shlex.split(command), *SMALL])

    assert done.exit_code == 0, done.output


def test_the_readmes_python_runs(tmp_path):
    script = f"{the('python', 'cifarzoo.train', 'README.md')}\nprint(logits.shape, result.steps)"

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.splitlines()[-1:] == ["torch.Size([8, 10]) 8"], done.stderr


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


@pytest.mark.usefixtures("folder")
def test_the_tutorial_goes_on_from_what_new_writes_and_keeps_its_contract():
    from cifarzoo.testing.contracts import contracts_of
    from cifarzoo.testing.subject import Subject

    command = next(line for line in text_of(TUTORIAL).splitlines() if "cifarzoo new" in line)
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    written = {path.name for path in Path().iterdir()}
    assert f"{done.stdout}{done.stderr}" == the("text", "next: pytest", TUTORIAL)

    save(ROOT / TUTORIAL)

    assert {path.name for path in Path().iterdir()} == written
    subject = Subject(name="confidence_penalty", plugins=["confidence_penalty.py"])
    contracts = contracts_of("regularizer")
    assert "nine tests, one a [contract]" in text_of(TUTORIAL)
    assert len(contracts) == 9
    for contract in contracts:
        if not contract.trains:
            contract.hold(subject, Path())


def test_the_blocks_of_the_python_page_run_one_after_another(tmp_path):
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    script = tmp_path / "script.py"
    script.write_text("\n".join(text for kind, _, text in BLOCK.findall(page) if kind == "python"))

    done = subprocess.run(
        [sys.executable, "-W", "error", "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.splitlines() == [
        "8 steps, ('runs', 'quickstart')",
        "(8, 10) disc 2 True",
        "True",
        "True (100, 10)",
        "1 quickstart True",
        "['base', 'low'] True",
        "['lr=0.1', 'lr=0.3'] {}",
        "2",
        "(8, 100) True",
        "torch.uint8 [0.1]",
    ], done.stderr


def test_the_studys_plugin_is_the_tutorials():
    [code] = re.findall(
        r'```python title="confidence_penalty.py"\n(.*?)```', text_of("docs/tutorial.md"), re.DOTALL
    )
    assert text_of("docs/studies/regularizers/confidence_penalty.py") == code


# Tables


def test_exit_codes_are_those_of_the_errors():
    of_code = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert {
        int(code) for code, _ in rows("| exit code |", "docs/never-lose-a-run.md")
    } == of_code | {0}


def test_the_readmes_results_are_the_rows_of_flaxs_table_and_those_that_were_run():
    shown = rows("| row | network |", "README.md")
    of_flax = [f"`{name}`" for name in known_rows() if name.startswith("flax_gpu/")]
    assert [name for name, *_ in shown[: len(of_flax)]] == of_flax
    here = {name: cells[-1] for name, *cells in rows("| row | network |", "docs/published.md")}
    assert [cells for cells in shown[len(of_flax) :] if not cells[-1]] == []
    for cells in shown:
        check_row(cells)
        assert cells[-1] == here[cells[0]]


def test_the_results_are_those_of_the_published_tables():
    shown = rows("| row | network |", "docs/published.md")
    assert {f"`{name}`" for name in known_rows() if name.startswith("flax_gpu/")} <= {
        cells[0] for cells in shown
    }
    for *cells, of, here in shown:
        check_row([*cells, here])
        assert of == rule_of(known_rows()[cells[0].strip("`")])


def test_the_document_counts_the_published_rows_and_those_with_a_recipe():
    with_recipe = [row for row in known_rows().values() if row.recipe]
    counted = f"{len(tables())} tables, {len(known_rows())} rows. Of these, {len(with_recipe)} have"
    assert counted in text_of("docs/published.md")


def check_row(cells: list[str]) -> None:
    name, network, epochs, machine, error, here = cells
    row = known_rows()[name.strip("`")]
    assert network.removesuffix("; CIFAR-100") == row.model
    assert network.endswith("; CIFAR-100") == (row.dataset == "cifar100")
    assert epochs == str(row.epochs)
    assert machine == ", ".join(filter(None, (row.hardware, row.time)))
    assert error == f"{row.error} %"
    assert re.fullmatch(r"(\d+\.\d+ %, n = \d+, \d+\.\d+ to \d+\.\d+)?", here)


def known_rows() -> dict[str, Row]:
    return {row.path: row for table in tables().values() for row in table.rows.values()}


def rule_of(row: Row) -> str:
    if row.rule in ("mean", "median"):
        return f"{row.rule} of {row.n}"
    if row.rule == "best on test":
        return row.rule
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
    shown = rows("| kind | with cifarzoo", "docs/configs.md")
    table = defaultdict(list)
    for kind, names in shown:  # some kinds have several rows
        table[kind.partition(",")[0]] += re.findall(r"`(\w+)`", names)
    found = config.load("quickstart.gin").catalogue.entries.values()
    ours = [entry for entry in found if entry.origin == "cifarzoo"]
    assert ours
    assert [entry.name for entry in ours if entry.name not in table[entry.kind]] == []


def test_the_table_of_contracts_is_what_components_are_asked():
    from cifarzoo.testing.contracts import EVERY_KIND, OF_KIND

    asked = [("all", contract) for contract in EVERY_KIND]
    asked += [(kind, contract) for kind, own in OF_KIND.items() for contract in own]
    kinds = defaultdict(list)
    for kind, contract in asked:
        kinds[f"`{contract.name}`", contract.promise].append(kind)
    expected = [[name, ", ".join(of), promise] for (name, promise), of in kinds.items()]
    assert rows("| contract |", "docs/plugins.md") == expected


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


@pytest.mark.parametrize("document", DOCUMENTS, ids=[path.name for path in DOCUMENTS])
def test_links_lead_to_files(document):
    links = LINK.findall(document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=[path.name for path in DOCUMENTS])
def test_files_that_are_named_exist(document):
    text = document.read_text(encoding="utf-8")
    named = re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|gin|md))`", text)
    places = (ROOT, ROOT / "cifarzoo")
    assert [name for name in named if not any((p / name).exists() for p in places)] == []


# What other tools read


def test_the_hooks_before_a_commit_are_the_linters_of_make_check():
    hooks = re.findall(r"entry: (.+)", text_of(".pre-commit-config.yaml"))
    recipe = text_of("Makefile").partition("\ncheck:\n")[2].partition("\n\n")[0]
    assert hooks == [line.strip() for line in recipe.splitlines()]


def test_the_citation_names_the_version_and_license_of_the_package():
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    citation = dict(re.findall(r"^([\w-]+): (.+)$", text_of("CITATION.cff"), re.MULTILINE))
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    [author] = project["authors"]
    assert f"- name: {author['name']}" in text_of("CITATION.cff")
    assert author["name"] in text_of("LICENSE")
