"""Scales: a picture made smaller before it is coded, and larger again after it was decoded.

At low rates, and for machines at most rates, a smaller picture at a better quality shows more for the same bits. The
sizes are those of CompressAI-Vision; the filter is Pillow's LANCZOS both ways, on uint8, whose arithmetic is that of
integers.
"""

import numpy as np
from PIL import Image

SCALES = (100, 75, 50, 25)
"""Those at which conventional codecs are measured, in per cent."""


def scaled_size(height: int, width: int, scale: int) -> tuple[int, int]:
    """Return the size at which a picture is coded: even sides, rounded up; at 100 % its own.

    Args:
        height: in pixels.
        width: in pixels.
        scale: per cent, 1 to 100.

    Returns:
        Height and width.
    """
    if scale == 100:
        return height, width
    return 2 * -(-height * scale // 200), 2 * -(-width * scale // 200)


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resample a picture with LANCZOS; of its own size it is returned as it is.

    Args:
        pixels: uint8 [H, W, 3] or [H, W].
        height: wanted.
        width: wanted.

    Returns:
        uint8 [height, width, 3] or [height, width].
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
