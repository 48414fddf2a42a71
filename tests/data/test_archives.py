"""The author's own versions: what is read, what is preferred, and what is refused."""

import io
import os
import pickle
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from cifarzoo.data.archive import read_archive, unpack
from cifarzoo.data.catalogue import CIFAR100
from cifarzoo.data.formats import batches
from cifarzoo.data.locate import locate
from cifarzoo.data.opening import open_published
from cifarzoo.errors import DataError
from cifarzoo.files.real_folder import RealFolder
from tests.small_cifar import (
    NAMES,
    Small,
    batch,
    pinned,
    records,
    small,
    tar_gz,
    write_parquets,
)

FORMS = ["binary archive", "binary files", "Parquet", "python archive", "python files"]


def open_small(data: Small, folder, labelling=0):
    return open_published(data.published, folder, labelling=data.published.labellings[labelling])


def put(data: Small, form: str, folder):
    """Write one form; returns the file or folder."""
    if form == "Parquet":
        return write_parquets(folder, data)
    version, kind = form.split()
    return (data.write_archive if kind == "archive" else data.unpack)(version, folder)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_images_in_the_same_order(tmp_path, form):
    data = small()
    put(data, form, tmp_path)
    train, test = open_small(data, tmp_path).load()
    for split, (images, labels) in ((train, data.train), (test, data.test)):
        np.testing.assert_array_equal(split.images, images)
        np.testing.assert_array_equal(split.labels, labels)
        assert split.images.flags.c_contiguous
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int64)


@pytest.mark.parametrize("version", ["binary", "python"])
@pytest.mark.parametrize("labelling", [0, 1])
def test_cifar_100_has_fine_and_coarse_labels(tmp_path, version, labelling):
    data = small(of=CIFAR100)
    data.unpack(version, tmp_path)
    train, _ = open_small(data, tmp_path, labelling).load()
    fine = data.train[1]
    np.testing.assert_array_equal(train.labels, fine // 2 if labelling else fine)


@pytest.mark.parametrize("first", range(len(FORMS)))
def test_the_best_form_that_is_there_is_taken(tmp_path, first):
    data = small()
    for form in FORMS[first:]:
        put(data, form, tmp_path)
    source = locate(data.published, tmp_path, labelling=data.published.labellings[0])
    assert source.form == FORMS[first]


@pytest.mark.parametrize("place", ["", "cifar10", "CIFAR-10", "cifar_10"])
@pytest.mark.parametrize("form", FORMS)
def test_it_is_found_in_the_folder_and_in_sub_folders_of_its_name(tmp_path, place, form):
    data = small()
    put(data, form, tmp_path / place)
    assert open_small(data, tmp_path).num_train == 20


def test_the_folder_may_be_the_unpacked_one_itself(tmp_path):
    data = small()
    unpacked = data.unpack("python", tmp_path)
    assert len(open_small(data, unpacked).load()[0].labels) == 20


def test_nothing_is_read_before_load(tmp_path):
    data = small()
    path = data.write_archive("binary", tmp_path)
    path.write_bytes(b"damaged")
    dataset = open_small(data, tmp_path)
    assert (dataset.title, dataset.num_train, dataset.num_test) == ("CIFAR-10", 20, 10)
    with pytest.raises(DataError):
        dataset.load()


def test_without_a_folder_everything_is_known_but_the_images():
    dataset = open_small(small(), None)
    assert len(dataset.classes) == 10
    with pytest.raises(
        DataError,
        match=r"^CIFAR-10 needs a folder: name it with --data DIR or CIFARZOO_DATA; "
        r"fetch it with `cifarzoo data fetch cifar10 --data DIR`$",
    ):
        dataset.load()


def refused(data, folder, match):
    """Opening or loading fails with one line that ends in what to do."""
    with pytest.raises(DataError, match=match) as caught:
        open_small(data, folder).load()
    line = str(caught.value)
    assert "\n" not in line
    assert line.endswith(f"; fetch it with `cifarzoo data fetch cifar10 --data {folder}`")
    return line


def test_a_missing_folder_is_named(tmp_path):
    refused(small(), tmp_path / "nowhere", "^there is no folder .*nowhere;")


def test_a_file_instead_of_a_folder_is_refused(tmp_path):
    path = small().write_archive("binary", tmp_path)
    with pytest.raises(DataError, match=r"gz is a file; expected .* CIFAR-10$"):
        open_small(small(), path)


def test_an_empty_folder_says_what_was_looked_for(tmp_path):
    line = refused(small(), tmp_path, "is empty; looked for cifar-10-binary.tar.gz, cifar-10-")
    assert "test-00000-of-00001.parquet" in line


def test_a_folder_of_other_things_says_what_was_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    refused(small(), tmp_path, "holds no CIFAR-10; looked for cifar-10-binary.tar.gz, ")


def test_a_folder_with_a_blank_is_quoted_in_the_advice(tmp_path):
    with pytest.raises(DataError, match=r"--data '.*my data'`$"):
        open_small(small(), tmp_path / "my data")


@pytest.mark.parametrize("version", ["binary", "python"])
def test_a_truncated_archive_is_refused_by_its_size(tmp_path, version):
    data = small()
    path = data.write_archive(version, tmp_path)
    path.write_bytes(path.read_bytes()[:5000])
    refused(data, tmp_path, r"tar.gz is 5,000 bytes; expected [\d,]+ bytes;")


def test_an_empty_archive_is_refused(tmp_path):
    data = small()
    data.write_archive("binary", tmp_path).write_bytes(b"")
    refused(data, tmp_path, "tar.gz is 0 bytes; expected ")


def test_a_web_page_saved_as_an_archive_is_called_one(tmp_path):
    data = small()
    path = data.write_archive("binary", tmp_path)
    path.write_bytes(b"\n <!DOCTYPE html><html>Please log in</html>")
    refused(data, tmp_path, "is a web page, not an archive; expected ")


def test_one_flipped_bit_of_an_archive_is_noticed(tmp_path):
    data = small()
    path = data.write_archive("binary", tmp_path)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    refused(data, tmp_path, "has the sha256 [0-9a-f]{64}; expected [0-9a-f]{64};")


def with_archive(data: Small, packed: bytes, version="binary") -> Small:
    """The same dataset, as if ``packed`` were what had been published."""
    archive = getattr(data.published, version)
    pins = pinned(archive, packed, data.files[version], unpinned=())
    published = replace(data.published, **{version: pins})
    return replace(data, published=published, archives={**data.archives, version: packed})


def test_an_archive_that_is_no_tar_is_refused(tmp_path):
    data = with_archive(small(), b"not a tar")
    data.write_archive("binary", tmp_path)
    refused(data, tmp_path, r"cannot be unpacked \(.+\);")


def test_an_archive_whose_stream_ends_early_is_refused(tmp_path):
    data = small()
    data = with_archive(data, data.archives["binary"][:-5000])
    data.write_archive("binary", tmp_path)
    refused(data, tmp_path, r"cannot be unpacked \(.+\);")


def test_an_archive_without_one_of_its_files_is_refused(tmp_path):
    data = small()
    files = dict(list(data.files["binary"].items())[1:])
    data = with_archive(data, tar_gz({f"cifar-10-batches-bin/{n}": r for n, r in files.items()}))
    data.write_archive("binary", tmp_path)
    refused(data, tmp_path, "lacks data_batch_1.bin in cifar-10-batches-bin/;")


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path):
    data = small()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in data.files["binary"]:
            link = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(link)
    data = with_archive(data, buffer.getvalue())
    data.write_archive("binary", tmp_path)
    refused(data, tmp_path, "lacks data_batch_1.bin, data_batch_2.bin, test_batch.bin in cifar")


def test_members_are_taken_by_their_exact_name_and_nothing_else_is_written(tmp_path):
    data = small()
    files = {f"cifar-10-batches-bin/{n}": raw for n, raw in data.files["binary"].items()}
    evil = {"../evil": b"x", "/tmp/evil": b"x", "cifar-10-batches-bin/../data_batch_1.bin": b"x"}
    data = with_archive(data, tar_gz({**evil, **files, "data_batch_1.bin": b"x"}))
    path = data.write_archive("binary", tmp_path / "data")

    contents = read_archive(data.published.binary, RealFolder(path.parent))
    members = unpack(data.published.binary, contents.files[path.name], path)

    assert members == data.files["binary"]
    assert list(tmp_path.rglob("*")) == [tmp_path / "data", path]


@pytest.mark.parametrize("version", ["binary", "python"])
def test_a_missing_file_of_an_unpacked_folder_is_named(tmp_path, version):
    data = small()
    name = NAMES[version][1]
    (data.unpack(version, tmp_path) / name).unlink()
    refused(data, tmp_path, rf"has 2 of the 3 files; {name} missing;")


@pytest.mark.parametrize("change", [-1, -3073, +1, +3073])
def test_an_unpacked_file_of_another_size_is_refused(tmp_path, change):
    data = small()
    path = data.unpack("binary", tmp_path) / "data_batch_2.bin"
    raw = path.read_bytes()
    path.write_bytes(raw + b"\0" * change if change > 0 else raw[:change])
    refused(data, tmp_path, rf"data_batch_2.bin is {30730 + change:,} bytes; expected 30,730;")


@pytest.mark.parametrize("version", ["binary", "python"])
def test_one_flipped_bit_of_an_unpacked_file_is_noticed(tmp_path, version):
    data = small()
    path = data.unpack(version, tmp_path) / NAMES[version][0]
    raw = bytearray(path.read_bytes())
    raw[2000] ^= 1
    path.write_bytes(raw)
    refused(data, tmp_path, r"data_batch_1(\.bin)? has the md5 [0-9a-f]{32}; expected ")


def test_a_label_out_of_range_is_refused_with_its_place(tmp_path):
    images = small().images[:10]
    data = small(**{"data_batch_2.bin": records(images, np.array([*range(9), 10]))})
    data.unpack("binary", tmp_path)
    refused(data, tmp_path, "image 19 has the label 10; expected 0 to 9;")


def test_records_that_are_cut_off_are_refused_where_no_size_is_published(tmp_path):
    data = small(**{"data_batch_2.bin": b"\0" * 3072})
    data.unpack("binary", tmp_path)
    refused(data, tmp_path, "data_batch_2.bin is 3,072 bytes; expected a multiple of 3,073;")


def test_a_dataset_without_images_is_refused(tmp_path):
    data = small(**{"test_batch.bin": b""})
    data.unpack("binary", tmp_path)
    refused(data, tmp_path, "holds no images; expected at least one;")


def test_a_file_that_may_not_be_read_is_named(tmp_path):
    data = small()
    path = data.write_archive("binary", tmp_path)
    dataset = open_small(data, tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"^cannot read .*tar.gz: No such file or directory$"):
        dataset.load()


class Attack:
    """Creates the file ``path`` when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_runs_something_is_refused_and_not_run(tmp_path, protocol):
    attack = Attack(tmp_path / "ran")
    raw = pickle.dumps({"data": attack, "labels": []}, protocol)
    data = small(data_batch_1=raw)
    data.unpack("python", tmp_path)

    refused(data, tmp_path, r"data_batch_1 is no pickle of arrays alone: it asks for _?io\.open;")

    assert not (tmp_path / "ran").exists()
    pickle.loads(raw)["data"].close()  # the attack itself works
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"", "is no pickle of arrays alone: Ran out of input"),
        (b"hello", "is no pickle of arrays alone: "),
        (pickle.dumps([1, 2]), "holds list; expected data and labels"),
        (pickle.dumps({"data": 1, "names": 2}), r"holds \['data', 'names'\]; expected data and l"),
        (pickle.dumps({"data": "x", "labels": []}), r"data is str; expected uint8 \(N, 3072\)"),
        (
            pickle.dumps({"data": np.zeros((2, 3072)), "labels": [0, 1]}),
            r"data is float64 \(2, 3072\); expected uint8 \(N, 3072\)",
        ),
        (
            pickle.dumps({"data": np.zeros((2, 784), np.uint8), "labels": [0, 1]}),
            r"data is uint8 \(2, 784\); expected uint8 \(N, 3072\)",
        ),
        (
            pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": ["a", "b"]}),
            "the labels are no list of whole numbers",
        ),
        (
            pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1]}),
            "has 1 labels for 2 images",
        ),
    ],
)
def test_a_batch_of_another_shape_is_refused(tmp_path, raw, problem):
    data = small(test_batch=raw)
    data.unpack("python", tmp_path)
    refused(data, tmp_path, problem)


def python_2_array(data: np.ndarray) -> bytes:
    """Opcodes of protocol 2 for a uint8 array: Python 2 put its bytes into a plain string."""
    rows, columns = (b"M" + size.to_bytes(2, "little") for size in data.shape)
    minus_one = b"J" + (-1).to_bytes(4, "little", signed=True)
    dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN" + minus_one * 2 + b"K\x00tb"
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    raw = b"T" + data.nbytes.to_bytes(4, "little") + data.tobytes()
    return empty + b"(K\x01(" + rows + columns + b"t" + dtype + b"I00\n" + raw + b"tb"


def test_a_batch_as_python_2_wrote_it_is_read():
    images, labels = small().train
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    raw = b"\x80\x02}(U\x04data" + python_2_array(images.reshape(20, -1))
    raw += b"U\x06labels" + numbers + b"u."
    read_images, read_labels = batches.decode(raw, key="labels", where="here")
    np.testing.assert_array_equal(read_images, images)
    np.testing.assert_array_equal(read_labels, labels)


def test_random_damage_to_a_batch_ends_in_one_error_or_in_arrays():
    images, labels = small().train
    raw = batch(images[:2], labels[:2])
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(raw)
        damaged[rng.integers(len(raw) if rng.random() < 0.5 else 200)] ^= 1 << rng.integers(8)
        try:
            found, _ = batches.decode(bytes(damaged), key="labels", where="here")
        except DataError:
            continue
        assert found.shape[1:] == (3, 32, 32)


def test_reading_leaves_the_folder_as_it_was(tmp_path):
    data = small()
    data.write_archive("python", tmp_path)
    before = sorted(tmp_path.rglob("*"))
    open_small(data, tmp_path).load()
    assert sorted(tmp_path.rglob("*")) == before


def test_the_stand_ins_are_what_they_claim():
    data = small()
    raw = data.files["python"]["data_batch_1"]
    assert b"numpy.core.multiarray" in raw  # as the real ones, which NumPy 1 wrote
    assert pickle.load(io.BytesIO(raw))["labels"] == data.labels[:10].tolist()


ODD = {
    "a link": (
        lambda path, mine: path.symlink_to(mine),
        "a link to '/.*'; expected the f.* itself",
    ),
    "a pipe": (lambda path, _mine: os.mkfifo(path), "a named pipe; expected a f"),
    "a device": (lambda path, _mine: path.symlink_to("/dev/zero"), "a link to '/dev/zero'"),
}


@pytest.mark.timeout(20)  # a pipe that is waited for
@pytest.mark.parametrize(("make", "what"), ODD.values(), ids=ODD)
@pytest.mark.parametrize("is_folder", [False, True], ids=["file", "folder"])
@pytest.mark.parametrize("form", FORMS)
def test_what_is_no_file_or_folder_itself_is_refused_at_once(tmp_path, form, is_folder, make, what):
    """Whatever a data folder from elsewhere has in the place of a file, or of a sub-folder."""
    put(small(), form, tmp_path / "data/cifar10")
    whole = tmp_path / "data/cifar10"
    path = whole if is_folder else next(each for each in whole.rglob("*") if each.is_file())
    path.rename(tmp_path / "mine")
    make(path, tmp_path / "mine")

    with pytest.raises(DataError, match=rf"^cannot read {path}: it is {what}") as caught:
        open_small(small(), tmp_path / "data").load()

    hint = "; name the folder where it lies by --data, or put a copy of it there"
    assert str(caught.value).endswith(hint) == path.is_symlink()


@pytest.mark.parametrize("form", FORMS)
def test_the_folder_itself_may_be_a_link_and_lie_below_one(tmp_path, form):
    put(small(), form, tmp_path / "disk/data")
    (tmp_path / "linked").symlink_to("disk")
    (tmp_path / "data").symlink_to("linked/data")

    for folder in (tmp_path / "data", tmp_path / "linked/data"):
        assert len(open_small(small(), folder).load()[0].labels) == 20


@pytest.mark.parametrize("form", FORMS)
def test_files_that_have_the_names_of_folders_are_in_nobodys_way(tmp_path, form):
    put(small(), form, tmp_path)
    for name in ("cifar10", "plain_text", "data"):
        (tmp_path / name).write_text("")

    assert len(open_small(small(), tmp_path).load()[0].labels) == 20
