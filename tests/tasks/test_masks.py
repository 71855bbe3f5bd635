"""Pasting masks: against a loop over all pixels."""

import numpy as np

from jaxicm.tasks.masks import paste_masks


def slow_paste(mask: np.ndarray, box: np.ndarray, height: int, width: int) -> np.ndarray:
    """Sample the mask at the centre of every pixel, zeros around it."""
    out = np.zeros((height, width))
    padded = np.pad(mask.astype(np.float64), 1)
    x0, y0, x1, y1 = box.astype(np.float64)
    for i in range(height):
        for j in range(width):
            y = (i + 0.5 - y0) / (y1 - y0) * mask.shape[0] + 0.5
            x = (j + 0.5 - x0) / (x1 - x0) * mask.shape[1] + 0.5
            a, b = int(np.floor(y)), int(np.floor(x))
            if 0 <= a < padded.shape[0] - 1 and 0 <= b < padded.shape[1] - 1:
                cell = padded[a : a + 2, b : b + 2]
                out[i, j] = np.array([1 - (y - a), y - a]) @ cell @ np.array([1 - (x - b), x - b])
    return out


def test_it_is_bilinear_sampling_at_pixel_centres():
    rng = np.random.default_rng(0)
    masks = rng.uniform(size=(4, 7, 7)).astype(np.float32)
    boxes = np.array([[3.2, 4.1, 20.7, 15.9], [-4, -3, 9, 40], [10.1, 2.2, 12.3, 3.1], [0, 0, 32, 24]], np.float32)
    pasted = paste_masks(masks, boxes, 24, 32)
    for mask, box, found in zip(masks, boxes, pasted, strict=True):
        expected = slow_paste(mask, box, 24, 32)
        sure = np.abs(expected - 0.5) > 1e-5
        assert sure.mean() > 0.99
        np.testing.assert_array_equal(found[sure], (expected >= 0.5)[sure])


def test_a_low_threshold_reaches_half_a_sample_beyond_the_box():
    box = np.array([8.0, 8.0, 16.0, 16.0], np.float32)
    mask = np.ones((2, 2), np.float32)
    found = paste_masks(mask[None], box[None], 24, 24, threshold=1e-3)[0]
    np.testing.assert_array_equal(found, slow_paste(mask, box, 24, 24) >= 1e-3)
    assert found[:8].any()


def test_boxes_without_area_or_outside_give_empty_masks():
    boxes = np.array([[5, 5, 5, 9], [50, 50, 60, 60], [-20, -20, -10, -10]], np.float32)
    assert not paste_masks(np.ones((3, 4, 4), np.float32), boxes, 24, 32).any()


def test_no_masks_give_none():
    assert paste_masks(np.zeros((0, 28, 28)), np.zeros((0, 4)), 24, 32).shape == (0, 24, 32)
