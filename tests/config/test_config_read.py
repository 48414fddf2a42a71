"""Files, includes, encodings and gin's grammar: what can't be read is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cifarzoo.components.plugins import catalogue
from cifarzoo.config import files, from_text, load, recipes
from cifarzoo.config.check import check
from cifarzoo.config.reader import Reader
from cifarzoo.errors import ConfigProblemsError
from tests.toy import BASE, PLUGIN, problems, read

GRAMMAR = [
    ("run.seed = none", "'none' is not a value; expected a whole number"),
    ("run.compile = true", "'true' is not a value; did you mean True?"),
    ("run.compile = FALSE", "'FALSE' is not a value; did you mean False?"),
    ("run.max_steps = null", "'null' is not a value; did you mean None?"),
    ("toy_net.mode = left", "'left' is not a value; did you mean 'left'?"),
    ("toy_sgd.lr = inf", "'inf' is not a value; did you mean 1e999?"),
    ("run.seed = 2 * 3", "unexpected '*' after the value; a value cannot be computed"),
    ("run.seed = 1/2", "unexpected '/' after the value; a value cannot be computed"),
    ("run.seed = +1", "expected a value, not '+'"),
    ("run.seed =", "expected a value, not the end of the line"),
    ("run.seed 3", "expected NAME = VALUE, not '3'"),
    ("run.seed == 3", "expected NAME = VALUE, not '=='"),
    ("run: 3", "expected NAME = VALUE, or after 'NAME:' indented lines of it"),
    ("run.se-ed = 3", "expected NAME = VALUE, not '-'"),
    ("run . seed = 3", "expected a name such as scope/component.parameter"),
    ("= 3", "expected a name, not '='"),
    ("run.seed = -%SEED", "a minus stands before numbers only"),
    ("run.seed = -@toy_cut", "a minus stands before numbers only"),
    ("run.augmentations = [@toy_cut", "a bracket or a quote is left open"),
    ("toy_net.mode = 'left", "a bracket or a quote is left open"),
    ("toy_net.mode = '''left", "a bracket or a quote is left open"),
    ("run.augmentations = [@toy_cut @toy_cut]",
     "expected a comma or the closing bracket before '@'"),
    ("toy_steps.names = {'a' 1}", "expected a colon before '1'"),
    ("toy_steps.names = {[1]: 1}",
     "a key of a dict is a text or a number (unhashable type: 'list')"),
    ("run.architecture = @toy_net(3)",
     "unexpected '3'; a component is @name alone, its settings have own lines"),
    ("run.seed = " + "[" * 2000 + "]" * 2000,
     "the value is nested too deeply; expected at most 50 brackets in one another"),
    ("run.seed = 9" + "9" * 5000, "'9999999999999999999999999999999999999999' is not a value"),
    ("include other.gin", "expected include 'FILE.gin', with quotes"),
    ("include 3", "expected include 'FILE.gin', with quotes"),
    ("import numpy", "'import numpy': configs import nothing; name a plugin's file by --plugin, "
     "or install the plugin"),
    ("from __gin__ import dynamic_registration",
     "'from __gin__ import dynamic_registration': configs import nothing; name a plugin's file "
     "by --plugin, or install the plugin"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), GRAMMAR, ids=[text[:40] for text, _ in GRAMMAR])
def test_what_gin_cannot_read_is_said_in_words(text: str, problem: str, tmp_path: Path):
    assert problems(text, tmp_path) == [f"c.gin:6: {problem}"]


def test_texts_with_computed_parts_are_refused(tmp_path: Path):
    [line] = problems("toy_net.mode = f'left'", tmp_path)

    assert line.startswith("c.gin:6: ")
    assert "f'" in line  # how much of it, Python's version decides


def test_an_open_bracket_is_reported_where_its_statement_began(tmp_path: Path):
    text = "\nrun.augmentations = [\n  @toy_cut,\nrun.seed = 3\n"

    assert problems(text, tmp_path) == ["c.gin:7: a bracket or a quote is left open"]


def test_reading_goes_on_after_a_mistake_also_in_a_block(tmp_path: Path):
    block = "toy_net:\n  width = nope\n  drop = nope\n"
    text = f"{block}run.seed = [1,\n  nope,\n  2]\nrun.max_steps = none\n"

    assert problems(text, tmp_path) == [
        "c.gin:7: 'nope' is not a value; expected a whole number",
        "c.gin:8: 'nope' is not a value; expected a number",
        "c.gin:9: 'nope' is not a value; expected a whole number",
        "c.gin:12: 'none' is not a value; did you mean None?",
    ]


def test_blocks_comments_and_continuations_are_read(tmp_path: Path):
    text = "toy_net:  # a block\n  width = 3\n\n  drop = \\\n    0.5\nrun.seed = 0x10  # sixteen\n"

    bindings = read(text, tmp_path).bindings

    assert bindings["architecture.toy_net.width"].value == 3
    assert bindings["architecture.toy_net.drop"].location.endswith("c.gin:9")
    assert bindings["run.seed"].source == "16"


def test_a_line_that_is_there_twice_is_refused(tmp_path: Path):
    text = "toy_net.width = 3\narchitecture.toy_net.width = 4\n"

    assert problems(text, tmp_path) == ["c.gin:7: toy_net.width is set twice, first on line 6"]


def test_of_two_sets_for_one_name_the_last_counts(tmp_path: Path):
    config = read("run.seed = 1", tmp_path, "run.seed=2", "run.seed=3")

    assert config.bindings["run.seed"].value == 3
    assert config.bindings["run.seed"].location == "--set 'run.seed=3'"


def test_a_file_overrides_what_it_includes(tmp_path: Path):
    (tmp_path / "shared.gin").write_text("run.seed = 1\ntoy_net.width = 5\n")

    config = read("include 'shared.gin'\nrun.seed = 2\n", tmp_path)

    assert config.bindings["run.seed"].value == 2
    assert config.bindings["architecture.toy_net.width"].value == 5


def test_an_include_that_undoes_a_line_before_it_is_refused(tmp_path: Path):
    (tmp_path / "shared.gin").write_text("\nrun.seed = 1\n")

    assert problems("run.seed = 2\ninclude 'shared.gin'\n", tmp_path) == [
        "c.gin:6: run.seed changes nothing: shared.gin:2, which is included after it, sets it again"
    ]


def test_a_file_included_on_two_ways_is_read_once(tmp_path: Path):
    (tmp_path / "shared.gin").write_text("run.seed = 1\n")
    (tmp_path / "left.gin").write_text("include 'shared.gin'\nrun.seed = 2\n")
    (tmp_path / "right.gin").write_text("include 'shared.gin'\ntoy_net.width = 5\n")

    config = read("include 'left.gin'\ninclude 'right.gin'\n", tmp_path)

    assert config.bindings["run.seed"].value == 2


def test_an_include_is_looked_for_beside_its_file_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "shared.gin").write_text("run.seed = 1\n")
    (tmp_path / "shared.gin").write_text("run.seed = 2\n")
    monkeypatch.chdir(tmp_path)

    assert read("include 'shared.gin'\n", inside).bindings["run.seed"].value == 1
    assert read("include 'shared.gin'\n", tmp_path).bindings["run.seed"].value == 2


def test_a_recipe_is_found_by_its_name_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    names = recipes()

    assert names
    assert all(path.is_file() and path.name == name for name, path in names.items())
    with pytest.raises(ConfigProblemsError, match=r"^no config 'nothing.gin' in \., .*gin$"):
        load("nothing.gin")
    with pytest.raises(ConfigProblemsError, match=r"; did you mean wrn28_10\.gin\?$"):
        load("wrn28_1O.gin")
    with pytest.raises(ConfigProblemsError, match=r"; did you mean quickstart\?$"):
        load("quikstart")


@pytest.mark.parametrize(
    "name",
    ["autoaugment_wrn28_10", "autoaugment_wrn28_10.gin", "autoaugment/autoaugment_wrn28_10.gin"],
)
def test_a_recipe_is_found_in_whatever_folder_it_lies(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "autoaugment_wrn28_10").mkdir()

    assert load(name).name == "autoaugment_wrn28_10"


@pytest.mark.parametrize("name", ["quickstart", "quickstart.gin"])
def test_a_file_of_ones_own_comes_before_a_recipe(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart.gin").write_text(BASE)

    assert load(name, plugins=[PLUGIN]).text() == read("", tmp_path).text()


def test_a_recipe_includes_recipes_whatever_lies_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = load("wrn26_10.gin").text()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flax2020.gin").write_text("run.seed = 77\n")
    (tmp_path / "mine.gin").write_text("include 'wrn26_10.gin'\nrun.seed = 5\n")

    assert load("wrn26_10.gin").text() == whole
    assert load("mine").text() == load("wrn26_10.gin", sets=["run.seed=5"]).text()


def test_a_name_of_several_recipes_is_refused_with_paths_that_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for place in ("a/same.gin", "b/same.gin", "b/other.gin", "bases/base.gin"):
        (tmp_path / "gin" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "gin" / place).write_text(BASE)
    monkeypatch.setattr(files, "PACKAGE", tmp_path)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigProblemsError) as caught:
        load("same")

    assert str(caught.value) == (
        "'same' may be gin/a/same.gin or gin/b/same.gin; give the path of one of them"
    )
    assert list(recipes()) == ["a/same.gin", "b/same.gin", "other.gin"]
    for name in ("gin/a/same.gin", *recipes()):
        assert load(name, plugins=[PLUGIN])


def test_a_missing_include_names_its_line_and_what_was_meant(tmp_path: Path):
    (tmp_path / "shared_base.gin").write_text("")

    [line] = problems("include 'share_base.gin'", tmp_path)

    assert line.startswith("c.gin:6: no config 'share_base.gin' in ")
    assert line.endswith("; did you mean shared_base.gin?")


def test_an_include_cycle_names_its_chain(tmp_path: Path):
    (tmp_path / "a.gin").write_text("include 'b.gin'\n")
    (tmp_path / "b.gin").write_text("\ninclude 'c.gin'\n")

    assert problems("include 'a.gin'", tmp_path) == [
        "b.gin:2: 'c.gin' includes itself (c.gin > a.gin > b.gin > c.gin)"
    ]


def test_a_mistake_in_an_include_names_the_include(tmp_path: Path):
    (tmp_path / "shared.gin").write_text("run.seed = none\n")

    assert problems("include 'shared.gin'", tmp_path) == [
        "shared.gin:1: 'none' is not a value; expected a whole number"
    ]


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace("'left'", "\t'left'").encode(),
    ],
    ids=["byte order mark", "CRLF", "CR", "tabs"],
)
def test_texts_of_any_editor_are_read(encode, tmp_path: Path):
    path = tmp_path / "c.gin"
    path.write_bytes(encode(BASE + "# é\ntoy_net.mode = 'left'\n"))

    assert (
        load(path, plugins=[PLUGIN]).bindings["architecture.toy_net.mode"].location.endswith(":7")
    )


def one_problem(path: Path) -> str:
    with pytest.raises(ConfigProblemsError) as caught:
        load(path)
    [line] = caught.value.problems
    return line.replace(f"{path.parent}/", "")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"# caf\xe9\n", "c.gin:1: the byte 0xe9 is not UTF-8; save the file as UTF-8"),
        (b"\n\nrun.seed = \0\n", "c.gin:3: it holds a NUL byte; expected text"),
        (b"#" * (1 << 17) + b"#", "c.gin: it has more than 131072 bytes; expected at most so many"),
    ],
    ids=["Latin-1", "NUL", "too long"],
)
def test_a_file_that_is_no_config_is_refused(content: bytes, problem: str, tmp_path: Path):
    path = tmp_path / "c.gin"
    path.write_bytes(content)

    assert one_problem(path) == problem


def test_an_empty_file_lacks_everything(tmp_path: Path):
    (tmp_path / "c.gin").write_text("")

    with pytest.raises(ConfigProblemsError) as caught:
        load(tmp_path / "c.gin")

    names = [line.partition(" is not set")[0] for line in caught.value.problems]
    assert names == ["run.architecture", "run.dataset", "run.optimizer", "run.schedule"]


def test_a_folder_and_a_name_that_no_file_can_have_are_refused(tmp_path: Path):
    (tmp_path / "c.gin").mkdir()

    assert one_problem(tmp_path / "c.gin").endswith("c.gin' is a folder; expected a .gin file")
    assert one_problem(tmp_path / ("x" * 300)).startswith("no config ")


def test_an_unreadable_file_is_refused():
    assert one_problem(Path("/proc/self/mem")) == "mem: it cannot be read: Input/output error"


def test_a_text_may_include_a_recipe_folder_and_knows_its_lines():
    with pytest.raises(ConfigProblemsError) as caught:
        from_text("\ninclude 'nothing.gin'\nrun.seed = x\n", name="mine")

    first, second = caught.value.problems
    assert first.startswith("mine.gin:2: no config 'nothing.gin' in ., ")
    assert second.startswith("mine.gin:3: 'x' is not a value")


def test_a_source_with_a_line_break_and_a_statement_is_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CIFARZOO_PLUGINS", str(PLUGIN))

    config = load(BASE + "toy_net.width = 3\n", sets=["run.seed=5"])

    assert config.name == "config"
    assert config.text() == read("toy_net.width = 3\nrun.seed = 5", tmp_path).text()
    assert config.location("toy_net", "width") == "<config>:6"
    included = load("include 'quickstart.gin'\n")
    assert included.text() == load("quickstart").text()


@pytest.mark.parametrize("name", ["run.epochs = 3", "include 'quickstart.gin'", "c\n.gin"])
def test_a_source_without_a_line_break_or_a_statement_is_a_name(name: str):
    with pytest.raises(ConfigProblemsError) as caught:
        load(name)
    [line] = caught.value.problems
    assert line.startswith(f"no config {name!r} in ")


CATALOGUE = catalogue([PLUGIN])
FRAGMENTS = [
    *"=:./@%()[]{},'\"#\\-+3\n \t\0\r\f$é",
    *("run", "toy_net", "toy_cut", "macro", "epochs", "width", "A", "None", "none", "1e999", "'''"),
    *("\n  ", "include", "import", "from", " = ", "@toy_cut", "@toy_both", "%A", "A = ", "small/"),
    *("run.augmentations = [@toy_both]\n", "toy_both.first = ", "toy_net.width = ", BASE),
]


@settings(max_examples=200)
@given(st.lists(st.sampled_from(FRAGMENTS) | st.characters(), max_size=30).map("".join))
def test_any_text_is_a_config_or_refused_in_lines(text: str):
    reader = Reader()
    reader.text(text, "c.gin")
    reader.override(sets=[text], values={text: text})
    lines: list[str] = []
    try:
        check(reader, CATALOGUE)
    except ConfigProblemsError as refusal:
        lines = refusal.problems

    assert all(line and line.isprintable() for line in lines)
