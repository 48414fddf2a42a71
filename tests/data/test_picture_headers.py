"""What pictures say of themselves, against what Pillow finds."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cifarzoo.data.formats import pictures
from cifarzoo.data.formats.picture_headers import codec, sizes
from cifarzoo.errors import DataError
from tests.small_cifar import LOSSLESS, encoded

CODECS = ["JPEG", "PNG", "WebP", LOSSLESS]


def noise(height, width, seed=3):
    return np.random.default_rng(seed).integers(0, 256, (3, height, width), np.uint8)


def webp(width=32, height=32, **how):
    """A WebP with a canvas, as a profile or transparency needs one."""
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[..., 3] = np.arange(width) % 256
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WebP", **how)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", CODECS)
@given(width=st.integers(1, 300), height=st.integers(1, 300))
def test_codec_and_size_are_those_that_were_written(kind, width, height):
    picture = encoded(noise(height, width), kind)
    assert codec(picture) == kind
    assert sizes(picture) == [(width, height)]


@pytest.mark.parametrize(("is_lossless", "kind"), [(True, LOSSLESS), (False, "WebP")])
def test_a_webp_with_a_canvas_says_both_sizes(is_lossless, kind):
    picture = webp(40, 30, lossless=is_lossless, icc_profile=b"profile")
    assert codec(picture) == kind
    assert sizes(picture) == [(40, 30), (40, 30)]


def test_transparent_pixels_have_their_colours():
    pixels = np.random.default_rng(4).integers(0, 256, (32, 32, 4), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WebP", lossless=True, exact=True)
    [decoded] = pictures.decode([buffer.getvalue()], where="here")
    np.testing.assert_array_equal(decoded, pixels[..., :3].transpose(2, 0, 1))


def test_an_animation_is_no_picture():
    frames = [Image.fromarray(noise(32, 32, seed).transpose(1, 2, 0)) for seed in range(2)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WebP", save_all=True, append_images=frames[1:], lossless=True)
    assert codec(buffer.getvalue()) is None


@pytest.mark.parametrize("at", ["canvas", "frame"])
def test_a_webp_that_says_it_is_huge_is_refused_undecoded(at):
    """Its decoder takes memory for the canvas before it looks at the frame."""
    raw = bytearray(webp(lossless=True, icc_profile=b"profile"))
    if at == "canvas":
        raw[24:30] = (16_382).to_bytes(3, "little") * 2  # less one
    else:
        place = raw.index(b"VP8L") + 9
        raw[place : place + 4] = struct.pack("<I", 16_382 | 16_382 << 14)
    with pytest.raises(DataError, match=r"image 0 is 16383 x 16383 pixels; expected 32 x 32"):
        pictures.decode([bytes(raw)], where="here")


@pytest.mark.parametrize("kind", CODECS)
def test_a_picture_cut_anywhere_in_its_header_is_refused_in_words(kind):
    picture = encoded(noise(32, 32), kind)
    for keep in range(40):
        with pytest.raises(DataError, match=r"image 0 (is no picture|cannot be decoded)"):
            pictures.decode([picture[:keep]], where="here")


@pytest.mark.parametrize("kind", CODECS)
def test_flipped_bits_end_in_one_line_or_in_an_image(kind):
    picture = encoded(noise(32, 32), kind)
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(200):
        damaged = bytearray(picture)
        damaged[rng.integers(min(60, len(picture)))] ^= 1 << rng.integers(8)
        try:
            [image] = pictures.decode([bytes(damaged)], where="here")
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017 - not every damage can be seen
            refused += 1
        else:
            assert image.shape == (3, 32, 32)
    assert refused > 20
