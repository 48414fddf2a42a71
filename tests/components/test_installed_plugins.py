"""Plugins that are installed: found without running them, harmless when broken, recorded."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from cifarzoo.api.execution import RankJob, train_rank
from cifarzoo.api.identity import keep_identity
from cifarzoo.components.kinds import KINDS
from cifarzoo.components.loading import import_components
from cifarzoo.components.plugins import Catalogue, catalogue, plugin_provenance
from cifarzoo.errors import ConfigProblemsError, PluginError, UsageError
from cifarzoo.run_folders.folder import adopt
from tests.components.flat import FLAT, OVER, made, refused
from tests.toy import BASE, read


def test_an_installed_package_is_found_whole_and_not_run(install: Callable[..., Path]):
    files = {
        "pkg_flat/__init__.py": "",
        "pkg_flat/nets.py": FLAT.format(name="packaged_flat", value=5),
        "pkg_flat/unrelated.py": "print(\n",
    }
    folder = install("cifarzoo-flat", "pkg_flat", files)

    found = catalogue()

    entry = found.entries["packaged_flat"]
    assert (entry.origin, entry.module) == ("cifarzoo-flat 1.2", "pkg_flat.nets")
    assert entry.path == folder / "pkg_flat/nets.py"
    assert "pkg_flat" not in sys.modules
    assert found.broken == []
    assert made(entry) == 5


@pytest.mark.parametrize("point", ["pkg_point.nets", "pkg_point.nets:something"])
def test_an_entry_point_may_name_one_module(point: str, install: Callable[..., Path]):
    files = {
        "pkg_point/__init__.py": "",
        "pkg_point/nets.py": FLAT.format(name="pointed_flat", value=5),
        "pkg_point/others.py": FLAT.format(name="other_flat", value=5),
    }
    install("cifarzoo-point", point, files)

    entries = catalogue().entries

    assert "pkg_point" not in sys.modules
    assert "pointed_flat" in entries
    assert "other_flat" not in entries


def test_a_single_module_may_be_installed(install: Callable[..., Path]):
    install("cifarzoo-one", "one_module", {"one_module.py": FLAT.format(name="lone_flat", value=5)})

    assert made(catalogue().entries["lone_flat"]) == 5


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "the module 'brittle' of entry point 'zoo' isn't there"),
        ({"brittle.py": "from cifarzoo import register\nx = (\n"},
         "{folder}/brittle.py:2: '(' was never closed"),
        ({"brittle.py": "x = 1\n"}, "brittle: it registers no component; expected @register.<kind> "
         f"on a top-level def or class, the kind one of {', '.join(KINDS)}"),
        ({"brittle.py": OVER.format(name="cosin", value=1)},
         "{folder}/brittle.py:3: nothing named 'cosin' to override; did you mean cosine?"),
    ],
    ids=["missing", "syntax", "nothing", "override"],
)  # fmt: skip
def test_a_broken_installed_plugin_harms_only_configs_that_use_it(
    files: dict[str, str], problem: str, install: Callable[..., Path], tmp_path: Path
):
    folder = install("cifarzoo-brittle", "brittle", files)
    problem = problem.format(folder=folder)

    assert catalogue().broken == [("cifarzoo-brittle 1.2", problem)]
    assert read("", tmp_path)
    with pytest.raises(ConfigProblemsError) as caught:
        read("run.regularizers = [@of_brittle]", tmp_path)
    assert str(caught.value).endswith(
        f"no component 'of_brittle'; cifarzoo ls lists them; "
        f"the plugin cifarzoo-brittle 1.2 is broken: {problem}"
    )


def test_of_installed_plugins_that_clash_neither_is_used_and_all_else_is(
    install: Callable[..., Path], tmp_path: Path
):
    for value, name in enumerate("abc"):
        source = FLAT.format(name="same_flat", value=value)
        folder = install(f"cifarzoo-{name}", f"clash_{name}", {f"clash_{name}.py": source})

    found = catalogue()
    assert "same_flat" not in found.entries
    assert "cosine" in found.entries
    assert found.broken == [
        (
            f"cifarzoo-{name} 1.2",
            f"{folder}/clash_{name}.py:3: 'same_flat' is already the schedule of "
            f"{folder}/clash_a.py:3; pick another name or register it with override=True",
        )
        for name in "bc"
    ]
    assert read("", tmp_path)
    with pytest.raises(ConfigProblemsError, match=r"no component 'same_flat'.*cifarzoo-b 1\.2"):
        read("", tmp_path, "run.schedule=@same_flat")


def test_an_installed_plugin_that_takes_a_name_of_the_zoo_leaves_the_zoos(
    install: Callable[..., Path],
):
    install("cifarzoo-taking", "taking", {"taking.py": FLAT.format(name="cosine", value=1)})

    found = catalogue()
    assert found.entries["cosine"].origin == "cifarzoo"
    [(origin, problem)] = found.broken
    assert origin == "cifarzoo-taking 1.2"
    assert "'cosine' is already the schedule of" in problem


def test_a_bad_file_of_the_variable_harms_only_what_uses_it_and_one_that_is_named_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(FLAT.format(name="good_flat", value=1))
    bad.write_text("from cifarzoo import register\nx = (\n")
    monkeypatch.setenv("CIFARZOO_PLUGINS", f"{bad}{os.pathsep}{good}")

    found = catalogue()
    assert "good_flat" in found.entries
    assert found.broken == [(f"CIFARZOO_PLUGINS: {bad}", f"{bad}:2: '(' was never closed")]
    assert read("", tmp_path)
    with pytest.raises(ConfigProblemsError, match=r"no component 'bad_flat'.*never closed"):
        read("", tmp_path, "run.schedule=@bad_flat")
    assert refused(bad) == f"{bad}:2: '(' was never closed"


def test_an_installed_plugin_that_fails_to_import_is_one_line(install: Callable[..., Path]):
    source = FLAT.format(name="missing_flat", value=1) + "import nothing_of_that_name\n"
    folder = install("cifarzoo-missing", "missing_zoo", {"missing_zoo.py": source})

    with pytest.raises(PluginError) as caught:
        import_components([catalogue().entries["missing_flat"]])

    assert str(caught.value) == (
        f"{folder}/missing_zoo.py:4: it cannot be imported: "
        "ModuleNotFoundError: No module named 'nothing_of_that_name'"
    )


def test_any_file_of_an_installed_package_is_part_of_its_code(install: Callable[..., Path]):
    files = {
        "pkg_code/__init__.py": "",
        "pkg_code/flats/__init__.py": FLAT.format(name="coded_flat", value=5),
        "pkg_code/helper.py": "VALUE = 5\n",
    }
    folder = install("cifarzoo-code", "pkg_code.flats", files)
    used = [catalogue().entries["coded_flat"]]
    [before] = plugin_provenance(used)

    (folder / "pkg_code/notes.txt").write_text("no code")
    assert plugin_provenance(used) == [before]

    (folder / "pkg_code/helper.py").write_text("VALUE = 6\n")
    [after] = plugin_provenance(used)
    assert after["origin"] == before["origin"] == "cifarzoo-code 1.2"
    assert after["sha256"] != before["sha256"]


def test_ranks_that_start_again_refuse_a_package_that_was_edited(
    install: Callable[..., Path], tmp_path: Path
):
    source = FLAT.format(name="edited_flat", value=5)
    folder = install("cifarzoo-edited", "edited_zoo", {"edited_zoo.py": source})
    config = read("", tmp_path, base=BASE.replace("toy_flat", "edited_flat"))
    run, _ = adopt(tmp_path / "r", config.text())
    keep_identity(run, config)
    run.update(status="running", plugins=plugin_provenance(config.components()))
    digests = [each["sha256"][:12] for each in run.record["plugins"] if "path" not in each]
    (folder / "edited_zoo.py").write_text(source.replace("5", "6"))
    [*_, now] = plugin_provenance([catalogue().entries["edited_flat"]])
    digests.append(now["sha256"][:12])
    job = RankJob(
        config=config, folder=run.path, data=None, argv=(), progress=lambda: nullcontext(print)
    )

    with pytest.raises(
        UsageError,
        match=rf"other plugin code: cifarzoo-edited 1\.2 has SHA-256 {digests[0]}… there and "
        rf"cifarzoo-edited 1\.2 has SHA-256 {digests[1]}… here; .*bring back the code",
    ):
        train_rank(job)


def test_a_run_records_the_plugins_that_it_used_and_no_others(
    install: Callable[..., Path], plugin: Callable[..., Path]
):
    source = FLAT.format(name="used_flat", value=1)
    install("cifarzoo-used", "used_zoo", {"used_zoo.py": source})
    path = plugin("mine.py", FLAT.format(name="mine_flat", value=7))
    found: Catalogue = catalogue([path])
    names = ("used_flat", "mine_flat", "cosine")
    code = hashlib.sha256(b"used_zoo.py\n" + source.encode())

    assert plugin_provenance(found.entries[name] for name in names) == [
        {
            "origin": str(path),
            "path": str(path),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        },
        {"origin": "cifarzoo-used 1.2", "sha256": code.hexdigest()},
    ]
    assert plugin_provenance([found.entries["cosine"]]) == []
