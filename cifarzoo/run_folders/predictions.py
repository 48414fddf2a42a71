"""What a run's network said of each test image in its last test: ``predictions.npz``.

From it follow the run's error, which images it was wrong on, and how runs differ image by image.
It may be a stranger's: nothing is unpickled or decompressed, and what makes no sense is refused.
"""

from __future__ import annotations

import errno
import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cifarzoo.errors import UsageError, in_one_line
from cifarzoo.files.real_folder import FILE, RealFolder
from cifarzoo.files.stored_zip import SwellingError, stored_members
from cifarzoo.run_folders.folder import PREDICTIONS, PUT_BACK, RECORD, RunFolder

MOST_BYTES = 256 << 20  # 10,000 images of ten classes take 0.3 MB, 50,000 of a thousand 200 MB
MOST_VIEWS = 1 << 20
LONGEST_ERROR = 200

Integers: TypeAlias = NDArray[np.int32]
Halves: TypeAlias = NDArray[np.float16]
Bools: TypeAlias = NDArray[np.bool_]

_INTEGER, _HALF = "<i4", "<f2"  # the same bytes on every machine
OF_IMAGES = {"indices": _INTEGER, "labels": _INTEGER, "logits": _HALF, "predicted": _INTEGER}
OF_VIEWS = {"tta_logits": _HALF, "tta_predicted": _INTEGER, "views": _INTEGER}
# As NumPy writes them: of a stranger's header nothing is evaluated, and nothing allocated by it.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(..)"
    rb"(\{'descr': '([A-Za-z0-9<>|]+)', 'fortran_order': False, "
    rb"'shape': \(([0-9, ]{0,99})\), \} *\n)",
    re.DOTALL,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """What a run's network said of N test images, of K classes, in its last test.

    Attributes:
        indices: Rows (N,) of the dataset's test split, rising.
        labels: Classes (N,) that the images have.
        logits: Logits (N, K), rounded to float16; beyond its range they are its largest number.
        predicted: Classes (N,) of the largest logit, before it was rounded.
        tta_logits: Logits (N, K) averaged over several views of each image; None: the run's
            augmentations offer none.
        tta_predicted: Classes (N,) of the largest of these, before it was rounded; None likewise.
        num_views: Number of views of each image in ``tta_logits``; 1 where there are none.
    """

    indices: Integers
    labels: Integers
    logits: Halves
    predicted: Integers
    tta_logits: Halves | None = None
    tta_predicted: Integers | None = None
    num_views: int = 1

    @property
    def is_right(self) -> Bools:
        """Whether each image's predicted class is its label (N,)."""
        return np.equal(self.predicted, self.labels)

    @property
    def tta_is_right(self) -> Bools | None:
        """The same of the views; None: there are none."""
        return None if self.tta_predicted is None else np.equal(self.tta_predicted, self.labels)

    @property
    def error(self) -> float:
        """Share of the images whose predicted class is wrong."""
        return _error(self.is_right)

    @property
    def tta_error(self) -> float | None:
        """The same of the views; None: there are none."""
        return None if self.tta_is_right is None else _error(self.tta_is_right)

    def __repr__(self) -> str:
        (count, num_classes), views = self.logits.shape, ""
        if self.tta_error is not None:
            views = f", tta_error={self.tta_error:.4g}, num_views={self.num_views}"
        return f"Predictions({count} images, {num_classes} classes, error={self.error:.4g}{views})"


def keep_predictions(folder: RunFolder, predictions: Predictions) -> None:
    """Write ``predictions.npz`` into a run's folder, whole or not at all.

    One of an earlier attempt is gone if this one can't be written.

    Raises:
        OSError: It can't be written: a full disk, or more than would be read again.
    """
    files = RealFolder(folder.path)
    files.sweep(PREDICTIONS)
    try:
        data = to_npz(predictions)
        if len(data) > MOST_BYTES:
            problem = f"it has {len(data):,} bytes; expected at most {MOST_BYTES:,}"
            raise OSError(errno.EFBIG, problem)
        files.replace(PREDICTIONS, data)
    except OSError:
        drop_predictions(folder)
        raise


def drop_predictions(folder: RunFolder) -> bool:
    """Take ``predictions.npz`` out of a run's folder; whether it was there."""
    files = RealFolder(folder.path)
    is_there = files.kind(PREDICTIONS) == FILE
    if is_there:
        files.take_away(PREDICTIONS)
    return is_there


def read_predictions(folder: RunFolder) -> Predictions:
    """What a finished run's ``predictions.npz`` holds.

    Raises:
        UsageError: The run isn't finished, or has none; or it is damaged, makes no sense, or is of
            another result than ``run.json`` has.
    """
    record, path = folder.record, folder.path / PREDICTIONS
    if record.get("status") != "done":
        raise UsageError(
            f"{folder.path} has no predictions: it is {record.get('status', 'new')}; expected a "
            "finished run"
        )
    try:
        found = from_npz(RealFolder(folder.path).read(PREDICTIONS, at_most=MOST_BYTES))
    except FileNotFoundError:
        raise UsageError(
            f"{folder.path} has no {PREDICTIONS}: an older cifarzoo finished it, or it could not "
            "be written"
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; {PUT_BACK}") from error
    except ValueError as problem:
        raise UsageError(f"{path} cannot be used: {problem}; {PUT_BACK}") from problem
    errors = {"test_error": found.error, "tta_test_error": found.tta_error}
    for name, share in errors.items():
        if record.get(name) != share:
            raise UsageError(
                f"{path} is of another result: its {name} is {share}, and that of {RECORD} "
                f"{record.get(name)}; {PUT_BACK}"
            )
    return found


def to_npz(predictions: Predictions) -> bytes:
    """The bytes of ``predictions.npz``, the same for the same predictions."""
    arrays = {
        name: np.asarray(getattr(predictions, name), kind) for name, kind in OF_IMAGES.items()
    }
    if predictions.tta_logits is not None:
        given = {"views": predictions.num_views}
        arrays |= {
            name: np.asarray(given.get(name, getattr(predictions, name, None)), kind)
            for name, kind in OF_VIEWS.items()
        }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # its stub takes allow_pickle for one
    return buffer.getvalue()


def from_npz(data: bytes) -> Predictions:
    """The predictions that the bytes of a file hold, in no more memory than twice the file.

    Raises:
        ValueError: They are damaged, are of another form, or make no sense: what, in words.
    """
    members = _members(data)
    wanted = OF_IMAGES | (OF_VIEWS if OF_VIEWS.keys() & members.keys() else {})
    missing = [name for name in wanted if name not in members]
    if missing:
        raise ValueError(f"it has no {' and no '.join(missing)}")
    arrays = {name: _array(name, members[name], kind) for name, kind in wanted.items()}
    views = arrays.pop("views", None)
    if views is not None and views.shape != ():
        raise ValueError(f"its views are {views.shape}; expected one number")
    found = Predictions(**arrays, num_views=1 if views is None else int(views))
    _check(found)
    return found


def _members(data: bytes) -> dict[str, bytes]:
    """The bytes of each array, by its name; what isn't known may be a newer cifarzoo's."""
    try:
        listed = stored_members(data, writer="numpy.savez")
        names = [member.filename for member in listed]
        if len(set(names)) < len(names):
            raise SwellingError("it has two arrays of one name")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            known = {f"{name}.npy": name for name in OF_IMAGES | OF_VIEWS}
            return {known[name]: archive.read(name) for name in names if name in known}
    except SwellingError:
        raise
    except Exception as error:  # zipfile has no one kind of error for what is damaged
        raise ValueError(f"it is no whole .npz: {in_one_line(error)[:LONGEST_ERROR]}") from error


def _array(name: str, data: bytes, kind: str) -> NDArray[Any]:
    header = _HEADER.match(data)
    if header is None or int.from_bytes(header[1], "little") != len(header[2]):
        raise ValueError(f"its {name} is no array as NumPy writes it")
    dtype, wanted = header[3].decode(), np.dtype(kind)
    if dtype != kind:
        raise ValueError(f"its {name} has the type {dtype}; expected {kind}")
    shape = tuple(int(size) for size in header[4].decode().replace(" ", "").split(",") if size)
    if not shape and header[4]:
        raise ValueError(f"its {name} is no array as NumPy writes it")
    size = wanted.itemsize
    for length in shape:
        size *= length
    if size != len(data) - header.end():
        raise ValueError(
            f"its {name} has {len(data) - header.end():,} bytes; expected {size:,} for {shape}"
        )
    return np.frombuffer(data, wanted, offset=header.end()).reshape(shape)


def _check(found: Predictions) -> None:
    """Refuse what no test gives.

    Raises:
        ValueError: What, in words that go on from "it".
    """
    if found.logits.ndim != 2 or not found.logits.size:
        raise ValueError(f"its logits are {found.logits.shape}; expected (N, K)")
    if not (found.indices.shape == (len(found.logits),) and (np.diff(found.indices) > 0).all()):
        raise ValueError("its indices do not rise from image to image")
    if found.indices[0] < 0:
        raise ValueError(f"its indices begin at {found.indices[0]}; expected at least 0")
    if not 1 <= found.num_views <= MOST_VIEWS:
        raise ValueError(f"it has {found.num_views} views; expected 1 to {MOST_VIEWS:,}")
    classes = {"labels": found.labels, "predicted": found.predicted}
    tested = {"predicted": (found.logits, found.predicted)}
    if found.tta_logits is not None and found.tta_predicted is not None:
        classes["tta_predicted"] = found.tta_predicted
        tested["tta_predicted"] = (found.tta_logits, found.tta_predicted)
    _check_classes(classes, found.logits.shape)
    _check_predicted(tested, found.logits.shape)


def _check_classes(classes: Mapping[str, Integers], shape: tuple[int, ...]) -> None:
    for name, numbers in classes.items():
        if numbers.shape != shape[:1]:
            raise ValueError(f"its {name} are {numbers.shape}; expected {shape[:1]}")
        if numbers.min() < 0 or numbers.max() >= shape[1]:
            raise ValueError(f"its {name} are not all 0 to {shape[1] - 1}")


def _check_predicted(tested: Mapping[str, tuple[Halves, Integers]], shape: tuple[int, ...]) -> None:
    for name, (logits, predicted) in tested.items():
        if logits.shape != shape:
            raise ValueError(f"the logits of its {name} are {logits.shape}; expected {shape}")
        if not np.isfinite(logits).all():
            raise ValueError(f"the logits of its {name} are not all finite")
        # Rounding keeps the order: the largest logit is still the largest, or one of several.
        if (logits[np.arange(len(logits)), predicted] < logits.max(1)).any():
            raise ValueError(f"its {name} have not the largest logits")


def _error(is_right: Bools) -> float:
    return int((~is_right).sum()) / len(is_right)
