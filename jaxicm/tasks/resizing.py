"""Bilinear resizing: exactly as the original networks' programs do it in numpy, and differentiable in JAX."""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jax import Array

_BITS = 11
"""Fractional bits of OpenCV's interpolation weights."""


@lru_cache(maxsize=64)
def bilinear_matrix(size: int, source: int, antialias: bool) -> np.ndarray:
    """Return the float32 [size, source] matrix that resizes one axis; pixel centres lie at half numbers.

    Args:
        size: samples after, at least 1.
        source: samples before, at least 1.
        antialias: widen the triangle when shrinking (Pillow, torch antialias=True), or interpolate between the two
            nearest samples always (OpenCV, torch antialias=False).
    """
    step = source / size
    reach = max(step, 1.0) if antialias else 1.0
    centre = (np.arange(size) + 0.5) * step
    if not antialias:  # beyond the first and last pixel centre the picture is constant
        centre = np.clip(centre, 0.5, source - 0.5)
    matrix = np.maximum(0.0, 1.0 - np.abs(np.arange(source) + 0.5 - centre[:, None]) / reach)
    matrix = (matrix / matrix.sum(1, keepdims=True)).astype(np.float32)
    matrix.flags.writeable = False
    return matrix


def resize(images: "Array", height: int, width: int, *, antialias: bool) -> "Array":
    """Resize pictures, differentiably.

    Args:
        images: float32 [B, H, W, C].
        height: after.
        width: after.
        antialias: see `bilinear_matrix`.

    Returns:
        float32 [B, height, width, C].
    """
    import jax.numpy as jnp
    from jax import lax

    if images.shape[1:3] == (height, width):
        return images
    rows, columns = (bilinear_matrix(*s, antialias) for s in zip((height, width), images.shape[1:3], strict=True))
    exact = lax.Precision.HIGHEST
    half = jnp.einsum("ph,bhwc->bpwc", rows, images, precision=exact)
    return jnp.einsum("qw,bpwc->bpqc", columns, half, precision=exact)


def resize_pixels(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 [H, W, C] with antialiasing in float32 and round: torch's and, within a level, Pillow's bilinear."""
    if pixels.shape[:2] == (height, width):
        return pixels
    rows, columns = (bilinear_matrix(*s, True) for s in zip((height, width), pixels.shape[:2], strict=True))
    half = np.tensordot(rows, pixels.astype(np.float32), (1, 0))
    full = np.tensordot(half, columns, (1, 1)).transpose(0, 2, 1)
    return np.clip(np.rint(full), 0, 255).astype(np.uint8)


def resize_pixels_opencv(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 [H, W, C] to the same integers as OpenCV's INTER_LINEAR (no antialiasing, fixed point)."""
    if pixels.shape[:2] == (height, width):
        return pixels
    rows, columns = (_fixed_point(*s) for s in zip((height, width), pixels.shape[:2], strict=True))
    left, right, left_weight, right_weight = columns
    wide = pixels.astype(np.int32)
    half = wide[:, left] * left_weight[:, None] + wide[:, right] * right_weight[:, None]
    half >>= 4
    top, bottom, top_weight, bottom_weight = rows
    total = (half[top] * top_weight[:, None, None]) >> 16
    total += (half[bottom] * bottom_weight[:, None, None]) >> 16
    return ((total + 2) >> 2).astype(np.uint8)


def _fixed_point(size: int, source: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the two source positions of every sample and their weights in units of 2^-11."""
    position = ((np.arange(size) + 0.5) * (source / size) - 0.5).astype(np.float32)
    first = np.floor(position).astype(np.int32)
    fraction = position - first.astype(np.float32)
    fraction[(first < 0) | (first >= source - 1)] = 0.0
    first = np.clip(first, 0, source - 1)
    one = np.float32(1 << _BITS)
    second_weight = np.rint(fraction * one).astype(np.int32)
    first_weight = np.rint((np.float32(1) - fraction) * one).astype(np.int32)
    return first, np.minimum(first + 1, source - 1), first_weight, second_weight
