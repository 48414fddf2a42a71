"""``predictions.npz``: what is written is read, and what makes no sense is refused."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cifarzoo.errors import UsageError
from cifarzoo.run_folders.folder import PREDICTIONS, RunFolder, create
from cifarzoo.run_folders.predictions import (
    Predictions,
    from_npz,
    keep_predictions,
    read_predictions,
    to_npz,
)
from tests.peak_memory import told
from tests.swelling import repacked, sparse

MOST_MEBIBYTES = 60
SEED = 7


def predictions(count: int = 40, num_classes: int = 5, *, has_views: bool = True) -> Predictions:
    rng = np.random.default_rng(SEED)
    logits, tta_logits = rng.normal(size=(2, count, num_classes)).astype(np.float32)
    plain = Predictions(
        indices=np.sort(rng.permutation(10 * count)[:count]).astype(np.int32),
        labels=rng.integers(num_classes, size=count, dtype=np.int32),
        logits=logits.astype(np.float16),
        predicted=logits.argmax(1).astype(np.int32),
    )
    if not has_views:
        return plain
    predicted = tta_logits.argmax(1).astype(np.int32)
    return replace(
        plain, tta_logits=tta_logits.astype(np.float16), tta_predicted=predicted, num_views=6
    )


def arrays(**changes: Any) -> dict[str, Any]:
    with np.load(io.BytesIO(to_npz(predictions())), allow_pickle=False) as file:
        return {**file, **changes}


def npz(**changes: Any) -> bytes:
    """What ``numpy.savez`` writes of changed arrays; None takes one away."""
    buffer = io.BytesIO()
    kept = {name: array for name, array in arrays(**changes).items() if array is not None}
    np.savez(buffer, **kept)
    return buffer.getvalue()


def member(name: str, content: bytes) -> bytes:
    """An archive in which one array is replaced by bytes."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(npz())) as old,
        zipfile.ZipFile(buffer, "w") as new,
    ):
        for other in old.namelist():
            new.writestr(other, content if other == f"{name}.npy" else old.read(other))
    return buffer.getvalue()


def header(text: str) -> bytes:
    """An array that has a header and nothing else."""
    filled = text.encode() + b"\n"
    return b"\x93NUMPY\1\0" + len(filled).to_bytes(2, "little") + filled


def finished(folder: RunFolder, found: Predictions) -> RunFolder:
    folder.update(status="done", test_error=found.error)
    if found.tta_error is not None:
        folder.update(tta_test_error=found.tta_error)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return create(tmp_path, "name", "x = 1\n")


@pytest.mark.parametrize("has_views", [True, False])
def test_what_is_kept_is_read(folder, has_views):
    given = predictions(has_views=has_views)

    keep_predictions(folder, given)
    read = read_predictions(finished(folder, given))

    for field in fields(Predictions):
        one, other = getattr(given, field.name), getattr(read, field.name)
        assert np.array_equal(one, other)
        assert np.asarray(one).dtype == np.asarray(other).dtype
    assert (read.error, read.tta_error) == (given.error, given.tta_error)
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "config.gin",
        "predictions.npz",
        "run.json",
    ]


def test_numpy_reads_it_without_pickles():
    given = predictions()

    with np.load(io.BytesIO(to_npz(given)), allow_pickle=False) as file:
        assert set(file) == {
            *("indices", "labels", "logits", "predicted"),
            *("tta_logits", "tta_predicted", "views"),
        }
        assert (file["predicted"] != file["labels"]).mean() == given.error
        assert file["views"] == 6
        assert file["logits"].dtype == np.float16


def test_the_same_predictions_are_the_same_bytes():
    assert to_npz(predictions()) == to_npz(predictions())


def test_what_a_newer_cifarzoo_adds_is_no_hindrance():
    assert from_npz(npz(more=np.arange(3))).error == predictions().error


def test_it_says_what_it_is():
    given = predictions()

    errors = f"error={given.error:.4g}, tta_error={given.tta_error:.4g}"
    assert repr(given) == f"Predictions(40 images, 5 classes, {errors}, num_views=6)"
    assert "tta" not in repr(predictions(has_views=False))


GOOD = predictions()
DAMAGED: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "its list of members is not at its end"),
    "half of it": (lambda: npz()[:600], "its list of members is not at its end"),
    "a flipped bit": (
        lambda: npz().replace(GOOD.logits.tobytes(), bytes(GOOD.logits.nbytes)),
        r"it is no whole \.npz: BadZipFile: Bad CRC-32 for file 'logits\.npy'",
    ),
    "compressed": (
        lambda: repacked(npz(), zipfile.ZIP_DEFLATED),
        r"its members are compressed \(indices\.npy: .* expected them as numpy\.savez stores them",
    ),
    "an array too few": (lambda: npz(labels=None), "it has no labels"),
    "half of the views": (lambda: npz(views=None, tta_logits=None), "no tta_logits and no views"),
    "pickled objects": (
        lambda: npz(labels=np.array([{}] * 40, dtype=object)),
        r"its labels has the type \|O; expected <i4",
    ),
    "another type": (lambda: npz(labels=GOOD.labels.astype(np.int64)), "<i8; expected <i4"),
    "another order": (
        lambda: npz(logits=np.asfortranarray(GOOD.logits)),
        "its logits is no array as NumPy writes it",
    ),
    "code for a shape": (
        lambda: member(
            "labels", header("{'descr': '<i4', 'fortran_order': False, 'shape': f(), }")
        ),
        "its labels is no array as NumPy writes it",
    ),
    "nothing for a shape": (
        lambda: member(
            "labels", header("{'descr': '<i4', 'fortran_order': False, 'shape': (,), }")
        ),
        "its labels is no array as NumPy writes it",
    ),
    "no array": (lambda: member("labels", b"abc"), "its labels is no array as NumPy writes it"),
    "rows that aren't there": (
        lambda: member(
            "logits",
            header("{'descr': '<f2', 'fortran_order': False, 'shape': (9999999999, 9999), }"),
        ),
        "its logits has 0 bytes; expected 199,979,999,980,002",
    ),
    "no images": (
        lambda: npz(**{name: arrays()[name][:0] for name in ("labels", "logits", "predicted")}),
        r"its logits are \(0, 5\); expected \(N, K\)",
    ),
    "an image twice": (
        lambda: npz(indices=np.zeros(40, np.int32)),
        "its indices do not rise from image to image",
    ),
    "an image before the first": (
        lambda: npz(indices=GOOD.indices - GOOD.indices[0] - np.int32(1)),
        "its indices begin at -1; expected at least 0",
    ),
    "a class too many": (
        lambda: npz(labels=GOOD.labels + np.int32(4)),
        "labels are not all 0 to 4",
    ),
    "a label too few": (lambda: npz(labels=GOOD.labels[1:]), r"labels are \(39,\); expected \(40,"),
    "no number": (
        lambda: npz(logits=np.where(GOOD.logits > 2, np.float16(np.nan), GOOD.logits)),
        "the logits of its predicted are not all finite",
    ),
    "another class than the logits": (
        lambda: npz(predicted=(GOOD.predicted + np.int32(1)) % np.int32(5)),
        "its predicted have not the largest logits",
    ),
    "no views": (lambda: npz(views=np.int32(0)), "it has 0 views; expected 1 to"),
    "views of each image": (
        lambda: npz(views=GOOD.labels),
        r"its views are \(40,\); expected one number",
    ),
    "names of 10 MB": (
        lambda: named(2_000, letters=5_000),
        r"its list of members has 1\d,\d+,\d+ bytes; expected at most 8,388,608",
    ),
}


def named(count: int, letters: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(count):
            archive.writestr(f"{number:0{letters}}", b"")
    return buffer.getvalue()


@pytest.mark.parametrize("name", DAMAGED)
def test_what_makes_no_sense_is_refused_by_name(folder, name):
    make, says = DAMAGED[name]
    (finished(folder, GOOD).path / PREDICTIONS).write_bytes(make())

    with pytest.raises(UsageError, match=rf"predictions\.npz cannot be used: .*{says}.*; put back"):
        read_predictions(folder)


READ = """
import pathlib, re, sys
from cifarzoo.errors import UsageError
from cifarzoo.run_folders.folder import RunFolder
from cifarzoo.run_folders.predictions import read_predictions
print(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
for folder in map(pathlib.Path, sys.argv[1:]):
    try:
        read_predictions(RunFolder(folder))
        print("nothing was wrong with it")
    except UsageError as error:
        print(error)
"""


def test_what_would_swell_is_refused_in_little_memory(tmp_path):
    bombs = ("compressed", "rows that aren't there", "names of 10 MB")
    contents = [DAMAGED[name][0]() for name in bombs]
    contents[0] = repacked(npz(logits=np.zeros((10_000_000, 5), np.float16)), zipfile.ZIP_DEFLATED)
    for number, content in enumerate(contents):
        finished(RunFolder(a_folder(tmp_path / str(number))), GOOD)
        (tmp_path / str(number) / PREDICTIONS).write_bytes(content)
    sparse(a_folder(tmp_path / "sparse") / PREDICTIONS, b"PK\3\4")
    finished(RunFolder(tmp_path / "sparse"), GOOD)

    (base, *lines), most = told(READ, *(tmp_path / name for name in ("0", "1", "2", "sparse")))

    assert "its members are compressed" in lines[0]
    assert "its logits has 0 bytes; expected 199,979,999,980,002" in lines[1]
    assert "its list of members has" in lines[2]
    assert "it has 2,199,023,255,552 bytes; expected at most 268,435,456" in lines[3]
    assert most - int(base) / 1024 < MOST_MEBIBYTES


def a_folder(path: Path) -> Path:
    path.mkdir()
    (path / "config.gin").write_text("x = 1\n")
    return path


def test_those_of_another_result_are_refused(folder):
    keep_predictions(folder, GOOD)
    finished(folder, GOOD).update(test_error=0.5)

    with pytest.raises(
        UsageError, match=rf"npz is of another result: its test_error is {GOOD.error}"
    ):
        read_predictions(folder)

    folder.update(test_error=GOOD.error, tta_test_error=None)
    record = json.loads((folder.path / "run.json").read_text())
    (folder.path / "run.json").write_text(
        json.dumps({k: v for k, v in record.items() if v is not None})
    )
    with pytest.raises(
        UsageError, match=r"its tta_test_error is 0\.\d+, and that of run\.json None"
    ):
        read_predictions(folder)


def test_a_run_without_them_says_so(folder):
    folder.update(status="stopped")
    with pytest.raises(UsageError, match="has no predictions: it is stopped; expected a finished"):
        read_predictions(folder)

    finished(folder, GOOD)
    with pytest.raises(UsageError, match=r"has no predictions\.npz: an older cifarzoo finished it"):
        read_predictions(folder)


def test_a_link_is_not_followed(folder, tmp_path):
    (tmp_path / "elsewhere").write_bytes(to_npz(GOOD))
    (finished(folder, GOOD).path / PREDICTIONS).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UsageError, match=r"npz cannot be read: it is a link to .*elsewhere"):
        read_predictions(folder)
    with pytest.raises(UsageError, match="it is a link to"), folder.locked():
        pass


def test_more_than_would_be_read_is_not_written_and_an_earlier_one_goes(folder, monkeypatch):
    keep_predictions(folder, GOOD)
    monkeypatch.setattr("cifarzoo.run_folders.predictions.MOST_BYTES", 1000)

    with pytest.raises(OSError, match=r"it has 3,\d+ bytes; expected at most 1,000"):
        keep_predictions(folder, GOOD)
    assert [path.name for path in folder.path.iterdir()] == ["config.gin"]
