"""Conversions from luma and chroma: against Pillow's JPEG decoder, and back again."""

import io

import numpy as np
import pytest
from PIL import Image

from jaxicm.ops.ycc import JPEG, PHOTO_CD


def centred(conversion, ycc: np.ndarray) -> np.ndarray:
    return ycc.astype(np.int64) - [0, *conversion.zero]


def test_jpeg_is_converted_as_by_its_library():
    """Flat blocks survive JPEG at quality 100 as they are: what Pillow makes of their YCbCr is what `to_rgb` makes."""
    rng = np.random.default_rng(0)
    ycc = rng.integers(0, 256, (64, 3), np.uint8)
    blocks = np.kron(ycc.reshape(8, 8, 3), np.ones((16, 16, 1), np.uint8))
    data = io.BytesIO()
    Image.fromarray(blocks, "YCbCr").save(data, "JPEG", quality=100, subsampling=0)
    decoded = np.asarray(Image.open(data))
    stored = Image.open(data)
    stored.draft("YCbCr", None)
    expected = JPEG.to_rgb(centred(JPEG, np.asarray(stored)))
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("conversion", [JPEG, PHOTO_CD])
def test_what_a_conversion_gives_leads_back(conversion):
    rng = np.random.default_rng(0)
    ycc = centred(conversion, rng.integers([0, 100, 100], [256, 190, 180], (20_000, 3)))
    rgb = conversion.to_rgb(ycc)
    found, solved = conversion.from_rgb(rgb)
    inside = np.all((rgb > 0) & (rgb < 255), axis=1)
    assert solved[inside].all() and solved.mean() > 0.999
    np.testing.assert_array_equal(conversion.to_rgb(found[solved]), rgb[solved])
    # Nearly one to one where nothing is cut off.
    assert np.mean(np.all(found == ycc, axis=1)[inside]) > 0.97


@pytest.mark.parametrize(("conversion", "share"), [(JPEG, 1 / 4), (PHOTO_CD, 1 / 9)])
def test_few_colours_come_out_of_a_conversion(conversion, share):
    rgb = np.random.default_rng(0).integers(64, 192, (20_000, 3))
    solved = conversion.from_rgb(rgb)[1]
    assert 0.8 * share < solved.mean() < 1.2 * share


def test_equal_colours_come_from_equal_ones():
    rgb = np.random.default_rng(0).integers(0, 256, (500, 3))
    together = JPEG.from_rgb(rgb)[0]
    alone = np.concatenate([JPEG.from_rgb(rgb[k : k + 1])[0] for k in range(len(rgb))])
    np.testing.assert_array_equal(together, alone)
