"""Masks of a fixed number of samples pasted into pictures, in numpy."""

import numpy as np


def paste_masks(masks: np.ndarray, boxes: np.ndarray, height: int, width: int, threshold: float = 0.5) -> np.ndarray:
    """Stretch masks over their boxes and say which pixels they cover.

    A pixel belongs to an object if the mask, interpolated bilinearly at its centre (zero outside the box), reaches the
    threshold: grid_sample(align_corners=False), as Detectron2 pastes.

    Args:
        masks: float [N, M, M] probabilities in [0, 1].
        boxes: float [N, 4], x0, y0, x1, y1 in pixels.
        height: of the picture.
        width: of the picture.
        threshold: in (0, 1).

    Returns:
        bool [N, height, width].
    """
    out = np.zeros((len(masks), height, width), bool)
    for mask, (x0, y0, x1, y1), canvas in zip(masks, boxes, out, strict=True):
        if x1 <= x0 or y1 <= y0:
            continue
        rows, top = _interpolation(y0, y1, mask.shape[0], height)
        columns, left = _interpolation(x0, x1, mask.shape[1], width)
        covered = rows @ mask.astype(np.float32) @ columns.T >= threshold
        canvas[top : top + len(rows), left : left + len(columns)] = covered
    return out


def _interpolation(start: float, end: float, samples: int, length: int) -> tuple[np.ndarray, int]:
    """Return the matrix [pixels, samples] of the pixels that a box can touch along one axis, and the first of them."""
    half_sample = 0.5 * (end - start) / samples  # the outermost samples reach half their width beyond the box
    first = min(max(0, int(np.floor(start - half_sample - 0.5))), length)
    last = max(min(length, int(np.ceil(end + half_sample + 0.5))), first)
    position = (np.arange(first, last) + 0.5 - start) / (end - start) * samples - 0.5
    weights = np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(samples)))
    return weights.astype(np.float32), first
