"""What the first bytes of a picture say, before anything is decoded: its codec and its size."""

from __future__ import annotations

import struct
from collections.abc import Iterator

LOSSY = frozenset({"JPEG", "WebP"})
LOSSLESS_WEBP = "lossless WebP"
CODECS = ("JPEG", "PNG", "WebP", LOSSLESS_WEBP)

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_PNG_SIZE = struct.Struct(">4s4sII")  # length and name of the first chunk, width, height
_JPEG_SIZE = struct.Struct(">xxxHH")  # behind the marker: length, bits, height, width
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers before a size
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_JPEG_DATA = frozenset({0xD9, 0xDA})  # markers behind which no size comes
# WebP (RFC 9649): a RIFF container; sizes are little-endian, of 14 bits in frames.
_WEBP_CHUNK = struct.Struct("<4sI")  # name, length
_WEBP_START = 12  # bytes before the first chunk
_WEBP_LOSSY, _WEBP_LOSSLESS, _WEBP_CANVAS = b"VP8 ", b"VP8L", b"VP8X"
_LOSSY_FRAME = struct.Struct("<3s3sHH")  # tag, start code, width, height
_LOSSY_START, _LOSSLESS_START = b"\x9d\x01\x2a", 0x2F
_14_BITS = (1 << 14) - 1


def codec(picture: bytes) -> str | None:
    """One of ``CODECS``, or None for anything else, an animation for example."""
    if picture.startswith(_JPEG):
        return "JPEG"
    if picture.startswith(_PNG):
        return "PNG"
    if picture[:4] == b"RIFF" and picture[8:_WEBP_START] == b"WEBP":
        frame = next((name for name, _ in _webp_chunks(picture) if name != _WEBP_CANVAS), b"")
        return {_WEBP_LOSSY: "WebP", _WEBP_LOSSLESS: LOSSLESS_WEBP}.get(frame)
    return None


def sizes(picture: bytes) -> list[tuple[int, int]]:
    """Each width and height that a picture names at the places where its decoder looks for them.

    Returns:
        Pairs of width and height; none: it doesn't say how large it is.
    """
    kind = codec(picture)
    found = {"JPEG": _jpeg_size, "PNG": _png_size}.get(kind or "", _webp_sizes)(picture)
    return [] if None in found else [size for size in found if size]


def _jpeg_size(picture: bytes) -> list[tuple[int, int] | None]:
    place = 2
    while (place := picture.find(b"\xff", place)) >= 0:
        while picture[place : place + 1] == b"\xff":  # markers may be filled up
            place += 1
        marker, place = picture[place] if place < len(picture) else 0xD9, place + 1
        if marker in _JPEG_DATA or place + _JPEG_SIZE.size > len(picture):
            break
        if marker in _JPEG_FRAMES:
            height, width = _JPEG_SIZE.unpack_from(picture, place)
            return [(width, height)]
        if marker and marker not in _JPEG_ALONE:
            place += int.from_bytes(picture[place : place + 2], "big")
    return []


def _png_size(picture: bytes) -> list[tuple[int, int] | None]:
    if len(picture) < len(_PNG) + _PNG_SIZE.size:
        return []
    length, name, width, height = _PNG_SIZE.unpack_from(picture, len(_PNG))
    is_header = (length, name) == (b"\0\0\0\x0d", b"IHDR")  # else it isn't the first chunk
    return [(width, height)] if is_header else []


def _webp_sizes(picture: bytes) -> list[tuple[int, int] | None]:
    """Of the frame, and before it of the canvas, for which memory is taken first."""
    return [
        _WEBP_SIZES[name](picture[place:])
        for name, place in _webp_chunks(picture)
        if name in _WEBP_SIZES
    ]


def _webp_chunks(picture: bytes) -> Iterator[tuple[bytes, int]]:
    """Names of the chunks that say something of the size, and places of their contents.

    It ends behind the first frame, and at a chunk that only animations have.
    """
    place = _WEBP_START
    while place + _WEBP_CHUNK.size <= len(picture):
        name, length = _WEBP_CHUNK.unpack_from(picture, place)
        place += _WEBP_CHUNK.size
        if name in (_WEBP_LOSSY, _WEBP_LOSSLESS, _WEBP_CANVAS, b"ANIM", b"ANMF"):
            yield name, place
            if name != _WEBP_CANVAS:
                return
        place += length + length % 2


def _canvas_size(content: bytes) -> tuple[int, int] | None:
    if len(content) < 10:
        return None
    width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (4, 7))
    return width, height


def _lossy_size(content: bytes) -> tuple[int, int] | None:
    if len(content) < _LOSSY_FRAME.size:
        return None
    _, start, width, height = _LOSSY_FRAME.unpack_from(content)
    return (width & _14_BITS, height & _14_BITS) if start == _LOSSY_START else None


def _lossless_size(content: bytes) -> tuple[int, int] | None:
    if len(content) < 5 or content[0] != _LOSSLESS_START:
        return None
    bits = int.from_bytes(content[1:5], "little")
    return (bits & _14_BITS) + 1, (bits >> 14 & _14_BITS) + 1


_WEBP_SIZES = {
    _WEBP_CANVAS: _canvas_size,
    _WEBP_LOSSY: _lossy_size,
    _WEBP_LOSSLESS: _lossless_size,
}
