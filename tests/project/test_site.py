"""The site says of every component, setting, command and error what the code has."""

from __future__ import annotations

import re

import pytest
import typer
from markdown_it import MarkdownIt

from cifarzoo import errors as tree
from cifarzoo.cli.app import app
from cifarzoo.components.index import root
from cifarzoo.components.kinds import KINDS
from cifarzoo.components.reference import parse_docstring, snippet
from cifarzoo.escaping import visible
from cifarzoo_docs import commands, components, errors, links, markdown

ENTRIES = components.entries()


def section(page: str, name: str) -> str:
    """The only section of a page with that heading."""
    [found] = re.findall(
        rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL
    )
    return found


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_component_has_a_section_with_all_that_is_said_of_it(entry):
    text = components.said_of(entry)
    doc = parse_docstring(entry.doc)

    assert f"```gin\n{snippet(entry, ENTRIES)}\n```" in text
    if entry.preset:
        assert f"A preset of [`{entry.preset.family.name}`](#{entry.preset.family.name})" in text
        assert all(f"`{p.name} = {p.default}`" in text for p in entry.preset.bound)
    for parameter in entry.preset.bound if entry.preset else ():
        assert f"`{parameter.name} = {parameter.default}`" in text
    for paragraph in doc.text.split("\n\n"):
        assert markdown.prose(paragraph) in text
    for parameter in entry.parameters:
        assert re.search(rf"^`{parameter.name}`{{.name}} `.*\n: ", text, re.MULTILINE), (
            parameter.name
        )
    source = re.search(r"^Source: `(.+)`$", text, re.MULTILINE)
    assert (components.REPOSITORY / source[1]).samefile(entry.path)


def test_the_section_of_a_network_has_a_table_of_its_parts():
    [entry] = [e for e in ENTRIES if e.name == "resnet20"]
    text = components.section_of(entry)

    assert text.startswith(components.said_of(entry))
    assert re.search(rf"^\| in all \|.*\| {entry.preset.num_parameters:,} \|", text, re.MULTILINE)


def test_every_component_is_on_the_page_of_its_kind():
    of_kinds = components.by_kind()

    assert sorted(e.name for found in of_kinds.values() for e in found) == sorted(
        e.name for e in ENTRIES
    )
    page = components.kind_page(KINDS["loss"], of_kinds[KINDS["loss"]])
    for entry in of_kinds[KINDS["loss"]]:
        assert f"[`{entry.name}`](#{entry.name})" in page
        assert page.count(components.section_of(entry)) == 1


def test_every_setting_of_a_run_is_described():
    page = components.settings_page()
    for setting in root().parameters:
        assert re.search(rf"{{#run-{setting.name}}}\n: \S", page), setting.name


def test_every_command_and_option_is_described():
    page = commands.commands_page()
    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            continue
        text = section(page, f"cifarzoo {name}")
        assert markdown.prose(command.help) in text
        for option in command.params:
            assert all(flag in text for flag in option.opts if flag.startswith("-")), name


def test_every_error_stands_beside_its_exit_code():
    page = errors.errors_page()
    for value in vars(tree).values():
        if isinstance(value, type) and issubclass(value, tree.CifarzooError):
            assert re.search(rf"^\| {value.exit_code} \|.*`{value.__name__}`", page, re.MULTILINE)
            assert re.search(rf"^`{value.__name__}`\n: \S", page, re.MULTILINE)


def test_code_that_names_a_component_leads_to_its_section():
    assert links.targets()["@shake_shake"] == ("reference/regularizers", "shake-shake")
    assert links.targets()["cutout.size"] == ("reference/augmentations", "cutout")
    assert links.targets()["run.epochs"] == ("reference/settings", "run-epochs")


def test_markup_in_a_docstring_is_text():
    assert markdown.prose("a_b * <c> [d] ``a * b_c``") == r"a\_b \* \<c\> \[d\] ``a * b_c``"


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "`a\n\n<script>alert(1)</script>`",
        "`a\n<div onclick=x>`",
        "```{raw} html\n<script>\n```",
        "``a\n```{include} /etc/passwd\n``",
        "{raw}`<b>` [a](javascript:x) ![](http://evil/x.png) <http://evil>",
        "# A heading\n===\n&lt;b&gt; | $x$",
        "\x1b[2J\u202e\x9b",
    ],
)
def test_a_docstring_puts_nothing_into_a_page_but_text(hostile):
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown.prose(hostile))

    assert set(re.findall(r"<(\w+)", html)) <= {"p", "code"}
    assert visible(html) == html


@pytest.mark.parametrize("hostile", ["a``b", "```\n<b>\n```", "`", "a\x1b[2J"])
def test_code_of_others_stays_code(hostile):
    markup = MarkdownIt("commonmark", {"html": True})
    inside, alone = markdown.code(hostile), markdown.block("gin", hostile)

    assert set(re.findall(r"<(\w+)", markup.render(inside))) == {"p", "code"}
    assert set(re.findall(r"<(\w+)", markup.render(alone))) == {"pre", "code"}
    assert visible(inside + alone) == inside + alone


def test_an_arxiv_number_leads_to_the_paper():
    before, paper, after = links.linked("Gastaldi (2017; arXiv:1705.07485).")

    assert (before.astext(), after.astext()) == ("Gastaldi (2017; ", ").")
    assert (paper.astext(), paper["refuri"]) == (
        "arXiv:1705.07485",
        "https://arxiv.org/abs/1705.07485",
    )


def test_a_docstring_is_taken_apart_by_its_sections():
    doc = parse_docstring(
        """Do it.

        Args:
            a: One
                thing.
            b: Another.

        Raises:
            ConfigError: ``a``
                is wrong.

        Differs from the paper: in this.
        """
    )

    assert doc.text == "Do it.\n\nDiffers from the paper: in this."
    assert doc.arguments == {"a": "One thing.", "b": "Another."}
    assert doc.errors == {"ConfigError": "``a`` is wrong."}
