"""``cifarzoo data fetch`` and ``verify``, as a user types them."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from cifarzoo.cli.data import app
from cifarzoo.cli.terminal.download_progress import Bar, Lines
from cifarzoo.data.catalogue import CATALOGUE, CIFAR100
from cifarzoo.data.mirrors import Mirror
from cifarzoo.data.opening import open_published
from cifarzoo.errors import DataError, UsageError
from tests.archive_server import running_server
from tests.small_cifar import PARQUET_NAMES, records, small, write_parquets

REAL = os.environ.get("CIFARZOO_TEST_DATA")


@pytest.fixture
def data(monkeypatch):
    """A small dataset that is published as cifar10."""
    data = small()
    monkeypatch.setitem(CATALOGUE, "cifar10", data.published)
    monkeypatch.setenv("COLUMNS", "100")
    return data


def run(*arguments):
    """Output of a command that succeeds."""
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def refused(kind, match, *arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert isinstance(result.exception, kind), result.output
    assert result.exception.exit_code == 2
    with pytest.raises(kind, match=match):
        raise result.exception
    return result


def test_verify_shows_what_was_read(tmp_path, data):
    data.write_archive("binary", tmp_path)
    heading, row, rest = run("verify", "--data", tmp_path).stdout.splitlines()
    assert heading.split() == ["dataset", "source", "images", "classes", "pixels", "sha256"]
    digest = data.published.binary.sha256[:12]
    pixels = "the published training images"
    assert row.split() == f"CIFAR-10 binary archive 20 + 10 10 {pixels} {digest}… ok".split()
    assert rest.strip() == "the published test images"


@pytest.mark.parametrize("version", ["binary", "python"])
def test_verify_takes_the_folder_from_the_environment(tmp_path, data, version, monkeypatch):
    data.unpack(version, tmp_path)
    monkeypatch.setenv("CIFARZOO_DATA", str(tmp_path))
    assert f"{version} files" in run("verify", "cifar10").stdout


def test_verify_as_json_holds_everything(tmp_path, data):
    data.write_archive("binary", tmp_path)
    (report,) = json.loads(run("verify", "--data", tmp_path, "--json").stdout)
    archive = tmp_path / "cifar-10-binary.tar.gz"
    assert report == {
        "dataset": "cifar10",
        "title": "CIFAR-10",
        "form": "binary archive",
        "path": str(archive),
        "shape": [3, 32, 32],
        "classes": 10,
        "train_images": [2] * 10,
        "test_images": [1] * 10,
        "repeated": 0,
        "train_pixels": "the published training images",
        "test_pixels": "the published test images",
        "sha256": {archive.name: data.published.binary.sha256},
        "problem": None,
        "ok": True,
    }


def test_verify_shows_every_dataset_that_is_there(tmp_path, data, monkeypatch):
    other = small(of=CIFAR100)
    monkeypatch.setitem(CATALOGUE, "cifar100", replace(other.published, num_train=20, num_test=10))
    data.write_archive("binary", tmp_path)
    other.write_archive("binary", tmp_path)
    result = CliRunner().invoke(app, ["verify", "--data", str(tmp_path)])
    assert "CIFAR-10 " in result.stdout
    assert "CIFAR-100 " in result.stdout


def test_verify_of_a_damaged_file_ends_in_its_one_line(tmp_path, data):
    data.write_archive("binary", tmp_path).write_bytes(b"short")
    result = refused(DataError, "is 5 bytes; expected .*; fetch it", "verify", "--data", tmp_path)
    assert result.stdout == ""


def test_verify_of_too_few_images_a_class_says_so_and_shows_the_rest(tmp_path, data):
    images, labels = data.test
    changed = small(**{"test_batch.bin": records(images, labels * 0)})
    CATALOGUE["cifar10"] = changed.published
    changed.write_archive("binary", tmp_path)
    result = refused(
        DataError,
        "cifar-10-binary.tar.gz: 10 test images, 0 to 10 a class; expected 10, 1 a class$",
        *("verify", "--data", tmp_path),
    )
    assert "wrong" in result.stdout


def test_verify_warns_of_test_images_that_are_training_images(tmp_path, data):
    images, labels = data.train
    changed = small(**{"test_batch.bin": records(images[:10], labels[:10])})
    CATALOGUE["cifar10"] = changed.published
    changed.write_archive("binary", tmp_path)
    assert (
        "CIFAR-10: 10 test images are in the training set"
        in run("verify", "--data", tmp_path).stderr
    )


def test_verify_of_a_partial_copy_is_not_ok(tmp_path):
    write_parquets(tmp_path, small())
    refused(
        DataError,
        r"20 training images, 2 to 2 a class; expected 50,000",
        *("verify", "--data"),
        tmp_path,
    )


@pytest.mark.parametrize("name", [(), ("cifar10",)])
def test_verify_of_nothing_says_how_to_get_it(tmp_path, name):
    refused(
        DataError, "fetch it with `cifarzoo data fetch cifar10", "verify", *name, "--data", tmp_path
    )


def test_verify_of_an_empty_folder_names_both(tmp_path):
    refused(DataError, "holds neither cifar10 nor cifar100;", "verify", "--data", tmp_path)


@pytest.mark.parametrize("command", ["fetch", "verify"])
@pytest.mark.parametrize(
    ("name", "hint"),
    [("cifar11", "did you mean cifar10?"), ("mnist", "there are cifar10, cifar100")],
)
def test_an_unknown_name_is_refused_with_a_hint(tmp_path, command, name, hint):
    hint = hint.replace("?", r"\?")
    refused(UsageError, f"no published dataset is named '{name}'; {hint}$", command, name)


@pytest.fixture
def served(data, monkeypatch):
    """The small dataset, published on a server of this machine."""
    with running_server() as server:
        archive = server.archive()
        server.files = {"zenodo": data.archives["python"]}
        zenodo = Mirror(name="zenodo", version="python", urls=(server.url("zenodo"),))
        mirrors = (data.published.mirrors[0], zenodo)
        published = replace(data.published, binary=archive, mirrors=mirrors)
        monkeypatch.setitem(CATALOGUE, "cifar10", published)
        yield server


def test_fetch_then_verify_works(tmp_path, served):
    result = run("fetch", "--data", tmp_path)
    path = tmp_path / "cifar-10-binary.tar.gz"
    digest = CATALOGUE["cifar10"].binary.sha256
    size = path.stat().st_size
    assert result.stdout == f"{path} fetched from official: {size:,} bytes, sha256 {digest}\n"
    assert f"use it with --data {tmp_path} or CIFARZOO_DATA={tmp_path}" in result.stderr
    assert "ok" in run("verify", "--data", tmp_path).stdout
    assert "already there" in run("fetch", "--data", tmp_path).stdout
    assert len(served.ranges) == 1


def test_fetch_as_json_writes_one_object(tmp_path, served):
    found = json.loads(run("fetch", "cifar10", "--data", tmp_path, "--json").stdout)
    archive = CATALOGUE["cifar10"].binary
    assert found == {
        "dataset": "cifar10",
        "path": str(tmp_path / archive.file_name),
        "bytes": archive.size,
        "sha256": archive.sha256,
        "downloaded": True,
        "mirror": "official",
        "files": [
            {
                "path": str(tmp_path / archive.file_name),
                "size": archive.size,
                "sha256": archive.sha256,
            }
        ],
    }
    found = json.loads(run("fetch", "cifar10", "--data", tmp_path, "--json").stdout)
    assert (found["downloaded"], found["mirror"]) == (False, None)


def test_a_file_that_was_in_the_way_of_a_fetch_is_named(tmp_path, served):
    (tmp_path / "cifar-10-binary.tar.gz").write_text("mine")
    result = run("fetch", "--data", tmp_path, "--json")
    aside = tmp_path / "cifar-10-binary.tar.gz.1"
    assert f"another file was in the way, and is {aside} now" in result.stderr
    assert aside.read_text() == "mine"


def test_fetch_puts_it_into_data_by_default(tmp_path, served, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("fetch")
    assert (tmp_path / "data" / "cifar-10-binary.tar.gz").is_file()


def test_a_failed_fetch_ends_in_its_one_line(tmp_path, served):
    served.statuses = [404]
    arguments = ("fetch", "--data", tmp_path, "--mirror", "official")
    refused(DataError, "it answers 404 Not Found; fetch it by hand", *arguments)


def test_a_mirror_that_is_left_is_a_line_and_the_last_line_says_which_gave_it(tmp_path, served):
    served.statuses = [404]
    result = run("fetch", "--data", tmp_path)
    first, *_ = result.stderr.splitlines()
    assert first == "leaving official: it answers 404 Not Found; going on with zenodo"
    assert result.stdout.startswith(f"{tmp_path}/cifar-10-python.tar.gz fetched from zenodo: ")


def test_a_mirror_by_its_name_is_asked_alone(tmp_path, served):
    found = json.loads(run("fetch", "--mirror", "zenodo", "--data", tmp_path, "--json").stdout)
    assert found["mirror"] == "zenodo"
    assert found["sha256"] == CATALOGUE["cifar10"].python.sha256
    assert len(served.ranges) == 1


def test_several_files_have_no_digest_in_common(tmp_path, data, served):
    write_parquets(tmp_path / "hub", data)
    names = PARQUET_NAMES
    served.files = {name: (tmp_path / "hub" / name).read_bytes() for name in names}
    hub = Mirror(name="hub", version="parquet", urls=tuple(map(served.url, names)))
    CATALOGUE["cifar10"] = replace(data.published, known=data.known, mirrors=(hub,))
    folder = tmp_path / "data" / "cifar10"

    found = json.loads(run("fetch", "--data", folder.parent, "--json").stdout)

    digests = [hashlib.sha256(served.files[name]).hexdigest() for name in names]
    assert (found["path"], found["sha256"], found["mirror"]) == (str(folder), None, "hub")
    assert found["bytes"] == sum(map(len, served.files.values()))
    assert [file["path"] for file in found["files"]] == [str(folder / name) for name in names]
    assert [file["sha256"] for file in found["files"]] == digests
    lines = run("fetch", "--data", folder.parent).stdout.splitlines()
    assert [line.split(" already there: ")[0] for line in lines] == [
        str(folder / name) for name in names
    ]


def test_an_unknown_mirror_is_refused_with_a_hint(tmp_path):
    words = r"no mirror is named 'zenod'; did you mean zenodo\?$"
    refused(UsageError, words, "fetch", "--mirror", "zenod", "--data", tmp_path)


def test_without_a_terminal_a_download_is_a_line_every_ten_seconds(capsys):
    times = iter([0.0, 1.0, 9.0, 10.5, 12.0, 13.0, 14.0])
    with Lines(clock=lambda: next(times)) as lines:
        lines.starting("x.tar.gz")
        for done in (0, 10, 90, 105, 120):
            lines.arrived(done * 10**6, 120 * 10**6)
        lines.retrying("the connection broke", 2)
        lines.checking("CIFAR-10")
        lines.leaving("here", "it answers 404", "there")
        lines.starting("y.tar.gz")
        for done in (0, 30):
            lines.arrived(done * 10**6, 30 * 10**6)
    assert capsys.readouterr().err.splitlines() == [
        "x.tar.gz: 0.0 of 120.0 MB",
        "x.tar.gz: 105.0 of 120.0 MB, 10 MB/s, 2 s left",
        "x.tar.gz: 120.0 of 120.0 MB, 10 MB/s",
        "x.tar.gz: the connection broke; trying again in 2 s",
        "checking that these are the images of CIFAR-10",
        "leaving here: it answers 404; going on with there",
        "y.tar.gz: 0.0 of 30.0 MB",
        "y.tar.gz: 30.0 of 30.0 MB, 30 MB/s",
    ]


def test_on_a_terminal_a_bar_shows_bytes(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    with Bar() as bar:
        bar.starting("x.tar.gz")
        bar.arrived(60 * 10**6, 120 * 10**6)
        bar.retrying("the connection broke", 2)
    shown = capsys.readouterr().err
    assert "60.0/120.0 MB" in shown
    assert "the connection broke; trying again in 2 s" in shown


def test_on_a_terminal_the_next_mirrors_bar_takes_the_place_of_the_one_before(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    with Bar() as bar:
        bar.starting("x.tar.gz")
        bar.arrived(60 * 10**6, 120 * 10**6)
        bar.leaving("here", "it answers 404", "there")
        bar.starting("y.tar.gz")
        bar.arrived(30 * 10**6, 30 * 10**6)
    shown = capsys.readouterr().err
    _, following = shown.split("leaving here: it answers 404; going on with there")
    assert "30.0/30.0 MB" in following
    assert "x.tar.gz" not in following


@pytest.mark.skipif(REAL is None, reason="CIFARZOO_TEST_DATA names no folder")
def test_verify_passes_the_real_jpeg_copy():
    (report,) = json.loads(run("verify", "--data", REAL, "--json").stdout)
    assert report["ok"]
    assert report["title"] == "CIFAR-10 (JPEG)"
    assert report["train_images"] == [5000] * 10
    assert report["repeated"] == 0


def test_neither_fetching_nor_verifying_imports_torch(tmp_path):
    code = """
import sys
from pathlib import Path
from cifarzoo.cli.data import app
from cifarzoo.data.download import fetching
from cifarzoo.data.catalogue import CATALOGUE
from cifarzoo.data.opening import open_published
from tests.small_cifar import small
data = small()
CATALOGUE["cifar10"] = data.published
data.write_archive("binary", Path(sys.argv[1]))
for command in ("fetch", "verify"):
    app([command, "cifar10", "--data", sys.argv[1]], standalone_mode=False)
print(sorted({"torch", "torchvision", "gin"} & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_cache_is_shown_and_cleared(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setattr("cifarzoo.data.decoded_cache.LEAST_BYTES", 0)
    data = small()
    data.write_archive("binary", tmp_path)
    published = data.published
    open_published(published, tmp_path, labelling=published.labellings[0]).load()
    folder = tmp_path / "caches/cifarzoo/decoded"

    heading, row, total = run("cache").stdout.splitlines()
    assert heading.split() == ["dataset", "images", "MB", "used"]
    assert row.split()[:-2] == ["CIFAR-10,", "binary", "archive", "20", "+", "10", "0"]
    assert total == f"0 MB of at most 2,147, in {folder}"
    [entry] = json.loads(run("cache", "--json").stdout)["entries"]
    assert entry["about"]["num_train"] == 20

    assert run("cache", "--clear").stdout.splitlines()[-1] == f"0 MB deleted, in {folder}"
    assert run("cache").stdout.splitlines() == [f"0 MB of at most 2,147, in {folder}"]


def test_without_a_folder_for_caches_the_cache_says_so(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    refused(DataError, "^there is no cache of decoded images: No such file or directory$", "cache")


def test_export_says_what_it_wrote(tmp_path, data):
    data.write_archive("binary", tmp_path / "data")
    arguments = ("export", "cifar10", "--data", tmp_path / "data", "--as")
    said = run(*arguments, "parquet", "-o", tmp_path / "a").stdout
    names = "train-00000-of-00001.parquet, test-00000-of-00001.parquet"
    assert said == f"CIFAR-10 written to {tmp_path / 'a'}: {names}\n"
    record = json.loads(run(*arguments, "png-folder", "-o", tmp_path / "b", "--json").stdout)
    assert record == {
        "dataset": "cifar10",
        "title": "CIFAR-10",
        "form": "png-folder",
        "files": [str(tmp_path / "b" / split) for split in ("train", "test")],
    }
    refused(DataError, "is not empty; name", *arguments, "parquet", "-o", tmp_path / "a")
