"""Decoded images in the user's caches: found again, made anew, bounded, never in the way."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cifarzoo.components.protocols import Split
from cifarzoo.data import decoded_cache
from cifarzoo.data.catalogue import CIFAR10, CIFAR100
from cifarzoo.data.decoded_cache import cache, clear, entries, through_cache
from cifarzoo.data.opening import open_published
from tests.small_cifar import small, write_parquets

SIZE = 4096 + 30 * (3072 + 8)  # of a small CIFAR-10


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Caches of the test's own, in which small datasets are kept too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setattr(decoded_cache, "LEAST_BYTES", 0)
    return tmp_path / "caches/cifarzoo/decoded"


@pytest.fixture
def data(tmp_path):
    data = small()
    write_parquets(tmp_path / "data", data)
    return data


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that were decoded."""
    from cifarzoo.data.formats import parquet

    names = []

    def decode(raw, *, label, where):
        names.append(where.name)
        return plain(raw, label=label, where=where)

    plain = parquet.decode
    monkeypatch.setattr(parquet, "decode", decode)
    return names


def load(folder, published=CIFAR10, labelling=0):
    return open_published(published, folder, labelling=published.labellings[labelling]).load()


def assert_are(splits, data):
    for split, (images, labels) in zip(splits, (data.train, data.test), strict=True):
        np.testing.assert_array_equal(split.images, images)
        np.testing.assert_array_equal(split.labels, labels)
        assert split.labels.dtype == np.int64


def test_what_was_decoded_once_is_mapped_the_next_time(tmp_path, data, decoded, caches):
    assert_are(load(tmp_path / "data"), data)
    assert len(decoded) == 2
    again = load(tmp_path / "data")
    assert_are(again, data)
    assert len(decoded) == 2

    [entry] = entries(cache())
    assert (entry.about.title, entry.size) == ("CIFAR-10 (20 + 10 images), Parquet", SIZE)
    again[0].images[:] = 0  # their own copy of the page
    again[0].labels[:] = 0
    assert_are(load(tmp_path / "data"), data)


def test_copies_elsewhere_share_an_entry_and_other_files_have_their_own(tmp_path, data, decoded):
    load(tmp_path / "data")
    write_parquets(tmp_path / "copy", data)
    load(tmp_path / "copy")
    assert len(decoded) == 2
    write_parquets(tmp_path / "lossy", data, "JPEG")
    load(tmp_path / "lossy")
    assert len(decoded) == 4
    assert len(entries(cache())) == 2


def test_labellings_have_entries_of_their_own(tmp_path):
    data = small(of=CIFAR100)
    data.write_archive("binary", tmp_path)
    for _ in range(2):
        fine, _ = load(tmp_path, data.published, 0)
        coarse, _ = load(tmp_path, data.published, 1)
        np.testing.assert_array_equal(fine.labels // 2, coarse.labels)
    assert len(entries(cache())) == 2


def test_unpacked_files_are_read_from_where_they_are(tmp_path):
    data = small()
    data.unpack("binary", tmp_path)
    assert_are(load(tmp_path, data.published), data)
    assert not entries(cache())


@pytest.mark.parametrize("place", [0, 63, 64, 100, 4095, 4096, SIZE // 2, SIZE - 1])
def test_a_flipped_bit_is_noticed_and_mended(tmp_path, data, decoded, caches, place):
    load(tmp_path / "data")
    [path] = caches.glob("*.images")
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[place] ^= 4
    path.write_bytes(damaged)
    assert_are(load(tmp_path / "data"), data)
    assert len(decoded) == 4
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"", b"x" * 5000, b"[" * 5000, None])
def test_what_is_no_entry_is_replaced(tmp_path, data, caches, content):
    load(tmp_path / "data")
    [path] = caches.glob("*.images")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] if content is None else content)
    assert [entry.about for entry in entries(cache())] == [None]
    assert_are(load(tmp_path / "data"), data)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_replaced_and_not_followed(tmp_path, data, caches, kind):
    load(tmp_path / "data")
    [path] = caches.glob("*.images")
    mine = path.rename(tmp_path / "mine")
    before = mine.read_bytes()
    {"link": lambda: path.symlink_to(mine), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[
        kind
    ]()
    assert_are(load(tmp_path / "data"), data)
    assert (path.is_file(), path.is_symlink()) == (True, False)
    assert mine.read_bytes() == before


@pytest.mark.parametrize(
    "environment",
    [{"XDG_CACHE_HOME": "/proc/none"}, {"XDG_CACHE_HOME": "", "HOME": "/proc/none"}],
    ids=["read-only", "no home"],
)
def test_without_a_folder_for_caches_images_are_decoded(
    tmp_path, data, decoded, monkeypatch, environment
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for _ in range(2):
        assert_are(load(tmp_path / "data"), data)
    assert len(decoded) == 4


def splits(number=1):
    images = np.full((number, 3, 32, 32), number, np.uint8)
    return (Split(images=images, labels=np.zeros(number, np.int64)),) * 2


def test_what_was_used_longest_ago_makes_room(monkeypatch):
    monkeypatch.setattr(decoded_cache, "MOST_BYTES", 3 * (4096 + 2 * 3080))
    for number, key in enumerate("abc"):
        through_cache(key, key, splits)
        os.utime(cache().path / f"{key}.images", (number, number))
    through_cache("a", "a", lambda: pytest.fail("it was there"))
    through_cache("d", "d", splits)
    assert [entry.about.title for entry in entries(cache())] == ["d", "a", "c"]


def test_what_is_larger_than_all_may_be_is_not_kept(monkeypatch):
    monkeypatch.setattr(decoded_cache, "MOST_BYTES", 4096 + 2 * 3080)
    through_cache("a", "a", splits)
    through_cache("b", "b", lambda: splits(2))
    assert [entry.about.title for entry in entries(cache())] == ["a"]


def test_small_datasets_are_not_kept(tmp_path, data, monkeypatch):
    monkeypatch.setattr(decoded_cache, "LEAST_BYTES", SIZE + 1)
    load(tmp_path / "data")
    assert not entries(cache())


def test_clearing_leaves_other_files_alone_and_takes_what_killed_processes_left(caches):
    through_cache("a", "a", splits)
    (caches / ".b.images.123").write_bytes(b"half of it")
    (caches / "notes.txt").write_text("mine")
    assert [entry.about.title for entry in clear(cache())] == ["a"]
    assert sorted(path.name for path in caches.iterdir()) == ["lock", "notes.txt"]


CHILD = """
import sys, time
from pathlib import Path
from cifarzoo.components.protocols import Split
from cifarzoo.data import decoded_cache
import numpy as np

decoded_cache.LEAST_BYTES = 0
if len(sys.argv) > 3:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)

def decode():
    with Path(sys.argv[1]).open("a") as file:
        file.write("decoded\\n")
    time.sleep(0.3)
    return (Split(images=np.full((1000, 3, 32, 32), 7, np.uint8), labels=np.arange(1000)),) * 2

deadline = float(sys.argv[2])
time.sleep(max(0, deadline - time.time()))
train, _ = decoded_cache.through_cache("key", "title", decode)
print(int(train.images.sum()), int(train.labels.sum()))
"""


def started(*arguments):
    command = [sys.executable, "-c", CHILD, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_of_several_processes_at_once_one_decodes(tmp_path):
    import time

    children = [started(tmp_path / "log", time.time() + 2) for _ in range(6)]
    said = {child.communicate(timeout=60) for child in children}
    assert said == {(f"{1000 * 3072 * 7} {sum(range(1000))}\n", "")}
    assert (tmp_path / "log").read_text() == "decoded\n"


def test_a_full_disk_costs_nothing_but_time(tmp_path, caches):
    said, errors = started(tmp_path / "log", 0, 1 << 20).communicate(timeout=60)
    assert (said, errors) == (f"{1000 * 3072 * 7} {sum(range(1000))}\n", "")
    assert sorted(path.name for path in caches.iterdir()) == ["lock"]


def test_one_that_is_killed_while_it_writes_leaves_nothing_that_is_taken_for_whole(
    tmp_path, caches
):
    child = started(tmp_path / "log", 0)
    leftover = None
    while child.poll() is None and leftover is None:
        leftover = next(caches.glob(".key.images.*"), None) if caches.is_dir() else None
    child.kill()
    child.communicate()
    if leftover is not None and Path(leftover).exists():
        assert not (caches / "key.images").exists()
    train, _ = through_cache("key", "title", splits)
    assert len(train.labels) in (1, 1000)
    through_cache("other", "title", splits)
    assert not list(caches.glob(".*"))
