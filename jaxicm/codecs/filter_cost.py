"""What filtered frames cost an encoder: squared errors of planes, and what a bit is worth beside them."""

from collections.abc import Sequence

import numpy as np

from jaxicm.media.yuv import PlanarFormat, Planes

CHROMA_WEIGHT = 4 / 6
"""Of a squared error of chroma relative to luma's: together the planes' mean squared errors count 6:1:1."""


def lagrangian(qp: float) -> float:
    """Return squared error of luma, in 8-bit steps, that a bit is worth to an encoder at a QP (that of HM and VTM)."""
    return 0.57 * 2 ** ((qp - 12) / 3)


def squared_error(a: Sequence[Planes], b: Sequence[Planes], form: PlanarFormat) -> float:
    """Return the squared error of frames in 8-bit steps, chroma weighted with `CHROMA_WEIGHT`."""
    total = 0.0
    for x, y in zip(a, b, strict=True):
        for number, (p, q) in enumerate(zip(x, y, strict=True)):
            error = np.square(p.astype(np.float64) - q).sum()
            total += error * (CHROMA_WEIGHT if number else 1.0)
    return total / 4 ** (form.bits - 8)
