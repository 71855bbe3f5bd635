"""Enlarged chroma: against Pillow's JPEG decoder, and back to the half that was enlarged."""

import io

import numpy as np
import pytest
from PIL import Image

from jaxicm.ops.chroma import ENLARGINGS, find_half
from jaxicm.ops.ycc import JPEG

BY_NAME = {enlarging.name: enlarging for enlarging in ENLARGINGS}


def test_centred_is_what_the_library_does():
    """Chroma of flat 16 x 16 blocks is exactly known; Pillow enlarges it as `centred` does."""
    rng = np.random.default_rng(0)
    small = rng.integers(96, 160, (6, 8, 3), np.uint8)
    small[..., 0] = 128
    blocks = np.kron(small, np.ones((16, 16, 1), np.uint8))
    data = io.BytesIO()
    Image.fromarray(blocks, "YCbCr").save(data, "JPEG", quality=100, subsampling=2)
    decoded = np.asarray(Image.open(data))
    half = np.kron(np.moveaxis(small[..., 1:], -1, 0).astype(np.int32) - 128, np.ones((1, 8, 8), np.int32))
    chroma = np.moveaxis(BY_NAME["centred"].enlarge(half), 0, -1)
    expected = JPEG.to_rgb(np.concatenate([np.full((*chroma.shape[:2], 1), 128), chroma], axis=-1))
    assert np.mean(np.all(decoded == expected, axis=-1)) > 0.99


@pytest.mark.parametrize("name", BY_NAME)
def test_the_half_is_found_again(name):
    rng = np.random.default_rng(0)
    smooth = np.cumsum(np.cumsum(rng.normal(0, 1, (2, 20, 26)), axis=1), axis=2) / 4
    half = np.clip(np.rint(smooth + rng.normal(0, 2, smooth.shape)), -128, 127).astype(np.int32)
    full = BY_NAME[name].enlarge(half)
    found = find_half(BY_NAME[name], full, np.ones(full.shape[1:], bool))
    wrong = np.mean(BY_NAME[name].enlarge(found) != full)
    assert wrong == 0 if name != "centred" else wrong < 0.03


def test_unknown_results_are_bridged():
    rng = np.random.default_rng(1)
    half = np.cumsum(rng.integers(-2, 3, (1, 24, 24)), axis=2).astype(np.int32)
    enlarging = BY_NAME["cosited"]
    full = enlarging.enlarge(half)
    sure = rng.random(full.shape[1:]) > 0.05
    broken = np.where(sure, full, full + rng.integers(-9, 10, full.shape))
    found = enlarging.enlarge(find_half(enlarging, broken.astype(np.int32), sure))
    assert np.mean(found != full) < 0.25 * np.mean(broken != full)


@pytest.mark.parametrize("enlarging", ENLARGINGS, ids=lambda e: e.name)
def test_a_flat_plane_stays_flat(enlarging):
    full = enlarging.enlarge(np.full((2, 3, 5), -7, np.int32))
    assert full.shape == (2, 6, 10) and np.all(full == -7)
