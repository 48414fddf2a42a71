"""The Hugging Face hub's layout: pixels, titles, and what is refused."""

import io
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cifarzoo.data.catalogue import CIFAR10, CIFAR100
from cifarzoo.data.formats import pictures
from cifarzoo.data.opening import open_published
from cifarzoo.errors import DataError
from tests.small_cifar import LOSSLESS, PARQUET_NAMES, encoded, small, write_parquet, write_parquets


def open_in(folder, published=CIFAR10, labelling=0):
    return open_published(published, folder, labelling=published.labellings[labelling])


def refused(folder, match, published=CIFAR10):
    """Opening or loading fails with one line that ends in what to do."""
    with pytest.raises(DataError, match=match) as caught:
        open_in(folder, published).load()
    line = str(caught.value)
    assert "\n" not in line
    name = published.name
    assert line.endswith(f"; fetch it with `cifarzoo data fetch {name} --data {folder}`")


@pytest.fixture
def images():
    return small().images


@pytest.fixture
def with_train(tmp_path, images):
    """``with_train(pictures, labels)``: a folder with them as train and a good test file."""

    def write(files, labels):
        write_parquet(tmp_path / PARQUET_NAMES[0], files, label=labels)
        write_parquet(tmp_path / PARQUET_NAMES[1], [encoded(images[0], "PNG")], label=[0])
        return tmp_path

    return write


@pytest.mark.parametrize("codec", ["PNG", LOSSLESS])
def test_lossless_images_come_out_as_they_went_in(tmp_path, codec):
    data = small()
    write_parquets(tmp_path, data, codec)
    train, test = open_in(tmp_path).load()
    np.testing.assert_array_equal(train.images, data.train[0])
    np.testing.assert_array_equal(test.images, data.test[0])
    np.testing.assert_array_equal(train.labels, data.train[1])


@pytest.mark.parametrize("codec", ["JPEG", "WebP"])
def test_lossy_images_come_out_as_pillow_decodes_them(tmp_path, codec):
    data = small()
    write_parquets(tmp_path, data, codec)
    train, _ = open_in(tmp_path).load()
    for image, original in zip(train.images, data.train[0], strict=True):
        with Image.open(io.BytesIO(encoded(original, codec))) as opened:
            np.testing.assert_array_equal(image, np.asarray(opened).transpose(2, 0, 1))


def test_more_jpegs_than_one_chunk_keep_their_order(images, monkeypatch):
    monkeypatch.setattr(pictures, "_CHUNK", 7)
    files = [encoded(image, "JPEG") for image in images]
    together = pictures.decode(files, where="here")
    alone = np.concatenate([pictures.decode([file], where="here") for file in files])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("codec", ["PNG", "JPEG"])
def test_grey_images_get_three_equal_channels(codec):
    grey = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (32, 1))
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, codec)
    (image,) = pictures.decode([buffer.getvalue()], where="here")
    np.testing.assert_array_equal(image[0], image[1])
    np.testing.assert_array_equal(image[0], image[2])
    np.testing.assert_allclose(image[0], grey, atol=3)


@pytest.mark.parametrize(
    ("codec", "title"),
    [
        ("PNG", "CIFAR-10 (20 + 10 images)"),
        (LOSSLESS, "CIFAR-10 (20 + 10 images)"),
        ("JPEG", "CIFAR-10 (JPEG, 20 + 10 images)"),
        ("WebP", "CIFAR-10 (WebP, 20 + 10 images)"),
    ],
)
def test_the_title_says_what_is_not_as_published_before_anything_is_loaded(tmp_path, codec, title):
    write_parquets(tmp_path, small(), codec)
    dataset = open_in(tmp_path)
    assert dataset.title == title
    assert (dataset.num_train, dataset.num_test) == (20, 10)


def test_jpeg_in_one_of_the_two_files_is_enough_for_the_title(tmp_path, images):
    for name, codec in zip(PARQUET_NAMES, ("PNG", "JPEG"), strict=True):
        write_parquet(tmp_path / name, [encoded(images[0], codec)], label=[0])
    assert "JPEG" in open_in(tmp_path).title


@pytest.mark.parametrize("images", ["img", "image"])
def test_the_column_of_images_is_named_as_variants_of_the_hub_name_it(tmp_path, images):
    data = small()
    for name, (pixels, labels) in zip(PARQUET_NAMES, (data.train, data.test), strict=True):
        pictures = [encoded(image, "PNG") for image in pixels]
        write_parquet(tmp_path / name, pictures, images=images, label=labels)
    np.testing.assert_array_equal(open_in(tmp_path).load()[0].images, data.train[0])


@pytest.mark.parametrize("place", ["plain_text", "data", "cifar10", "cifar10/plain_text"])
def test_it_is_found_where_copies_of_the_hub_have_it(tmp_path, place):
    write_parquets(tmp_path / place, small())
    assert open_in(tmp_path).num_train == 20


@pytest.mark.parametrize("labelling", [0, 1])
def test_cifar_100_has_two_columns_of_labels(tmp_path, images, labelling):
    files = [encoded(image, "PNG") for image in images[:3]]
    for name in PARQUET_NAMES:
        write_parquet(
            tmp_path / "cifar100" / name, files, fine_label=[99, 0, 5], coarse_label=[1, 19, 0]
        )
    dataset = open_in(tmp_path, CIFAR100, labelling)
    assert dataset.load()[0].labels.tolist() == [[99, 0, 5], [1, 19, 0]][labelling]
    assert len(dataset.classes) == (100, 20)[labelling]
    assert ("coarse" in dataset.title) == bool(labelling)


def test_several_row_groups_are_read_in_order(tmp_path):
    data = small()
    write_parquets(tmp_path, data)
    path = tmp_path / PARQUET_NAMES[0]
    pq.write_table(pq.read_table(path), path, row_group_size=3)
    np.testing.assert_array_equal(open_in(tmp_path).load()[0].images, data.train[0])


def test_a_file_of_another_dataset_does_not_hide_the_one_that_is_there(tmp_path):
    data = small(of=CIFAR100)
    write_parquets(tmp_path, data)  # with CIFAR-10's columns
    data.unpack("python", tmp_path)
    train, _ = open_in(tmp_path, data.published).load()
    np.testing.assert_array_equal(train.labels, data.train[1])


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ({"image": ["x"], "label": [0]}, r"image \(string\), label \(int64\)"),
        ({"picture": [{"bytes": b"x"}], "label": [0]}, r"picture \(struct<.*>\), label \(int64\)"),
        ({"img": ["x"], "label": [0]}, r"img \(string\), label \(int64\)"),
        ({"img": [{"bytes": b"x"}]}, r"img \(struct<bytes: binary>\)"),
        ({"img": [{"path": "x"}], "label": [0]}, r"img \(struct<path: string>\), label \(int64\)"),
        (
            {"img": [{"bytes": b"x"}], "label": ["cat"]},
            r"img \(struct<bytes: binary>\), label \(string\)",
        ),
    ],
)
def test_other_columns_are_refused_and_shown(tmp_path, table, found):
    for name in PARQUET_NAMES:
        pq.write_table(pa.table(table), tmp_path / name)
    expected = r"expected img or image \(struct<bytes, path>\) and label \(int64\)"
    refused(tmp_path, f"holds no CIFAR-10; .*parquet has the columns {found}; {expected};")


@pytest.mark.parametrize("keep", [0, 3, 100, -1, -100])
def test_a_truncated_file_is_refused(tmp_path, keep):
    write_parquets(tmp_path, small())
    path = tmp_path / PARQUET_NAMES[0]
    path.write_bytes(path.read_bytes()[:keep])
    refused(tmp_path, r"train-00000-of-00001.parquet is no whole Parquet file \(.+\);")


def test_a_web_page_saved_as_parquet_is_refused(tmp_path):
    write_parquets(tmp_path, small())
    (tmp_path / PARQUET_NAMES[1]).write_text("<html>Please log in to download this file</html>")
    refused(tmp_path, r"test-00000-of-00001.parquet is no whole Parquet file \(.+\);")


def test_random_damage_ends_in_one_line_or_in_images_of_the_right_shape(tmp_path):
    data = small()
    write_parquets(tmp_path, data)
    path = tmp_path / PARQUET_NAMES[1]
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refusals = 0
    for _ in range(60):
        damaged = bytearray(whole)
        place = rng.integers(len(whole)) if rng.random() < 0.5 else -rng.integers(1, 900)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            test = open_in(tmp_path).load()[1]
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017 - not every damage can be seen
            refusals += 1
        else:
            assert test.images.shape[1:] == (3, 32, 32)
    assert refusals > 10


@pytest.mark.parametrize("index", [0, 1])
def test_one_file_without_the_other_is_refused(tmp_path, index):
    write_parquets(tmp_path, small())
    (tmp_path / PARQUET_NAMES[index]).unlink()
    refused(tmp_path, f"holds {PARQUET_NAMES[1 - index]} but no {PARQUET_NAMES[index]};")


def test_a_file_without_rows_is_refused(with_train):
    refused(with_train([], []), "train-.*parquet holds no images; expected at least one;")


@pytest.mark.parametrize("label", [-1, 10, 2**40])
def test_a_label_out_of_range_is_refused_with_its_place(with_train, images, label):
    files = [encoded(image, "PNG") for image in images[:3]]
    refused(with_train(files, [0, label, 0]), f"image 1 has the label {label}; expected 0 to 9;")


@pytest.mark.parametrize("codec", ["PNG", "JPEG", "WebP", LOSSLESS])
def test_an_image_of_another_size_is_refused_with_its_place(with_train, images, codec):
    wrong = np.zeros((3, 28, 64), np.uint8)
    files = [encoded(image, codec) for image in (images[0], images[1], wrong)]
    refused(with_train(files, [0, 1, 2]), "image 2 is 64 x 28 pixels; expected 32 x 32;")


@pytest.mark.parametrize("wrong", [np.zeros((3, 32, 31), np.uint8), None])
def test_a_wrong_jpeg_far_behind_is_named_by_its_place_in_the_file(images, wrong, monkeypatch):
    monkeypatch.setattr(pictures, "_CHUNK", 3)
    files = [encoded(image, "JPEG") for image in images[:9]]
    files[7] = files[7][:200] if wrong is None else encoded(wrong, "JPEG")
    with pytest.raises(DataError, match=r"^here: image 7 (is 31 x 32 pixels|cannot be decoded)"):
        pictures.decode(files, where="here")


@pytest.mark.parametrize("codec", ["PNG", "JPEG", "WebP", LOSSLESS])
@pytest.mark.parametrize("keep", [20, 300, -30])
def test_a_cut_off_image_is_refused_with_its_place(with_train, images, codec, keep):
    files = [encoded(image, codec) for image in images[:3]]
    files[1] = files[1][:keep]
    refused(with_train(files, [0, 1, 2]), r"image 1 cannot be decoded \(.+\);")


def test_a_damaged_png_is_refused(with_train, images):
    raw = bytearray(encoded(images[0], "PNG"))
    raw[len(raw) // 2] ^= 255
    refused(with_train([bytes(raw)], [0]), r"image 0 cannot be decoded \(.+\);")


def test_a_png_that_claims_to_be_huge_is_refused_undecoded(with_train, images):
    raw = bytearray(encoded(images[0], "PNG"))
    raw[16:24] = (60000).to_bytes(4, "big") * 2  # width and height; the checksum is not updated
    refused(with_train([bytes(raw)], [0]), "image 0 (is 60000 x 60000|cannot be decoded)")


@pytest.mark.parametrize("first", [b"GIF89a", b""])
def test_what_is_no_picture_is_refused(with_train, first):
    refused(with_train([first], [0]), "image 0 is no picture, not JPEG, PNG or WebP;")


def test_a_file_of_mixed_codecs_is_refused(with_train, images):
    files = [encoded(images[0], "PNG"), encoded(images[1], "JPEG")]
    refused(with_train(files, [0, 1]), "image 1 is JPEG, not PNG as the first;")


@pytest.mark.parametrize(("picture", "label", "name"), [(None, 0, "img.bytes"), (1, None, "label")])
def test_gaps_are_refused(with_train, images, picture, label, name):
    whole = encoded(images[0], "PNG")
    folder = with_train([whole, whole if picture else None], [0, label])
    refused(folder, f"1 rows have no {name};")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    write_parquets(tmp_path, small())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        DataError,
        match=r"^reading .*parquet takes pyarrow; "
        r"install it with `pip install 'cifarzoo\[parquet\]'`$",
    ):
        open_in(tmp_path)
