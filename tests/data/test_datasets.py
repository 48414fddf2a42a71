"""The registered datasets: what they promise before and after they are read."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets as torchvision_datasets

from cifarzoo.components.kinds import KINDS
from cifarzoo.components.registry import register
from cifarzoo.data.catalogue import CATALOGUE, CIFAR10, CIFAR100
from cifarzoo.data.store import ImageStore
from cifarzoo.engine.assembly.dataset import read_dataset
from cifarzoo.errors import DataError
from cifarzoo.protocols import Split
from cifarzoo.zoo.datasets.cifar import cifar10, cifar100
from cifarzoo.zoo.datasets.glyphs import glyphs
from tests.small_cifar import PARQUET_NAMES, encoded, small, write_parquet, write_parquets

PIXELS = 3 * 32 * 32
REAL = os.environ.get("CIFARZOO_TEST_DATA")
needs_real = pytest.mark.skipif(REAL is None, reason="CIFARZOO_TEST_DATA names no folder")


@pytest.mark.parametrize("factory", [cifar10, cifar100, glyphs])
def test_every_dataset_can_be_looked_at_without_a_folder(factory):
    dataset = factory(None)
    assert register.components[factory.__name__].kind == "dataset"
    assert KINDS["dataset"].injected == ("folder",)
    assert len(dataset.mean) == len(dataset.std) == 3
    assert dataset.num_train > dataset.num_test > 0


@pytest.mark.parametrize(
    ("dataset", "title", "classes", "mean", "std"),
    [
        (cifar10(None), "CIFAR-10", 10, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        (cifar100(None), "CIFAR-100", 100, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
        (
            cifar100(None, labels="coarse"),
            "CIFAR-100 (coarse)",
            20,
            (0.5071, 0.4865, 0.4409),
            (0.2673, 0.2564, 0.2762),
        ),
    ],
)
def test_the_published_facts_are_known_at_once(dataset, title, classes, mean, std):
    assert dataset.title == title
    assert len(set(dataset.classes)) == classes
    assert (dataset.mean, dataset.std) == (mean, std)
    assert (dataset.num_train, dataset.num_test) == (50_000, 10_000)


def test_classes_are_in_alphabetical_order_as_in_the_archives():
    for published in (CIFAR10, CIFAR100):
        for labelling in published.labellings:
            plain = [name.replace("_", " ").replace("-", " ") for name in labelling.classes]
            assert plain == sorted(plain)


@pytest.mark.parametrize(
    ("published", "theirs"),
    [
        (CIFAR10, torchvision_datasets.CIFAR10),
        (CIFAR100, torchvision_datasets.CIFAR100),
    ],
)
def test_names_and_digests_of_the_python_version_are_torchvisions(published, theirs):
    ours = published.python
    assert ours.url == theirs.url
    assert ours.file_name == theirs.filename
    assert ours.folder == theirs.base_folder
    assert [[m.name, m.digest.removeprefix("md5:")] for m in ours.train] == theirs.train_list
    assert [[m.name, m.digest.removeprefix("md5:")] for m in ours.test] == theirs.test_list


@pytest.mark.parametrize("published", CATALOGUE.values())
def test_files_of_the_binary_version_have_room_for_exactly_the_published_images(published):
    record = len(published.labellings) + PIXELS
    for members, images in (
        (published.binary.train, published.num_train),
        (published.binary.test, published.num_test),
    ):
        assert sum(member.size for member in members) == record * images


def test_everything_is_fetched_over_https():
    for published in CATALOGUE.values():
        assert published.binary.url.startswith("https://www.cs.toronto.edu/~kriz/")


def test_cifar10_reads_a_folder_of_parquet_files(tmp_path):
    data = small()
    write_parquets(tmp_path, data, "PNG")
    dataset = cifar10(tmp_path)
    train, test = dataset.load()
    np.testing.assert_array_equal(train.images, data.train[0])
    assert (len(test.labels), dataset.num_test) == (10, 10)


def test_cifar100_reads_either_labels(tmp_path):
    picture = encoded(small().images[0], "PNG")
    for name in PARQUET_NAMES:
        write_parquet(tmp_path / name, [picture], fine_label=[7], coarse_label=[3])
    assert cifar100(tmp_path).load()[0].labels.tolist() == [7]
    assert cifar100(tmp_path, labels="coarse").load()[0].labels.tolist() == [3]


def test_a_folder_without_the_dataset_is_refused_at_once(tmp_path):
    with pytest.raises(DataError, match=r"is empty; looked for cifar-100-binary\.tar\.gz, "):
        cifar100(tmp_path)


def test_a_stand_in_archive_does_not_pass_for_the_real_one(tmp_path):
    small().write_archive("binary", tmp_path)
    with pytest.raises(DataError, match=r"bytes; expected 170,052,171 bytes; fetch it with"):
        cifar10(tmp_path).load()


@needs_real
def test_the_real_jpeg_copy_decodes_to_the_recorded_pixels():
    dataset = cifar10(Path(REAL))
    splits = dataset.load()
    assert dataset.title == "CIFAR-10 (JPEG)"
    digests = []
    for split in splits:  # class by class, in the order of the files
        by_class = split.images[np.argsort(split.labels, kind="stable")]
        digests.append(hashlib.sha256(by_class.tobytes()).hexdigest())
    assert digests == [
        "f12bc101717acd0df836682c335adf2f0f589f6a84917c61c9d2512d7b4bae09",
        "2fb7dfcd1893f37e705d81075b9d9d7245d714b136474baa19c48f02d7a6f670",
    ]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "uint64", ">i4"])
def test_labels_of_any_integer_type_are_those_of_int64(dtype):
    labels = np.arange(10) % 10
    split = Split(images=np.zeros((10, 3, 32, 32), np.uint8), labels=labels.astype(dtype))
    dataset = replace(glyphs(None), load=lambda: (split, split), num_train=None, num_test=None)

    train, _ = read_dataset(dataset)
    _, targets = ImageStore(train, num_classes=10, device="cpu").batch(np.arange(10))

    assert train.labels.dtype == np.int64
    assert targets.argmax(1).tolist() == labels.tolist()
