"""Components of strangers: found without running them, loaded when used, refused in one line."""

from __future__ import annotations

import hashlib
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cifarzoo.components.loading import import_components
from cifarzoo.components.plugins import catalogue, plugin_provenance
from cifarzoo.components.registry import register
from cifarzoo.config import load as load_config
from cifarzoo.errors import PluginError
from tests.components.flat import FLAT, OVER, made, refused
from tests.toy import BASE, PLUGIN, read

# Files -----------------------------------------------------------------------------------------


def test_a_file_adds_components_that_run_under_a_private_name(plugin: Callable[..., Path]):
    path = plugin("mine.py", FLAT.format(name="mine_flat", value=7))

    found = catalogue([path])

    entry = found.entries["mine_flat"]
    assert (entry.origin, entry.module) == (str(path), "cifarzoo_plugin_mine")
    assert [file.path for file in found.files] == [path]
    assert "mine_flat" not in register.components
    assert made(entry) == 7
    assert sys.modules["cifarzoo_plugin_mine"].__file__ == str(path)
    assert not list(path.parent.glob("__pycache__"))


def test_files_named_by_the_environment_come_first(
    plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    first = plugin("first.py", FLAT.format(name="first_flat", value=1))
    second = plugin("second.py", FLAT.format(name="second_flat", value=2))
    third = plugin("third.py", FLAT.format(name="third_flat", value=3))
    monkeypatch.setenv("CIFARZOO_PLUGINS", f"{first}::{second}")

    found = catalogue([third])

    assert [file.path for file in found.files] == [first, second, third]
    assert {"first_flat", "second_flat", "third_flat"} <= set(found.entries)


def test_the_same_file_or_a_copy_of_it_counts_once(plugin: Callable[..., Path]):
    path = plugin("mine.py", FLAT.format(name="mine_flat", value=7))
    copy = plugin("run/mine.py", path.read_text())

    assert [file.path for file in catalogue([path, path, copy]).files] == [path]


def test_two_files_of_one_stem_are_two_modules(plugin: Callable[..., Path]):
    one = plugin("one/mine.py", FLAT.format(name="one_flat", value=1))
    two = plugin("two/mine.py", FLAT.format(name="two_flat", value=2))

    entries = catalogue([one, two]).entries

    assert [made(entries["one_flat"]), made(entries["two_flat"])] == [1, 2]
    assert entries["one_flat"].module != entries["two_flat"].module
    factories = [register.components[name].factory for name in ("one_flat", "two_flat")]
    assert pickle.loads(pickle.dumps(factories)) == factories


def test_an_edited_file_is_run_again(plugin: Callable[..., Path]):
    entry = catalogue([plugin("mine.py", FLAT.format(name="mine_flat", value=1))]).entries
    assert made(entry["mine_flat"]) == 1
    entry = catalogue([plugin("mine.py", FLAT.format(name="mine_flat", value=2))]).entries
    assert made(entry["mine_flat"]) == 2


def test_what_runs_and_is_recorded_is_what_was_scanned_whatever_happens_to_the_file(
    plugin: Callable[..., Path], tmp_path: Path
):
    path = plugin("mine.py", FLAT.format(name="mine_flat", value="scanned"))
    scanned = path.read_bytes()
    (tmp_path / "c.gin").write_text(BASE.replace("toy_flat", "mine_flat"))
    config = load_config(tmp_path / "c.gin", plugins=[PLUGIN, path])

    plugin("mine.py", FLAT.format(name="mine_flat", value="edited"))
    elsewhere = pickle.loads(pickle.dumps(config))  # as a rank gets it
    path.unlink()

    assert elsewhere.build().schedule() == config.build().schedule() == "scanned"
    digests = [plugin["sha256"] for plugin in plugin_provenance(config.components())]
    assert hashlib.sha256(scanned).hexdigest() in digests
    assert [file.content for file in config.plugin_files() if file.path == path] == [scanned]


def test_a_file_that_no_component_of_a_run_comes_from_is_not_among_its_own(
    plugin: Callable[..., Path], tmp_path: Path
):
    path = plugin("mine.py", FLAT.format(name="mine_flat", value=1))
    (tmp_path / "c.gin").write_text(BASE)

    config = load_config(tmp_path / "c.gin", plugins=[path, PLUGIN])

    assert config.plugins == (path, PLUGIN)
    assert [file.path for file in config.plugin_files()] == [PLUGIN]


def test_each_catalogue_loads_its_own_of_two_components_with_one_name(
    plugin: Callable[..., Path],
):
    one = catalogue([plugin("one.py", FLAT.format(name="same_flat", value=1))]).entries
    two = catalogue([plugin("two.py", FLAT.format(name="same_flat", value=2))]).entries

    values = [made(entries["same_flat"]) for entries in (one, two, one)]

    assert values == [1, 2, 1]


def test_a_file_that_cannot_be_used_is_refused_in_one_line(plugin: Callable[..., Path]):
    broken = plugin("broken.py", "from cifarzoo import register\ndef f(:\n")
    wrong = plugin(
        "wrong.py", "from cifarzoo import register\n@register.optimizer\ndef tiger(lr): ..."
    )
    empty = plugin("empty.py", "def f(): ...\n")

    assert refused(broken) == f"{broken}:2: invalid syntax"
    assert refused(wrong) == (
        f"{wrong}:3: the optimizer tiger takes no params; the engine gives it to each optimizer"
    )
    assert refused(empty).startswith(
        f"{empty}: it registers no component; expected @register.<kind> on a top-level def or class"
    )


def test_a_missing_file_names_the_one_that_was_meant(
    plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    path = plugin("mine.py", "")
    missing = path.with_name("mime.py")

    assert refused(missing) == f"no plugin file '{missing}'; did you mean {path}?"
    assert refused(path.parent).startswith(f"{path.parent}: it registers no component; expected")
    monkeypatch.setenv("CIFARZOO_PLUGINS", "nowhere/mine.py")
    assert catalogue().broken == [
        ("CIFARZOO_PLUGINS: nowhere/mine.py", "no plugin file 'nowhere/mine.py'")
    ]


@pytest.mark.parametrize(
    ("source", "line", "problem"),
    [
        ("import nothing_of_that_name\n", 2,
         "it cannot be imported: ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("\nx = 1 / 0\n", 3, "it cannot be imported: ZeroDivisionError: division by zero"),
        ("raise SystemExit('gone\\naway')\n", 2, "it cannot be imported: SystemExit: gone away"),
    ],
)  # fmt: skip
def test_an_import_error_is_one_line_once_it_is_used(
    source: str, line: int, problem: str, plugin: Callable[..., Path]
):
    text = FLAT.format(name="failing_flat", value=1).replace("\n", f"\n{source}", 1)
    path = plugin("failing.py", text)
    entry = catalogue([path]).entries["failing_flat"]

    with pytest.raises(PluginError) as caught:
        import_components([entry])

    assert str(caught.value) == f"{path}:{line}: {problem}"
    assert caught.value.__cause__ is not None
    assert entry.module not in sys.modules


def test_what_a_plugin_calls_outside_its_file_is_blamed_on_its_own_line(
    plugin: Callable[..., Path],
):
    source = "from cifarzoo import register\nimport json\njson.loads('[')\n"
    path = plugin("calls.py", source + FLAT.format(name="calling_flat", value=1))

    with pytest.raises(PluginError, match=r"calls\.py:3: it cannot be imported: JSONDecodeError"):
        import_components([catalogue([path]).entries["calling_flat"]])


def test_a_component_that_is_not_what_its_source_shows_is_refused(plugin: Callable[..., Path]):
    hidden = plugin(
        "hidden.py",
        """
        from cifarzoo import register

        def renaming(factory):
            def another():
                return factory()
            return another

        @register.schedule
        @renaming
        def hidden_flat(): ...
        """,
    )
    inheriting = plugin(
        "inheriting.py",
        """
        from fractions import Fraction
        from cifarzoo import register

        @register.schedule
        class inheriting_flat(Fraction): ...
        """,
    )

    with pytest.raises(PluginError, match=r"hidden\.py:11: importing it registered no schedule "):
        import_components([catalogue([hidden]).entries["hidden_flat"]])
    expected = r"inheriting\.py:6: inheriting_flat takes \(.*\), which its source does not show; "
    with pytest.raises(PluginError, match=expected):
        import_components([catalogue([inheriting]).entries["inheriting_flat"]])


# Names -----------------------------------------------------------------------------------------


def test_two_components_of_one_name_are_refused_with_both_places(plugin: Callable[..., Path]):
    one = plugin("one.py", FLAT.format(name="same_flat", value=1))
    two = plugin("two.py", FLAT.format(name="same_flat", value=2))
    ours = catalogue().entries["cosine"]
    zoo = plugin("zoo.py", FLAT.format(name="cosine", value=3))
    twice = plugin("twice.py", FLAT.format(name="x", value=1) + FLAT.format(name="x", value=2))

    advice = "pick another name or register it with override=True"
    assert refused(one, two) == f"{two}:3: 'same_flat' is already the schedule of {one}:3; {advice}"
    assert refused(zoo) == f"{zoo}:3: 'cosine' is already the schedule of {ours.source}; {advice}"
    assert refused(twice) == f"{twice}:6: 'x' is already the schedule of {twice}:3; {advice}"


def test_an_override_is_visible_and_is_what_runs(plugin: Callable[..., Path], tmp_path: Path):
    path = plugin("over.py", OVER.format(name="toy_flat", value="theirs"))
    (tmp_path / "c.gin").write_text(
        "run.architecture = @toy_net\nrun.dataset = @toy_data\nrun.optimizer = @toy_sgd\n"
        "run.schedule = @toy_flat\n"
    )

    config = load_config(tmp_path / "c.gin", plugins=[path, PLUGIN])

    entry = config.catalogue.entries["toy_flat"]
    assert entry.override
    assert entry.origin == str(path)
    assert entry.overridden is not None
    assert entry.overridden.origin == str(PLUGIN)
    assert config.build().schedule() == "theirs"
    assert read("", tmp_path).build().schedule() == "toy_flat"
    assert config.build().schedule() == "theirs"


def test_overrides_that_make_no_sense_are_refused(plugin: Callable[..., Path]):
    nothing = plugin("nothing.py", OVER.format(name="cosin", value=1))
    kind = plugin("kind.py", OVER.format(name="cutout", value=1))
    one = plugin("one.py", OVER.format(name="cosine", value=1))
    two = plugin("two.py", OVER.format(name="cosine", value=2))

    assert refused(nothing) == (
        f"{nothing}:3: nothing named 'cosin' to override; did you mean cosine?"
    )
    assert refused(kind).startswith(
        f"{kind}:3: 'cutout' is of kind schedule and overrides a component of kind augmentation ("
    )
    assert refused(one, two) == f"{two}:3: 'cosine' is overridden at {one}:3 too; use one of them"
