"""Our PNG writer: other decoders read the same samples, filters are those of the specification, chunks are whole."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from jaxicm.media import png_writer
from jaxicm.media.png_writer import encode_png, filter_rows

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def drawn(seed: int, height: int, width: int, channels: int, dtype: type, smooth: bool) -> np.ndarray:
    """Draw noise, or a smooth picture on which every filter is the best one somewhere."""
    rng, top = np.random.default_rng(seed), int(np.iinfo(dtype).max)
    noise = rng.integers(0, top, (height, width, channels), dtype, endpoint=True)
    if smooth:
        slopes = rng.integers(-900, 900, (3, channels))
        y, x = np.indices((height, width))[..., None]
        noise = ((y * slopes[0] + x * slopes[1] + np.sin(x * y) * slopes[2] + noise % 3) % (top + 1)).astype(dtype)
    return noise[..., 0] if channels == 1 else noise


def unfiltered(rows: np.ndarray, pixel_bytes: int) -> np.ndarray:
    """Undo the filters byte by byte, as section 9.2 of the specification is written."""
    lines = [[0] * (rows.shape[1] - 1)]
    for kind, *line in rows.tolist():
        for at in range(len(line)):
            a = line[at - pixel_bytes] if at >= pixel_bytes else 0
            b = lines[-1][at]
            c = lines[-1][at - pixel_bytes] if at >= pixel_bytes else 0
            p = a + b - c
            nearest = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line[at] = (line[at] + (0, a, b, (a + b) // 2, nearest)[kind]) % 256
        lines.append(line)
    return np.array(lines[1:], np.uint8)


pictures = {
    "seed": st.integers(0, 1000),
    "height": st.integers(1, 12),
    "width": st.integers(1, 12),
    "channels": st.integers(1, 4),
    "smooth": st.booleans(),
}


@given(**pictures)
@settings(max_examples=60, deadline=None)
def test_pillow_reads_8_bit_samples(seed, height, width, channels, smooth):
    samples = drawn(seed, height, width, channels, np.uint8, smooth)
    image = Image.open(io.BytesIO(encode_png(samples)))
    assert image.mode == MODES[channels]
    np.testing.assert_array_equal(np.asarray(image), samples)


@given(**pictures)
@settings(max_examples=60, deadline=None)
def test_libpng_reads_16_bit_samples(seed, height, width, channels, smooth):
    imagecodecs = pytest.importorskip("imagecodecs")
    samples = drawn(seed, height, width, channels, np.uint16, smooth)
    found = imagecodecs.png_decode(encode_png(samples))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, samples)


@given(**pictures, pixel_bytes=st.sampled_from([1, 2, 3, 4, 6, 8]))
@settings(max_examples=60, deadline=None)
def test_filters_are_those_of_the_specification(seed, height, width, channels, smooth, pixel_bytes):
    rows = drawn(seed, height, width * channels * pixel_bytes, 1, np.uint8, smooth)
    np.testing.assert_array_equal(unfiltered(filter_rows(rows, np.zeros_like(rows[0]), pixel_bytes), pixel_bytes), rows)


def test_each_filter_is_chosen_where_it_predicts_best():
    y, x = np.indices((6, 40))
    row = np.random.default_rng(0).integers(0, 256, 40)
    assert set(filter_rows(((x * 37) % 256).astype(np.uint8), np.zeros(40, np.uint8), 1)[:, 0]) == {1, 2}
    steady = np.tile(row, (6, 1)).astype(np.uint8)
    np.testing.assert_array_equal(filter_rows(steady, steady[0], 1)[:, 0], [2] * 6)
    ramp = ((row + 5 * y) % 256).astype(np.uint8)
    assert set(filter_rows(ramp, np.zeros(40, np.uint8), 1)[1:, 0]) <= {2, 4}
    np.testing.assert_array_equal(filter_rows(np.zeros((2, 9), np.uint8), np.zeros(9, np.uint8), 3)[:, 0], [0, 0])


def test_a_smooth_picture_of_16_bit_becomes_small():
    y, x = np.indices((200, 300))
    samples = np.dstack([100 * x + 31 * y, 65535 - 90 * x, 150 * y]).astype(np.uint16)
    assert len(encode_png(samples)) < samples.nbytes / 50


def test_a_picture_of_several_bands_is_the_same_as_of_one(monkeypatch):
    samples = drawn(1, 50, 20, 3, np.uint16, True)
    whole = encode_png(samples)
    monkeypatch.setattr(png_writer, "_BAND_BYTES", 300)
    parts = encode_png(samples)
    assert pixels_of(parts) == pixels_of(whole)


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """Split a PNG into chunks and check their sums."""
    at, found = 8, []
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(kind + body),)
        found.append((kind, body))
        at += length + 12
    return found


def pixels_of(data: bytes) -> bytes:
    return zlib.decompress(b"".join(body for kind, body in chunks_of(data) if kind == b"IDAT"))


def test_chunks_have_their_sums_and_order_and_the_profile_is_kept():
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encode_png(drawn(2, 5, 7, 3, np.uint16, False), icc)
    kinds = [kind for kind, _ in chunks_of(data)]
    assert (kinds[:2], kinds[-1], set(kinds[2:-1])) == ([b"IHDR", b"iCCP"], b"IEND", {b"IDAT"})
    assert Image.open(io.BytesIO(data)).info["icc_profile"] == icc
