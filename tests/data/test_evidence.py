"""What a copy is, told by its images alone."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cifarzoo.components.protocols import Split
from cifarzoo.data.catalogue import CATALOGUE, CIFAR10
from cifarzoo.data.evidence import set_digest
from cifarzoo.data.opening import open_published
from cifarzoo.data.verify import verify
from tests.small_cifar import LOSSLESS, small, write_parquets

REAL = os.environ.get("CIFARZOO_TEST_DATA")


def split(images, labels):
    return Split(images=images, labels=labels)


@pytest.fixture
def data():
    return small()


@pytest.fixture
def published(data):
    """The small dataset, of which both splits are known."""
    return replace(data.published, known=data.known)


def opened(published, folder):
    return open_published(published, folder, labelling=published.labellings[0])


def title_after(dataset):
    return dataset.title_of(*dataset.load())


def test_the_order_does_not_matter_and_all_else_does(data):
    images, labels = data.train
    digest = set_digest(split(images, labels))
    order = np.random.default_rng(0).permutation(20)
    assert set_digest(split(images[order], labels[order])) == digest
    assert set_digest(split(images[order], labels[order].astype(np.uint8))) == digest

    pixel, label = images.copy(), labels.copy()
    pixel[3, 0, 0, 0] ^= 1
    label[3] = (label[3] + 1) % 10
    others = [
        split(pixel, labels),
        split(images, label),
        split(images[order], labels),
        split(images[1:], labels[1:]),
        split(np.concatenate([images, images[:1]]), np.append(labels, labels[0])),
    ]
    assert digest not in [set_digest(other) for other in others]


@pytest.mark.parametrize("codec", ["PNG", LOSSLESS])
def test_known_pixels_have_the_plain_title_in_any_order(tmp_path, data, published, codec):
    order = np.concatenate([np.arange(20)[::-1], 20 + np.arange(10)[::-1]])
    write_parquets(
        tmp_path, replace(data, images=data.images[order], labels=data.labels[order]), codec
    )
    assert title_after(opened(published, tmp_path)) == "CIFAR-10"
    found = verify(published, tmp_path)
    assert found.title == "CIFAR-10"
    assert found.train_pixels == "the copy that we know"
    assert found.test_pixels == "the published test images"


def test_other_pixels_are_said_in_the_title(tmp_path, data, published):
    images = data.images.copy()
    images[0, 0, 0, 0] ^= 1
    write_parquets(tmp_path, replace(data, images=images))
    assert opened(published, tmp_path).title == "CIFAR-10"
    assert title_after(opened(published, tmp_path)) == "CIFAR-10 (other pixels)"
    found = verify(published, tmp_path)
    assert found.title == "CIFAR-10 (other pixels)"
    assert found.train_pixels == "other pixels than we know"
    assert found.test_pixels == "the published test images"


def test_lossy_images_are_called_by_their_codec(tmp_path, data, published):
    write_parquets(tmp_path, data, "WebP")
    assert title_after(opened(published, tmp_path)) == "CIFAR-10 (WebP)"
    assert verify(published, tmp_path).train_pixels == "other pixels than we know"


def test_swapped_splits_are_not_known(tmp_path, data, published):
    swapped = tuple(
        replace(known, part={"train": "test", "test": "train"}[known.part])
        for known in published.known
    )
    write_parquets(tmp_path, data)
    assert title_after(opened(replace(published, known=swapped), tmp_path)).endswith("pixels)")


@pytest.mark.parametrize("version", ["binary", "python"])
def test_the_digest_of_an_archive_is_proof_enough(tmp_path, data, version):
    data.write_archive(version, tmp_path)
    published = replace(data.published, known=())
    assert title_after(opened(published, tmp_path)) == "CIFAR-10"
    found = verify(published, tmp_path)
    assert found.train_pixels == "the published training images"
    assert found.test_pixels == "the published test images"


@pytest.mark.skipif(REAL is None, reason="CIFARZOO_TEST_DATA names no folder")
@pytest.mark.parametrize("name", CATALOGUE)
def test_the_real_lossless_copies_are_the_ones_we_know(name):
    folder = Path(REAL) / "original"
    found = verify(CATALOGUE[name], folder)
    assert found.title == CATALOGUE[name].title
    assert found.train_pixels == "the copy that we know"
    is_ten = CATALOGUE[name] is CIFAR10
    assert found.test_pixels == f"the {'published test images' if is_ten else 'copy that we know'}"
