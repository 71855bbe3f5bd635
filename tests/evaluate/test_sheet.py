"""The sheet: the crop with the most detail, one panel a codec."""

import numpy as np
import pytest

from jaxicm.evaluate.sheet import anchor_at_size, detailed_crop, draw_sheet, rendering


def picture_with_detail() -> np.ndarray:
    pixels = np.full((120, 200, 3), 128, np.uint8)
    pixels[70:90, 130:150] = np.random.default_rng(0).integers(0, 256, (20, 20, 3))
    return pixels


def test_the_crop_holds_the_detail():
    rows, columns = detailed_crop(picture_with_detail(), 32)
    assert (rows.start <= 70, rows.stop >= 90, rows.stop - rows.start) == (True, True, 32)
    assert (columns.start <= 130, columns.stop >= 150, columns.stop - columns.start) == (True, True, 32)


def test_the_crop_of_a_small_picture_is_the_picture():
    assert detailed_crop(np.zeros((5, 9), np.uint8), 128) == (slice(0, 5), slice(0, 9))


@pytest.mark.parametrize(("name", "starts"), [("jpeg", "JPEG (quality "), ("webp", "WebP (quality ")])
def test_an_anchor_has_at_least_the_size_asked_for(name, starts):
    pixels = picture_with_detail()
    found = anchor_at_size(pixels, 900, name)
    assert found.name.startswith(starts)
    assert (found.size_bytes >= 900, found.pixels.shape) == (True, pixels.shape)


def test_the_sheet_has_the_enlarged_crop_of_every_rendering():
    pixels = picture_with_detail()
    other = rendering("other", pixels, b"x" * 300, np.full_like(pixels, 77))
    assert other.bpp == 8 * 300 / (120 * 200)
    sheet = draw_sheet(pixels, [other], crop_side=32)
    assert sheet.shape == (32 * 12 + 52 + 24, 12 + 2 * (384 + 12), 3)
    rows, columns = detailed_crop(pixels, 32)
    np.testing.assert_array_equal(sheet[64 : 64 + 384 : 12, 12 : 12 + 384 : 12], pixels[rows, columns])
    assert (sheet[64 : 64 + 384, 408 : 408 + 384] == 77).all()
    draw_sheet(pixels[:3, :2, 0].copy(), [])
