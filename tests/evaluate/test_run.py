"""The table of a codec: sizes and qualities of real files, means, and BD-rate."""

import zlib

import numpy as np
import pytest

from jaxicm.errors import JaxicmError
from jaxicm.evaluate.published import VTM_KODAK
from jaxicm.evaluate.run import FreshDecoder, Point, mean_curve, measure, report
from jaxicm.media.pictures import write_picture


class Shift:
    """A codec whose error is a constant: its PSNR has a closed form."""

    def encode(self, image: np.ndarray, *, quality: float) -> bytes:
        return bytes([int(quality)]) + np.array(image.shape, "<u2").tobytes() + zlib.compress(image.tobytes())

    def decode(self, data: bytes) -> np.ndarray:
        image = np.frombuffer(zlib.decompress(data[7:]), np.uint8).reshape(np.frombuffer(data[1:7], "<u2"))
        return image + np.uint8(data[0])


def point(quality: float, bpp: float, psnr: float, picture: str = "a", decode_s: float | None = 0.5) -> Point:
    return Point(picture, quality, 1000, bpp, psnr, 0.9, 0.25, decode_s)


def test_a_picture_is_measured_from_the_whole_file(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 200, (20, 30, 3), np.uint8)
    write_picture(tmp_path / "a.png", pixels)
    first, second = measure(Shift(), tmp_path / "a.png", [5, 10])
    assert (first.picture, first.quality, second.quality) == ("a.png", 5, 10)
    assert first.size_bytes == len(Shift().encode(pixels, quality=5))
    assert first.bpp == pytest.approx(first.size_bytes * 8 / 600)
    assert first.psnr == pytest.approx(20 * np.log10(255 / 5))
    assert second.psnr == pytest.approx(20 * np.log10(255 / 10))
    assert first.decode_s is not None


def test_the_mean_curve_averages_decibels_and_bits_at_each_quality():
    points = [point(20, 0.4, 30.0), point(20, 0.6, 34.0, "b"), point(10, 0.2, 28.0), point(10, 0.2, 29.0, "b")]
    low, high = mean_curve(points)
    assert (low["quality"], high["quality"]) == (10, 20)
    assert (low["psnr"], high["psnr"]) == (28.5, 32.0)
    assert high["bpp"] == pytest.approx(0.5)
    assert high["decode_s"] == 0.5
    assert mean_curve([point(10, 0.2, 28.0, decode_s=None)])[0]["decode_s"] is None


def test_a_codec_with_half_the_anchors_rate_has_minus_50_percent():
    points = [point(q, rate / 2, db) for q, (rate, db) in enumerate(zip(VTM_KODAK.bpp, VTM_KODAK.psnr, strict=True), 1)]
    found = report(points)
    assert found["bd_rate_percent"] == pytest.approx(-50.0)
    assert found["bd_rate_refused"] is None
    assert found["common_psnr"] == [VTM_KODAK.psnr[0], VTM_KODAK.psnr[-1]]
    assert len(found["pictures"]) == 8


def test_without_common_quality_the_bd_rate_is_refused_with_its_reason():
    found = report([point(10, 0.1, 10.0), point(20, 0.2, 12.0)])
    assert found["bd_rate_percent"] is None
    assert "no BD-rate" in found["bd_rate_refused"]


def test_a_failing_second_process_is_an_error_with_its_message():
    with pytest.raises(JaxicmError, match=r"second process failed: .*jaxicm: error:"):
        FreshDecoder().decode([b"this is no compressed file"])


def test_a_second_process_is_told_the_weights_only_where_it_cannot_find_them():
    assert FreshDecoder.for_model("fast") == FreshDecoder(None)
    assert FreshDecoder.for_model("runs/a.safetensors") == FreshDecoder("runs/a.safetensors")
