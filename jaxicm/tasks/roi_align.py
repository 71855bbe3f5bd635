"""RoIAlign as two interpolation matrices for each region and one einsum: differentiable, of fixed shape.

He et al., "Mask R-CNN", 2017. A bin's value is the mean of samples in a regular grid, a sample is a bilinear
interpolation, and both are linear and separable: so a region is rows @ features @ columns.
"""

import jax.numpy as jnp
from jax import Array, lax

from jaxicm.tasks.convolution import PRECISION, Extent


def roi_align(
    features: Array, boxes: Array, *, size: int, scale: float, samples: int | None = 2, extent: Extent = None
) -> Array:
    """Cut regions out of a feature map and resample them to one size ("aligned": half a pixel is subtracted).

    Args:
        features: float32 [H, W, C].
        boxes: float32 [N, 4] in pixels of the picture.
        size: bins a side of the result.
        scale: features a pixel, 1 / stride.
        samples: a bin and axis; None: as many as there are features under a bin, rounded up (torch's
            sampling_ratio=0), which is told by masks, so the shape stays fixed.
        extent: part of the features that is real; samples beyond it are zero.

    Returns:
        float32 [N, size, size, C].
    """
    height, width = features.shape[:2]
    true_height, true_width = (height, width) if extent is None else extent
    corners = boxes * scale - 0.5
    rows = _interpolation(corners[:, 1], corners[:, 3], size, height, true_height, samples)
    columns = _interpolation(corners[:, 0], corners[:, 2], size, width, true_width, samples)
    half = jnp.einsum("nph,hwc->npwc", rows, features, precision=PRECISION)
    return jnp.einsum("nqw,npwc->npqc", columns, half, precision=PRECISION)


def _interpolation(start: Array, end: Array, size: int, length: int, true: Array | int, samples: int | None) -> Array:
    """Return `[N, size, length]`: how much of each feature is in each bin along one axis."""
    # a gradient with respect to the boxes would pass through the positions of samples; detectors are trained without
    start, end = lax.stop_gradient((start, end))
    bin_length = (end - start) / size
    most = -(-length // size) if samples is None else samples
    count = jnp.ceil(bin_length) if samples is None else jnp.full_like(bin_length, samples)
    count = jnp.maximum(count, 1.0)[:, None, None]
    bins = jnp.arange(size, dtype=jnp.float32)[:, None]
    sample = jnp.arange(most, dtype=jnp.float32)
    position = start[:, None, None] + bin_length[:, None, None] * (bins + (sample + 0.5) / count)  # [N, size, most]
    last = jnp.asarray(true, jnp.float32)
    counted = (sample < count) & (position >= -1.0) & (position <= last)
    position = jnp.clip(position, 0.0, last - 1.0)
    weight = jnp.maximum(0.0, 1.0 - jnp.abs(position[..., None] - jnp.arange(length, dtype=jnp.float32)))
    return jnp.sum(jnp.where(counted[..., None], weight, 0.0), 2) / count
