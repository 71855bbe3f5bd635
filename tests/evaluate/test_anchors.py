"""Conventional codecs: real files of their formats, settings in order, the same pixels in other decoders."""

import io
import sys
import time

import numpy as np
import pytest
from PIL import Image

from jaxicm.errors import InputError, MissingDependency, OptionError
from jaxicm.evaluate.anchors import ANCHORS, find
from jaxicm.evaluate.anchors.size import at_size, smallest_not_below
from jaxicm.evaluate.metrics import psnr

FORMATS = {"jpeg": "JPEG", "jpeg444": "JPEG", "webp": "WEBP", "avif": "AVIF", "avif420": "AVIF", "jpeg2000": "JPEG2000"}
LOSSLESS_FORMATS = {"png": "PNG", "webp-lossless": "WEBP"}
LOSSLESS = [name for name, anchor in ANCHORS.items() if anchor.lossless]
LOSSY = [name for name in ANCHORS if name not in LOSSLESS]
SAMPLING = {"jpeg": (2, 2), "jpeg444": (1, 1)}


def available(name: str):
    anchor = find(name)
    if reason := anchor.missing():
        pytest.skip(reason)
    return anchor


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    y, x, c = np.mgrid[0:64, 0:96, 0:3]
    noise = np.random.default_rng(0).integers(-12, 13, (64, 96, 3))
    return np.clip(128 + 80 * np.sin(x / 9.0 + c) * np.cos(y / 13.0) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", LOSSY)
def test_quality_and_size_rise_along_the_default_settings(name, picture):
    anchor = available(name)
    settings = (anchor.default[0], anchor.default[-1])
    coded = [anchor.encode(picture, setting) for setting in settings]
    decoded = [anchor.decode(item.data, 64, 96) for item in coded]
    assert len(coded[0].data) < len(coded[1].data)
    quality = [psnr(item.pixels, picture) for item in decoded]
    assert 18 < quality[0] < quality[1] - 2
    assert all(item.cpu_s > 0 for item in (*coded, *decoded))
    assert list(anchor.default) == sorted(anchor.default, reverse=not anchor.rising)


@pytest.mark.parametrize("name", LOSSY)
def test_a_grey_picture_comes_back_grey(name, picture):
    anchor = available(name)
    grey = picture[:33, :47, 1].copy()
    coded = anchor.encode(grey, anchor.default[len(anchor.default) // 2])
    decoded = anchor.decode(coded.data, 33, 47, grey=True).pixels
    assert (decoded.shape, decoded.dtype) == ((33, 47), np.uint8)
    assert psnr(decoded, grey) > 24


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("shape", [(64, 96, 3), (33, 47, 3), (33, 47), (1, 1, 3), (1, 1)])
def test_every_sample_comes_back_from_a_lossless_codec(name, shape, picture):
    anchor = available(name)
    pixels = picture[: shape[0], : shape[1]] if len(shape) == 3 else picture[: shape[0], : shape[1], 1]
    for setting in {*anchor.settings, *anchor.default}:
        coded = anchor.encode(pixels, setting)
        decoded = anchor.decode(coded.data, *shape[:2], grey=len(shape) == 2)
        assert decoded.pixels.dtype == np.uint8
        np.testing.assert_array_equal(decoded.pixels, pixels)


def test_lossless_codecs_are_those_that_are_named_so():
    assert LOSSLESS == ["png", "webp-lossless", "jpegxl-lossless"]
    with pytest.raises(OptionError, match="PNG: the setting must lie from 0 to 0, got 7"):
        find("png").encode(np.zeros((2, 2, 3), np.uint8), 7)


def test_effort_makes_lossless_jpeg_xl_smaller(picture):
    anchor = available("jpegxl-lossless")
    large = np.tile(picture, (2, 2, 1))
    assert len(anchor.encode(large, 7).data) < 0.95 * len(anchor.encode(large, 1).data)


@pytest.mark.parametrize("name", [*FORMATS, *LOSSLESS, "jpegxl"])
def test_no_other_thread_works_outside_the_clock(name, picture):
    anchor = available(name)
    large = np.tile(picture, (2, 2, 1) if name == "jpegxl-lossless" else (8, 8, 1))  # the first is the slowest by far
    start = time.process_time()
    coded = anchor.encode(large, anchor.default[len(anchor.default) // 2])
    assert coded.cpu_s > 0.7 * (time.process_time() - start) - 0.01
    start = time.process_time()
    decoded = [anchor.decode(coded.data, *large.shape[:2]) for _ in range(10)]
    assert sum(item.cpu_s for item in decoded) > 0.7 * (time.process_time() - start) - 0.01


@pytest.mark.parametrize("name", [*FORMATS, *LOSSLESS_FORMATS])
def test_pillow_makes_files_of_the_format(name, picture):
    anchor = available(name)
    image = Image.open(io.BytesIO(anchor.encode(picture, 0 if anchor.lossless else 40).data))
    assert image.format == (FORMATS | LOSSLESS_FORMATS)[name]
    if name in SAMPLING:
        assert image.layer[0][1:3] == SAMPLING[name]


@pytest.mark.parametrize("name", [name for name in ANCHORS if name not in ("vtm", "png")])
def test_what_all_colours_share_is_coded_once(name, picture):
    """A codec that codes red, green and blue independently needs three times the bytes for a grey picture in RGB."""
    anchor = available(name)
    setting = anchor.default[len(anchor.default) // 2]
    grey = anchor.encode(picture[..., 1].copy(), setting)
    colour = anchor.encode(np.repeat(picture[..., 1:2], 3, axis=2), setting)
    assert len(colour.data) < 1.2 * len(grey.data) + 250


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_the_file_nearest_from_above_is_found(name, picture):
    anchor = find(name)
    sizes = [len(anchor.encode(picture, setting).data) for setting in range(1, 101)]
    target = (min(sizes) + max(sizes)) // 2
    setting, data = at_size(anchor, picture, target)
    assert len(data) >= target
    assert len(anchor.encode(picture, setting - 1).data) < target
    assert anchor.encode(picture, setting).data == data


def test_a_falling_setting_in_fractions_is_found_too(picture):
    anchor = available("jpegxl")
    target = len(anchor.encode(picture, 2.0).data)
    setting, data = at_size(anchor, picture, target)
    assert len(data) >= target
    assert setting >= 2.0
    assert round(setting / anchor.step, 6) == round(setting / anchor.step)


@pytest.mark.parametrize("size_bytes", [1, 1 << 20])
def test_a_codec_of_one_setting_has_one_file_whatever_the_size(size_bytes, picture):
    assert at_size(find("png"), picture, size_bytes) == (0, find("png").encode(picture, 0).data)


@pytest.mark.parametrize("target", range(-1, 12))
def test_bisection_equals_a_search_through_all_settings(target):
    sizes = [0, 0, 1, 3, 3, 4, 9]
    setting, data = smallest_not_below(lambda index: b"x" * sizes[index], (0, 6), target)
    expected = next((index for index, size in enumerate(sizes) if size >= target), 6)
    assert (setting, len(data)) == (expected, sizes[expected])


def test_unknown_names_and_settings_are_refused(picture):
    with pytest.raises(OptionError, match="unknown anchor 'gif'; choose from jpeg"):
        find("gif")
    with pytest.raises(OptionError, match="from 1 to 100, got 101"):
        find("jpeg").encode(picture, 101)
    with pytest.raises(OptionError, match=r"a whole number, got 50\.5"):
        find("jpeg").encode(picture, 50.5)
    with pytest.raises(InputError, match=r"got float64 \(64, 96, 3\)"):
        find("jpeg").encode(picture / 255, 50)
    with pytest.raises(InputError, match=r"got uint8 \(64, 96, 4\)"):
        find("jpeg").encode(np.zeros((64, 96, 4), np.uint8), 50)


def test_what_is_not_installed_is_one_line_with_the_command(picture, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAXICM_FFMPEG", raising=False)
    monkeypatch.delenv("JAXICM_VTM", raising=False)
    for name in ("jpegxl", "jpegxl-lossless", "hevc", "av1", "vvc", "vtm"):
        reason = find(name).missing()
        assert reason is not None
        assert "\n" not in reason
        assert "pip install 'jaxicm[anchors]'" in reason or name == "vtm"
        with pytest.raises(MissingDependency, match=" needs "):
            find(name).encode(picture, find(name).default[0])
    assert find("jpeg").missing() is None


@pytest.mark.parametrize("name", ANCHORS)
def test_what_fixes_the_bytes_is_named(name):
    version = available(name).version()
    assert len(version) >= 2
    assert all(isinstance(key, str) and value and isinstance(value, str) for key, value in version.items())
