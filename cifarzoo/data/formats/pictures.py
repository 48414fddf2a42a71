"""Compressed pictures to one array: JPEG in batches by torchvision, PNG and WebP by Pillow.

How large a picture is stands in its first bytes, and is looked at before anything is decoded.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cifarzoo.data.damage import DamageError
from cifarzoo.data.formats.picture_headers import LOSSLESS_WEBP, codec, sizes
from cifarzoo.data.splits import Images

if TYPE_CHECKING:
    from torch import Tensor

SIZE = 32
KNOWN = "JPEG, PNG or WebP"
MOST_BYTES = 64 << 10  # of a picture: 20 times its pixels, and room for a profile and a preview

_CHUNK = 1000  # JPEGs decoded at once
_BY_PILLOW = {"PNG": "PNG", "WebP": "WEBP", LOSSLESS_WEBP: "WEBP"}


def decode(pictures: Sequence[bytes], *, where: str) -> Images:
    """Decode pictures that share a codec.

    Args:
        pictures: N files in memory, 32 x 32 pixels each, of one codec.
        where: Name of the file that they are from, for the error.

    Returns:
        Images (N, 3, 32, 32); grey ones get three equal channels.

    Raises:
        DamageError: A picture cannot be decoded or has another size or codec.
    """
    decoder = Decoder(len(pictures), where=where)
    decoder.add(pictures)
    return decoder.images


class Decoder:
    """Decodes the pictures of a file, as many at a time as it is given.

    Args:
        count: Number N of pictures.
        where: Name of the file that they are from, for errors.

    Attributes:
        images: Images (N, 3, 32, 32), those that were decoded so far at the front.
        done: Number of pictures that were decoded.
    """

    def __init__(self, count: int, *, where: str) -> None:
        self.images = np.empty((count, 3, SIZE, SIZE), np.uint8)
        self.done = 0
        self._where = where
        self._codec: str | None = None

    def add(self, pictures: Sequence[bytes]) -> None:
        """Decode the next pictures.

        Raises:
            DamageError: One cannot be decoded or has another size, or another codec than the first.
        """
        if not pictures:
            return
        if not self.done:
            self._codec = codec(pictures[0])
        for index, picture in enumerate(pictures, self.done):
            self._check(picture, f"{self._where}: image {index}")
        images = self.images[self.done : self.done + len(pictures)]
        if self._codec in _BY_PILLOW:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of large ones, which are refused
                for index, picture in enumerate(pictures):
                    where = f"{self._where}: image {self.done + index}"
                    images[index] = _decode(picture, _BY_PILLOW[self._codec], where)
        else:
            _decode_jpegs(pictures, images, self._where, self.done)
        self.done += len(pictures)

    def _check(self, picture: bytes, where: str) -> None:
        found = codec(picture)
        if found is None or found != self._codec:
            wanted = KNOWN if self._codec is None else f"{self._codec} as the first"
            raise DamageError(f"{where} is {found or 'no picture'}, not {wanted}")
        if len(picture) > MOST_BYTES:
            raise DamageError(
                f"{where} has {len(picture):,} bytes; expected at most {MOST_BYTES:,} for "
                f"{SIZE} x {SIZE} pixels"
            )
        named = sizes(picture)
        if not named:
            raise DamageError(f"{where} cannot be decoded (it doesn't say how large it is)")
        for size in named:
            _check_size(size, where)


def _decode_jpegs(pictures: Sequence[bytes], images: Images, where: str, first: int) -> None:
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    def decode_some(some: Iterable[bytes]) -> list[Tensor]:
        buffers = [torch.frombuffer(bytearray(picture), dtype=torch.uint8) for picture in some]
        decoded: list[Tensor] = decode_jpeg(buffers, mode=ImageReadMode.RGB)
        return decoded

    for start in range(0, len(pictures), _CHUNK):
        chunk = pictures[start : start + _CHUNK]
        try:
            decoded = decode_some(chunk)
        except RuntimeError:
            decoded = []
            for index, picture in enumerate(chunk, first + start):
                try:
                    decoded += decode_some([picture])
                except RuntimeError as error:
                    raise _undecodable(f"{where}: image {index}", error) from error
        for index, image in enumerate(decoded, first + start):
            _check_size((image.shape[2], image.shape[1]), f"{where}: image {index}")
        images[start : start + len(chunk)] = torch.stack(decoded).numpy()


def _decode(picture: bytes, form: str, where: str) -> Images:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(picture), formats=[form]) as opened:
            _check_size(opened.size, where)  # which may stand there twice
            pixels: Images = np.asarray(opened.convert("RGB")).transpose(2, 0, 1)
            return pixels
    except (
        Image.DecompressionBombError,
        OSError,
        SyntaxError,
        ValueError,
        struct.error,
        zlib.error,
    ) as error:
        raise _undecodable(where, error) from error


def _check_size(size: tuple[int, int], where: str) -> None:
    if size != (SIZE, SIZE):
        width, height = size
        raise DamageError(f"{where} is {width} x {height} pixels; expected {SIZE} x {SIZE}")


def _undecodable(where: str, error: Exception) -> DamageError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DamageError(f"{where} cannot be decoded ({reason})")
