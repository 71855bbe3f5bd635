"""How far a decoded picture is from its original, sample by sample: PSNR of uint8 pictures."""

import numpy as np


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB over all samples, peak 255.

    Args:
        a: uint8 [H, W, 3] or [H, W].
        b: uint8, the same shape.

    Returns:
        10 log10(255^2 / mean squared error); infinite for equal pictures.

    Raises:
        ValueError: shapes or types differ from the above.
    """
    check_comparable(a, b)
    # int16 holds every difference; the squares are summed as integers, so the result does not depend on the order
    error = a.astype(np.int16) - b
    squares = int(np.einsum("i,i->", error.ravel(), error.ravel(), dtype=np.int64))
    return float("inf") if squares == 0 else 10.0 * float(np.log10(255.0**2 * a.size / squares))


def check_comparable(a: np.ndarray, b: np.ndarray) -> None:
    """Refuse pictures that no measure compares.

    Args:
        a: to be uint8 [H, W, C] or [H, W], not empty.
        b: to be uint8 of the same shape.

    Raises:
        ValueError: they are not.
    """
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(f"pictures must be uint8, got {a.dtype} and {b.dtype}")
    if a.shape != b.shape:
        raise ValueError(f"pictures must have the same shape, got {a.shape} and {b.shape}")
    if a.ndim not in (2, 3) or a.size == 0:
        raise ValueError(f"pictures must be [H, W] or [H, W, C] and not empty, got {a.shape}")
