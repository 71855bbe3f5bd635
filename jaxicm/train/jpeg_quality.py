"""The quality setting at which a JPEG file was made, as far as its quantisation tables tell."""

import io

import numpy as np
from PIL import Image

# ITU-T T.81, table K.1: luma, row by row
_LUMA = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
])  # fmt: skip


def _luma_tables() -> np.ndarray:
    """Make the luma tables of the qualities 1 to 100 by the formula of the IJG library: int `[100, 64]`."""
    quality = np.arange(1, 101)
    percent = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.clip((_LUMA * percent[:, None] + 50) // 100, 1, 255)


def jpeg_quality(data: bytes) -> int | None:
    """Estimate the quality setting of a JPEG file.

    The tables of other programs than the IJG library (libjpeg, libjpeg-turbo, Pillow) are compared with that library's,
    and the quality with the nearest luma table is taken.

    Args:
        data: the file, or at least its header.

    Returns:
        The quality in [1, 100], or None for something that is not a JPEG file or has a damaged header.
    """
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    try:
        with Image.open(io.BytesIO(data)) as image:
            tables = getattr(image, "quantization", None)
    except Exception:  # a damaged header: decoding will say what is wrong
        return None
    if not tables:
        return None
    found = np.asarray(tables[min(tables)])
    return int(np.abs(_luma_tables() - found).sum(1).argmin()) + 1
