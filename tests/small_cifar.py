"""Small datasets in every published layout, with digests of their own.

A small dataset has 20 training images in two files and 10 test images in one, two and one of
each of ten classes; CIFAR-100's layout gets the coarse label ``fine // 2`` besides.
"""

import gzip
import hashlib
import io
import pickle
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from cifarzoo.components.protocols import Split
from cifarzoo.data.archive import Archive, Member
from cifarzoo.data.catalogue import CIFAR10, CIFAR100
from cifarzoo.data.evidence import set_digest
from cifarzoo.data.published import Known, Published

PARQUET_NAMES = ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet")
NAMES = {
    "binary": ("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"),
    "python": ("data_batch_1", "data_batch_2", "test_batch"),
}


@dataclass(frozen=True)
class Small:
    """A published dataset, the images in it, and its archives' bytes."""

    published: Published
    images: np.ndarray
    labels: np.ndarray
    archives: dict[str, bytes]
    files: dict[str, dict[str, bytes]]

    @property
    def train(self):
        return self.images[:20], self.labels[:20]

    @property
    def test(self):
        return self.images[20:], self.labels[20:]

    @property
    def known(self):
        """Both splits by their images, as if they were original."""
        return tuple(
            Known(
                part=part,
                digest=set_digest(Split(images=images, labels=labels)),
                words=words,
            )
            for part, (images, labels), words in (
                ("train", self.train, "the copy that we know"),
                ("test", self.test, "the published test images"),
            )
        )

    def write_archive(self, version: str, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / getattr(self.published, version).file_name
        path.write_bytes(self.archives[version])
        return path

    def unpack(self, version: str, folder: Path) -> Path:
        unpacked = folder / getattr(self.published, version).folder
        unpacked.mkdir(parents=True)
        for name, raw in self.files[version].items():
            (unpacked / name).write_bytes(raw)
        return unpacked


def small(*, of: Published = CIFAR10, **changed_files: bytes) -> Small:
    """A small dataset in the layout of ``of``; ``changed_files`` replace members, unpinned."""
    rng = np.random.default_rng(7)
    images = rng.integers(0, 256, (30, 3, 32, 32), np.uint8)
    labels = np.concatenate([rng.permutation(10) for _ in range(3)])
    parts = [slice(0, 10), slice(10, 20), slice(20, 30)]
    coarse = of is CIFAR100
    files = {
        "binary": [records(images[part], labels[part], coarse=coarse) for part in parts],
        "python": [batch(images[part], labels[part], coarse=coarse) for part in parts],
    }
    named = {v: dict(zip(NAMES[v], files[v], strict=True)) for v in files}
    archives, pins = {}, {}
    for version, members in named.items():
        members |= {name: raw for name, raw in changed_files.items() if name in members}
        archive = getattr(of, version)
        archives[version] = tar_gz({f"{archive.folder}/{n}": raw for n, raw in members.items()})
        pins[version] = pinned(archive, archives[version], members, unpinned=changed_files)
    published = replace(of, **pins, num_train=20, num_test=10)
    return Small(published, images, labels, archives, named)


def pinned(archive: Archive, packed: bytes, files: dict[str, bytes], *, unpinned) -> Archive:
    """``archive`` with the size and digests of ``packed`` and of ``files``."""
    members = tuple(
        Member(name=name)
        if name in unpinned
        else Member(name=name, size=len(raw), digest=f"md5:{hashlib.md5(raw).hexdigest()}")
        for name, raw in files.items()
    )
    digest = hashlib.sha256(packed).hexdigest()
    return replace(archive, size=len(packed), sha256=digest, train=members[:-1], test=members[-1:])


def records(images, labels, *, coarse=False) -> bytes:
    """The binary version: label bytes and pixels, a record an image."""
    columns = [labels // 2] * coarse + [labels]
    bytes_ = [np.asarray(column, np.uint8)[:, None] for column in columns]
    return np.concatenate([*bytes_, images.reshape(len(images), -1)], axis=1).tobytes()


def batch(images, labels, *, coarse=False) -> bytes:
    """The python version, as NumPy 1 pickled it under protocol 2."""
    data = images.reshape(len(images), -1)
    names = {"fine_labels": labels, "coarse_labels": labels // 2} if coarse else {"labels": labels}
    raw = pickle.dumps({"data": data, **{k: v.tolist() for k, v in names.items()}}, 2)
    return raw.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def tar_gz(files: dict[str, bytes]) -> bytes:
    """An archive of ``files``: the same bytes from call to call, so gzip's are of no time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, raw in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    return gzip.compress(buffer.getvalue(), mtime=0)


LOSSLESS = "lossless WebP"


def encoded(image: np.ndarray, codec: str) -> bytes:
    """One image (3, H, W) as a file of ``codec``: PNG, JPEG, WebP or lossless WebP."""
    buffer = io.BytesIO()
    form = codec.removeprefix("lossless ")
    Image.fromarray(image.transpose(1, 2, 0)).save(buffer, form, lossless=codec == LOSSLESS)
    return buffer.getvalue()


def write_parquet(path: Path, pictures, *, images="img", **columns) -> Path:
    """A file in the hub's layout: ``img`` and the given columns of labels."""
    rows = [None if p is None else {"bytes": p, "path": "x.png"} for p in pictures]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = {images: pa.array(rows, kind)}
    table |= {name: pa.array(column, pa.int64()) for name, column in columns.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table), path)
    return path


def write_parquets(
    folder: Path, data: Small, codec: str = "PNG", *, labels_are: str = "label"
) -> None:
    """Both files of a small CIFAR-10, or of a CIFAR-100 with ``labels_are="fine_label"``."""
    for name, (images, labels) in zip(PARQUET_NAMES, (data.train, data.test), strict=True):
        pictures = [encoded(image, codec) for image in images]
        write_parquet(folder / name, pictures, **{labels_are: labels})
