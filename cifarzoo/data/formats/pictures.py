"""Compressed pictures to one array: JPEG in batches by torchvision, PNG by Pillow."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cifarzoo.data.damage import DamageError
from cifarzoo.data.splits import Images

if TYPE_CHECKING:
    from torch import Tensor

SIZE = 32

_MAGIC = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n"}
_CHUNK = 1000  # JPEGs decoded at once


def codec(picture: bytes) -> str | None:
    """``JPEG``, ``PNG``, or None for anything else, by the first bytes."""
    return next((name for name, magic in _MAGIC.items() if picture.startswith(magic)), None)


def decode(pictures: Sequence[bytes], *, where: str) -> Images:
    """Decode pictures that share a codec.

    Args:
        pictures: N files in memory, 32 x 32 pixels each, all JPEG or all PNG.
        where: Name of the file that they are from, for the error.

    Returns:
        Images (N, 3, 32, 32); grey ones get three equal channels.

    Raises:
        DamageError: A picture cannot be decoded or has another size or codec.
    """
    images = np.empty((len(pictures), 3, SIZE, SIZE), np.uint8)
    if not pictures:
        return images
    expected = codec(pictures[0])
    for index, picture in enumerate(pictures):
        found = codec(picture)
        if found is None or found != expected:
            wanted = "JPEG or PNG" if expected is None else f"{expected} as the first"
            raise DamageError(f"{where}: image {index} is {found or 'no picture'}, not {wanted}")
    if expected == "JPEG":
        _decode_jpegs(pictures, images, where)
    else:
        for index, picture in enumerate(pictures):
            images[index] = _decode_png(picture, f"{where}: image {index}")
    return images


def _decode_jpegs(pictures: Sequence[bytes], images: Images, where: str) -> None:
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    def decode_some(some: Sequence[bytes]) -> list[Tensor]:
        buffers = [torch.frombuffer(bytearray(picture), dtype=torch.uint8) for picture in some]
        decoded: list[Tensor] = decode_jpeg(buffers, mode=ImageReadMode.RGB)
        return decoded

    for start in range(0, len(pictures), _CHUNK):
        chunk = pictures[start : start + _CHUNK]
        try:
            decoded = decode_some(chunk)
        except RuntimeError:
            decoded = []
            for index, picture in enumerate(chunk, start):
                try:
                    decoded += decode_some([picture])
                except RuntimeError as error:
                    raise _undecodable(f"{where}: image {index}", error) from error
        for index, image in enumerate(decoded, start):
            _check_size(image.shape[2], image.shape[1], f"{where}: image {index}")
        images[start : start + len(chunk)] = torch.stack(decoded).numpy()


def _decode_png(picture: bytes, where: str) -> Images:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(picture), formats=["PNG"]) as opened:
            _check_size(*opened.size, where)
            return np.asarray(opened.convert("RGB")).transpose(2, 0, 1)
    except (
        Image.DecompressionBombError,
        OSError,
        SyntaxError,
        ValueError,
        struct.error,
        zlib.error,
    ) as error:
        raise _undecodable(where, error) from error


def _check_size(width: int, height: int, where: str) -> None:
    if (width, height) != (SIZE, SIZE):
        raise DamageError(f"{where} is {width} x {height} pixels; expected {SIZE} x {SIZE}")


def _undecodable(where: str, error: Exception) -> DamageError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DamageError(f"{where} cannot be decoded ({reason})")
