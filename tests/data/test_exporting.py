"""Datasets that were exported are those that were read, in whatever reads them."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from torchvision.datasets import ImageFolder

from cifarzoo.data.catalogue import CIFAR10, CIFAR100
from cifarzoo.data.exporting import export
from cifarzoo.data.opening import open_published
from cifarzoo.data.verify import verify
from cifarzoo.errors import DataError
from tests.small_cifar import NAMES, small, write_parquets


@pytest.fixture(params=[CIFAR10, CIFAR100], ids=["cifar10", "cifar100"])
def data(request, tmp_path):
    data = small(of=request.param)
    data.write_archive("python", tmp_path / "data")
    return data


def loaded(data, folder, labelling=0):
    published = data.published
    return open_published(published, folder, labelling=published.labellings[labelling]).load()


@pytest.mark.parametrize("form", ["binary", "parquet"])
def test_what_is_exported_reads_as_what_was_there(tmp_path, data, form):
    export(data.published, tmp_path / "data", tmp_path / "out", form=form)
    for labelling in range(len(data.published.labellings)):
        before = loaded(data, tmp_path / "data", labelling)
        after = loaded(data, tmp_path / "out", labelling)
        for old, new in zip(before, after, strict=True):
            np.testing.assert_array_equal(old.images, new.images)
            np.testing.assert_array_equal(old.labels, new.labels)


def test_binary_files_are_the_authors_to_the_byte(tmp_path, data):
    title, paths = export(data.published, tmp_path / "data", tmp_path / "out", form="binary")
    folder = tmp_path / "out" / data.published.binary.folder
    for name, raw in data.files["binary"].items():
        assert (folder / name).read_bytes() == raw
    classes = data.published.labellings[-1].classes
    names = "batches.meta.txt" if len(classes) == 10 else "coarse_label_names.txt"
    assert (folder / names).read_text().split() == list(classes)
    assert title == data.published.title
    assert {path.name for path in paths} == {path.name for path in folder.iterdir()}
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, check=True)
    assert done.returncode == 0


def test_folders_of_png_are_what_torchvision_reads(tmp_path):
    data = small()
    data.write_archive("binary", tmp_path / "data")
    export(data.published, tmp_path / "data", tmp_path / "out", form="png-folder")
    found = ImageFolder(tmp_path / "out/train")
    assert tuple(found.classes) == data.published.labellings[0].classes
    images, labels = data.train
    for (path, label), (image, _) in zip(found.samples, found, strict=True):
        row = int(path[-9:-4])
        assert label == labels[row]
        np.testing.assert_array_equal(np.asarray(image).transpose(2, 0, 1), images[row])


def test_the_hub_finds_its_description_of_the_columns(tmp_path, data):
    export(data.published, tmp_path / "data", tmp_path / "out", form="parquet")
    schema = pq.read_schema(tmp_path / "out/train-00000-of-00001.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["img"] == {"_type": "Image"}
    for labelling in data.published.labellings:
        assert features[labelling.column]["names"] == list(labelling.classes)
    assert schema.names == ["img", *(each.column for each in data.published.labellings)]


def test_a_binary_copy_in_another_order_is_as_safe_from_damage_as_the_authors(tmp_path):
    data = small()
    data.write_archive("binary", tmp_path / "data")
    order = np.random.default_rng(0).permutation(20)
    mixed = replace(
        data,
        images=np.concatenate([data.images[:20][order], data.images[20:]]),
        labels=np.concatenate([data.labels[:20][order], data.labels[20:]]),
    )
    write_parquets(tmp_path / "mixed", mixed)
    export(data.published, tmp_path / "mixed", tmp_path / "out", form="binary")

    found = verify(data.published, tmp_path / "out")
    assert found.train_pixels == "other pixels than we know"  # of which none are known
    train, _ = loaded(data, tmp_path / "out")
    np.testing.assert_array_equal(train.images, mixed.train[0])

    path = tmp_path / "out" / data.published.binary.folder / NAMES["binary"][1]
    raw = bytearray(path.read_bytes())
    raw[1000] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"data_batch_2\.bin has the sha256 .*; expected .*; fetch"):
        loaded(data, tmp_path / "out")


@pytest.mark.parametrize("text", ["", "junk", "0" * 64 + "  data_batch_1.bin\n"])
def test_digests_that_do_not_list_every_file_are_refused(tmp_path, text):
    data = small()
    folder = data.unpack("binary", tmp_path)
    (folder / "SHA256SUMS").write_text(text)
    with pytest.raises(DataError, match=r"SHA256SUMS doesn't list .*test_batch\.bin; fetch it"):
        loaded(data, tmp_path)


def test_digests_beside_the_authors_files_change_nothing_but_what_is_checked(tmp_path):
    data = small()
    folder = data.unpack("binary", tmp_path)
    lines = [
        f"{hashlib.sha256(raw).hexdigest()}  {name}\n" for name, raw in data.files["binary"].items()
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))
    np.testing.assert_array_equal(loaded(data, tmp_path)[0].images, data.train[0])


def test_a_copy_known_as_jpeg_stays_that_when_it_is_stored_as_png(tmp_path):
    from cifarzoo.data.evidence import set_digest
    from cifarzoo.data.published import Known

    data = small()
    write_parquets(tmp_path / "jpeg", data, "JPEG")
    published = data.published
    splits = open_published(published, tmp_path / "jpeg", labelling=published.labellings[0]).load()
    known = tuple(
        Known(part=part, digest=set_digest(split), words="the JPEG copy", note="JPEG")
        for part, split in zip(("train", "test"), splits, strict=True)
    )
    published = replace(published, known=known)
    title, _ = export(published, tmp_path / "jpeg", tmp_path / "out", form="parquet")
    assert title == "CIFAR-10 (JPEG)"
    assert verify(published, tmp_path / "out").title == "CIFAR-10 (JPEG)"


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda path: (path.mkdir(), (path / "mine").write_text("")), "is not empty; name a fol"),
        (lambda path: path.write_text("mine"), "is there and no folder; name another one"),
        (lambda path: path.symlink_to("elsewhere"), "is there and no folder; name another one"),
    ],
    ids=["full", "file", "link"],
)
def test_what_is_there_is_not_touched(tmp_path, data, make, match):
    make(tmp_path / "out")
    with pytest.raises(DataError, match=f"^{tmp_path / 'out'} {match}"):
        export(data.published, tmp_path / "data", tmp_path / "out", form="binary")
    assert not list(tmp_path.glob(".out.*"))


def test_an_empty_folder_may_be_there(tmp_path, data):
    (tmp_path / "out").mkdir()
    export(data.published, tmp_path / "data", tmp_path / "out", form="binary")
    assert (tmp_path / "out").stat().st_mode & 0o700 == 0o700


def test_too_few_images_for_the_binary_version_are_refused(tmp_path):
    data = small()
    write_parquets(tmp_path / "data", data)
    with pytest.raises(DataError, match="there are 20 train images; the binary version has 50,000"):
        export(CIFAR10, tmp_path / "data", tmp_path / "out", form="binary")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


@pytest.mark.parametrize("form", ["binary", "parquet", "png-folder"])
def test_a_full_disk_leaves_nothing(tmp_path, form):
    data = small()
    write_parquets(tmp_path / "data", data)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from cifarzoo.data.catalogue import CIFAR10\n"
        "from cifarzoo.data.exporting import export\n"
        "from cifarzoo.errors import DataError\n"
        "from dataclasses import replace\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "published = replace(CIFAR10, num_train=20, num_test=10)\n"
        "try: export(published, Path(sys.argv[1]), Path(sys.argv[2]), form=sys.argv[3])\n"
        "except DataError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "data", tmp_path / "out", form],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"cannot write to {tmp_path / 'out'}: File too large\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
