"""Write a dataset in a form that other programs read: binary records, Parquet, folders of PNGs.

All is written beside its place and gets its name at the end: an export is whole or absent.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from cifarzoo.data.archive import SUMS
from cifarzoo.data.formats.parquet import INSTALL
from cifarzoo.data.opening import open_published
from cifarzoo.data.published import Labelling, Published
from cifarzoo.data.splits import Images, Labels
from cifarzoo.errors import DataError
from cifarzoo.run_folders.strict_json import strict_json

ROWS = 1000  # of a group in a Parquet file, which is what is read at once


@dataclass(frozen=True, kw_only=True)
class Part:
    """A split with all its labels.

    Attributes:
        name: ``train`` or ``test``.
        images: Images (N, 3, H, W).
        labels: Labels (N,) of each labelling.
    """

    name: str
    images: Images
    labels: Sequence[Labels]


def export(
    published: Published, folder: Path, target: Path, *, form: str
) -> tuple[str, list[Path]]:
    """Write a dataset that lies in ``folder`` to ``target``, which must not be there yet.

    Args:
        published: Dataset to write.
        folder: Folder that it lies in, in any form.
        target: Folder to make.
        form: One of ``FORMS``.

    Returns:
        The title of what was written, and the paths of the files, of folders of PNGs the folders'.

    Raises:
        DataError: It isn't in ``folder``, is damaged or has too few images for the form; or
            ``target`` is there already, or can't be written.
    """
    _check_target(target)
    title, parts = _read(published, folder)
    try:
        target.absolute().parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.absolute().parent))
        try:
            names = list(FORMS[form](published, parts, made))
            made.chmod(0o777 & ~_umask())
            made.rename(target)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    except OSError as error:
        # Of the number, since pyarrow's errors have a text of their own.
        problem = os.strerror(error.errno) if error.errno else str(error)
        raise DataError(f"cannot write to {target}: {problem}") from error
    return title, [target / name for name in names]


def _check_target(target: Path) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise DataError(f"{target} is there and no folder; name another one")
    if target.is_dir() and any(target.iterdir()):
        raise DataError(f"{target} is not empty; name a folder that isn't there yet")


def _read(published: Published, folder: Path) -> tuple[str, list[Part]]:
    """The dataset's title and its splits, with the labels of all labellings."""
    datasets = [open_published(published, folder, labelling=each) for each in published.labellings]
    loaded = [dataset.load() for dataset in datasets]
    title_of = datasets[0].title_of
    title = title_of(*loaded[0]) if title_of else datasets[0].title
    return title, [
        Part(
            name=name,
            images=loaded[0][index].images,
            labels=[np.asarray(splits[index].labels, np.int64) for splits in loaded],
        )
        for index, name in enumerate(("train", "test"))
    ]


def _binary(published: Published, parts: list[Part], folder: Path) -> Iterator[str]:
    """The author's binary version, with the digests of its files beside them."""
    archive = published.binary
    inside = folder / archive.folder
    inside.mkdir()
    sums = []
    order = np.argsort([labelling.byte for labelling in published.labellings])
    for part, members in zip(parts, (archive.train, archive.test), strict=True):
        expected = published.num_train if part.name == "train" else published.num_test
        if len(part.images) != expected:
            raise DataError(
                f"there are {len(part.images):,} {part.name} images; the binary version has "
                f"{expected:,}"
            )
        labels = np.stack(part.labels, axis=1)[:, order].astype(np.uint8)
        records = np.concatenate([labels, part.images.reshape(len(labels), -1)], axis=1)
        for member, rows in zip(members, np.array_split(records, len(members)), strict=True):
            raw = rows.tobytes()
            (inside / member.name).write_bytes(raw)
            sums.append(f"{hashlib.sha256(raw).hexdigest()}  {member.name}\n")
    for labelling in published.labellings:
        name = _names_file(published, labelling)
        (inside / name).write_text("".join(f"{each}\n" for each in labelling.classes))
    (inside / SUMS).write_text("".join(sums))
    yield from (f"{archive.folder}/{path.name}" for path in sorted(inside.iterdir()))


def _names_file(published: Published, labelling: Labelling) -> str:
    """Name of the file of class names, as the author's archives have it."""
    is_alone = len(published.labellings) == 1
    return "batches.meta.txt" if is_alone else f"{labelling.name}_label_names.txt"


def _parquet(published: Published, parts: list[Part], folder: Path) -> Iterator[str]:
    """The layout of the Hugging Face hub, with its description of the columns."""
    for part in parts:
        name = f"{part.name}-00000-of-00001.parquet"
        _write_parquet(folder / name, part, published)
        yield name


def _write_parquet(path: Path, part: Part, published: Published) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DataError(f"writing Parquet takes pyarrow; {INSTALL}") from error
    columns = {labelling.column: pa.int64() for labelling in published.labellings}
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features: dict[str, Any] = {"img": {"_type": "Image"}}
    for labelling in published.labellings:
        features[labelling.column] = {"names": labelling.classes, "_type": "ClassLabel"}
    described = strict_json({"info": {"features": features}})
    schema = pa.schema({"img": picture, **columns}, metadata={"huggingface": described})
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for start in range(0, len(part.images), ROWS):
            rows = range(start, min(start + ROWS, len(part.images)))
            pictures = [{"bytes": _png(part.images[row]), "path": f"{row:05}.png"} for row in rows]
            labels = [each[rows.start : rows.stop] for each in part.labels]
            writer.write_table(pa.table([pictures, *labels], schema=schema))


def _png_folder(published: Published, parts: list[Part], folder: Path) -> Iterator[str]:
    """A folder a class in a folder a split, as loaders of folders of images read them."""
    [classes, *_] = [labelling.classes for labelling in published.labellings]
    for part in parts:
        for name in classes:
            (folder / part.name / name).mkdir(parents=True)
        for row, (image, label) in enumerate(zip(part.images, part.labels[0], strict=True)):
            (folder / part.name / classes[label] / f"{row:05}.png").write_bytes(_png(image))
        yield part.name


def _png(image: Images) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


Writer: TypeAlias = Callable[[Published, list[Part], Path], Iterator[str]]
FORMS: Mapping[str, Writer] = {"binary": _binary, "parquet": _parquet, "png-folder": _png_folder}
