"""Simple lossless payloads: every sample comes back, none is larger than raw, damage is an error or a picture."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from jaxicm.codecs import lossless_fallback, row_filters
from jaxicm.codecs.lossless_fallback import Mode, is_synthetic, mode_of, pack_simple, unpack_simple
from jaxicm.errors import CorruptFile

CONTENTS = ("flat", "palette", "noise", "gradient", "screen", "two values", "low noise")


def draw(content: str, height: int, width: int, channels: int, dtype: type, seed: int) -> np.ndarray:
    """Make samples `[H, W, C]` of a kind."""
    rng, top = np.random.default_rng(seed), int(np.iinfo(dtype).max)
    shape = (height, width, channels)
    match content:
        case "flat":
            return np.broadcast_to(rng.integers(0, top + 1, channels), shape).astype(dtype)
        case "palette":
            colours = rng.integers(0, top + 1, (int(rng.integers(1, 300)), channels))
            return colours[rng.integers(0, len(colours), shape[:2])].astype(dtype)
        case "noise":
            return rng.integers(0, top + 1, shape).astype(dtype)
        case "gradient":
            y, x, c = np.mgrid[0:height, 0:width, 0:channels]
            return ((3 * x + 5 * y + 40 * c) % (top + 1)).astype(dtype)
        case "screen":
            image = Image.new("RGBA", (width, height), tuple(rng.integers(0, 256, 4).tolist()))
            pen = ImageDraw.Draw(image)
            for _ in range(6):
                at = int(rng.integers(-9, width)), int(rng.integers(-5, height))
                pen.text(at, "Text 0123", fill=tuple(rng.integers(0, 256, 4).tolist()))
            return np.asarray(image)[..., :channels].astype(dtype) * dtype(top // 255)
        case "two values":
            return np.where(rng.random(shape) < 0.1, top, top // 3).astype(dtype)
        case _:
            return (top // 2 + rng.integers(-3, 4, shape)).astype(dtype)


@st.composite
def pictures(draw_value: st.DrawFn) -> np.ndarray:
    samples = draw(
        draw_value(st.sampled_from(CONTENTS)),
        draw_value(st.integers(1, 40)),
        draw_value(st.integers(1, 40)),
        channels := draw_value(st.integers(1, 4)),
        draw_value(st.sampled_from([np.uint8, np.uint16])),
        draw_value(st.integers(0, 1000)),
    )
    return samples[..., 0] if channels == 1 and draw_value(st.booleans()) else samples


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=300, deadline=None)
@given(pictures())
def test_every_sample_comes_back_from_no_more_bytes_than_raw(samples):
    data = pack_simple(samples)
    assert len(data) <= samples.nbytes + 1
    assert_same(unpack_simple(memoryview(data), samples.shape, samples.dtype), samples)
    assert mode_of(data) in ("raw", "lzma", "filtered", "palette", "webp")
    assert isinstance(is_synthetic(samples), bool)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("content", CONTENTS)
def test_larger_pictures_come_back(content, channels, dtype):
    samples = draw(content, 150, 203, channels, dtype, 0)
    data = pack_simple(samples)
    assert len(data) <= samples.nbytes + 1
    assert_same(unpack_simple(data, samples.shape, dtype), samples)


def test_pictures_take_the_mode_that_is_made_for_them():
    sizes = {}
    for content in CONTENTS:
        data = pack_simple(draw(content, 150, 203, 3, np.uint8, 0))
        sizes[content] = mode_of(data), len(data)
    assert sizes["flat"] == ("palette", 6)
    assert sizes["noise"] == ("raw", 150 * 203 * 3 + 1)
    assert sizes["screen"][0] == "webp"
    assert sizes["screen"][1] < 150 * 203 * 3 / 30
    assert sizes["gradient"][1] < 1500
    # 16 bits: a smooth ramp is filtered, few values are a palette.
    deep = draw("gradient", 150, 203, 3, np.uint16, 0)
    assert (mode_of(pack_simple(deep)), len(pack_simple(deep)) < 1000) == ("filtered", True)
    few = draw("two values", 150, 203, 1, np.uint16, 0)
    assert mode_of(pack_simple(few)) == "palette"
    assert len(pack_simple(few)) < 150 * 203 / 8 + 100


def test_colours_below_transparency_are_kept():
    samples = np.random.default_rng(0).integers(0, 4, (33, 20, 4)).astype(np.uint8) * 60
    samples[5:20, :, 3] = 0
    samples[8:12] = 0
    for content in (samples, samples[..., 2:]):
        assert_same(unpack_simple(pack_simple(content), content.shape, np.uint8), content)


def test_photographs_are_told_from_drawings(photograph):
    photo = photograph(200, 300)
    for samples in (photo, photo[..., 0], photo.astype(np.uint16) * 257, photo[:1], photo[:, :1]):
        assert not is_synthetic(samples)
    for content in ("flat", "screen", "two values"):
        for samples in (drawn := draw(content, 200, 300, 3, np.uint8, 0), drawn[..., 0], drawn.astype(np.uint16) * 257):
            assert is_synthetic(samples)


def test_large_pictures_are_looked_at_and_packed_in_seconds(photograph):
    start = time.process_time()
    photo = np.tile(photograph(300, 400), (5, 5, 1))
    assert not is_synthetic(photo)
    assert time.process_time() - start < 2
    flat = np.zeros((2500, 2500, 3), np.uint8)
    assert len(pack_simple(flat)) == 6
    assert time.process_time() - start < 30


@settings(max_examples=100, deadline=None)
@given(pictures())
def test_filtered_rows_come_back(samples):
    cube = samples.reshape(*samples.shape[:2], -1)
    data = row_filters.forward(cube)
    assert len(data) == row_filters.size_bytes(cube.shape, cube.dtype)
    assert_same(row_filters.inverse(data, cube.shape, cube.dtype), cube)


def test_filters_are_those_of_the_definition():
    """Rows made to be zero under one filter each, differences computed by hand."""
    cube = np.array([[[9], [9], [9]], [[9], [9], [9]], [[9], [10], [12]], [[11], [12], [14]]], np.uint8)
    data = row_filters.forward(cube)
    # The third row is 0 1 3 under `above` and 0 1 2 under `plane`, the fourth 2 2 2 and 2 0 0.
    assert list(data[:4]) == [row_filters.LEFT, row_filters.ABOVE, row_filters.PLANE, row_filters.PLANE]
    assert list(data[4:]) == [9, 0, 0, 0, 0, 0, 0, 1, 2, 2, 0, 0]


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.integers(1, 3)):
        at, size = int(rng.integers(len(damaged) + 1)), int(rng.integers(1, 9))
        match int(rng.integers(5)):
            case 0:
                del damaged[at : at + size]
            case 1:
                damaged[at:at] = rng.bytes(size)
            case 2 if at < len(damaged):
                damaged[at] ^= 1 << int(rng.integers(8))
            case 3:
                del damaged[at:]
            case _:
                damaged[at : at + size] = rng.bytes(size)
    return bytes(damaged)


def test_damaged_payloads_are_errors_or_pictures():
    rng, errors, count = np.random.default_rng(0), 0, 0
    for content in CONTENTS:
        for channels, dtype in ((1, np.uint8), (3, np.uint8), (4, np.uint8), (3, np.uint16)):
            samples = draw(content, 30, 37, channels, dtype, 0)
            data = pack_simple(samples)
            for _ in range(40):
                damaged = mutate(data, rng)
                if rng.random() < 0.2 and damaged:
                    damaged = bytes([int(rng.integers(len(Mode)))]) + damaged[1:]
                count += 1
                try:
                    found = unpack_simple(damaged, samples.shape, dtype)
                except CorruptFile as error:
                    assert "\n" not in str(error)
                    errors += 1
                else:
                    assert (found.shape, found.dtype) == (samples.shape, dtype)
    assert errors > count / 2


@pytest.mark.parametrize("mode", Mode)
def test_a_payload_of_another_size_is_an_error(mode):
    payloads = {}
    for content in CONTENTS:
        for channels in (3, 4):
            samples = draw(content, 30, 37, channels, np.uint8, 0)
            for data in lossless_fallback._candidates(samples):
                payloads[data[0]] = data, samples.shape
    data, (height, width, channels) = payloads[mode]
    if mode is Mode.PALETTE:
        data = pack_simple(draw("two values", 30, 37, channels, np.uint16, 0))  # two bytes a sample here
        assert data[0] == mode
    for shape in ((height + 1, width, channels), (height, 3 * width, channels), (height, width, 1)):
        with pytest.raises(CorruptFile):
            unpack_simple(data, shape, np.uint8)


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x06", b"\x00", b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"])
def test_nothing_is_no_payload(data):
    for dtype in (np.uint8, np.uint16):
        with pytest.raises(CorruptFile):
            unpack_simple(data, (3, 5, 4), dtype)


def test_a_bomb_expands_only_to_the_size_of_the_picture():
    import resource

    bomb = pack_simple(np.tile(np.arange(256, dtype=np.uint16), (8192, 64)))  # 256 MiB
    assert len(bomb) < 1 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for mode in (Mode.LZMA, Mode.FILTERED, Mode.PALETTE):
        with pytest.raises(CorruptFile):
            unpack_simple(bytes([mode]) + bomb[1:], (100, 100, 3), np.uint8)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10
