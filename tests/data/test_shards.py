"""Splits in several Parquet files: their order, and what is refused."""

import numpy as np
import pytest

from cifarzoo.data.catalogue import CIFAR10
from cifarzoo.data.opening import open_published
from cifarzoo.errors import DataError
from tests.small_cifar import encoded, small, write_parquet, write_parquets

NAMES = [f"train-{number:05}-of-00012.parquet" for number in range(12)]
TEST = "test-00000-of-00001.parquet"


def opened(folder):
    return open_published(CIFAR10, folder, labelling=CIFAR10.labellings[0])


@pytest.fixture
def data():
    return small()


@pytest.fixture
def folder(tmp_path, data):
    """A small CIFAR-10 whose training images lie in twelve files of unlike lengths."""
    parts = np.array_split(np.arange(20), 12)
    for name, rows in zip(NAMES, parts, strict=True):
        pictures = [encoded(data.images[row], "PNG") for row in rows]
        write_parquet(tmp_path / name, pictures, label=data.labels[rows])
    write_parquet(tmp_path / TEST, [encoded(i, "PNG") for i in data.test[0]], label=data.test[1])
    return tmp_path


def test_they_are_read_in_the_order_of_their_numbers(folder, data):
    dataset = opened(folder)
    train, test = dataset.load()
    np.testing.assert_array_equal(train.images, data.train[0])
    np.testing.assert_array_equal(train.labels, data.train[1])
    np.testing.assert_array_equal(test.images, data.test[0])
    assert (dataset.num_train, dataset.num_test) == (20, 10)


@pytest.mark.parametrize("codec", ["JPEG", "WebP"])
def test_one_lossy_file_among_many_is_enough_for_the_title(folder, data, codec):
    write_parquet(folder / NAMES[7], [encoded(data.images[0], codec)], label=[0])
    assert opened(folder).title == f"CIFAR-10 ({codec}, 19 + 10 images)"


def test_a_missing_one_is_named(folder):
    (folder / NAMES[3]).unlink()
    with pytest.raises(
        DataError,
        match=r"has 11 of the 12 train files; train-00003-of-00012\.parquet is missing; fetch it",
    ):
        opened(folder)


def test_files_of_two_sets_are_refused(folder, data):
    write_parquets(folder, data)
    with pytest.raises(
        DataError,
        match=r"holds train-00000-of-00001\.parquet and train-00011-of-00012\.parquet; "
        r"expected one set of train files; fetch it",
    ):
        opened(folder)


def test_a_number_beyond_the_last_is_refused(folder):
    extra = folder / "train-00012-of-00012.parquet"
    extra.write_bytes((folder / NAMES[0]).read_bytes())
    with pytest.raises(
        DataError, match=r"holds train-00012-of-00012\.parquet; expected numbers below 12; fetch it"
    ):
        opened(folder)


def test_what_is_wrong_in_one_is_told_with_its_name(folder):
    write_parquet(folder / NAMES[5], [b"GIF89a"], label=[0])
    with pytest.raises(
        DataError, match=r"train-00005-of-00012\.parquet: image 0 is no picture, not JPEG"
    ):
        opened(folder).load()
