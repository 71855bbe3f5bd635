"""Multi-scale structural similarity as a differentiable function of pictures in [0, 1].

Source: Wang, Simoncelli, Bovik, "Multi-scale structural similarity for image quality assessment", 2003, with the
choices of `evaluate.metrics.ms_ssim`, the measure of decoded pictures (the tests compare the two).
"""

import jax.numpy as jnp
import numpy as np
from jax import Array

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW = 11
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2
_SMALLEST_TERM = 1e-4
"""Terms are kept above it: the gradient of a fractional power has no bound at zero."""


def ms_ssim(x: Array, y: Array) -> Array:
    """Compute MS-SSIM, the mean over channels.

    Args:
      x: `[B, H, W, C]` in [0, 1]; sides of 161 or more have all five scales, smaller ones fewer (weights rescaled).
      y: the same shape.

    Returns:
      `[B]` in (0, 1], 1 for equal pictures.

    Raises:
      ValueError: a side is below 11.
    """
    side = min(x.shape[1:3])
    if side < WINDOW:
        raise ValueError(f"MS-SSIM needs sides of {WINDOW} or more, got {x.shape[1]}x{x.shape[2]}")
    scales = 1
    while scales < len(WEIGHTS) and -(-side // 2) >= WINDOW:
        side, scales = -(-side // 2), scales + 1
    weights = np.array(WEIGHTS[:scales]) / (sum(WEIGHTS[:scales]) if scales < len(WEIGHTS) else 1.0)
    product = jnp.ones((x.shape[0], x.shape[3]))
    for scale, weight in enumerate(weights):
        similarity, structure = _ssim(x, y)
        term = similarity if scale == scales - 1 else structure
        product *= jnp.maximum(term, _SMALLEST_TERM) ** np.float32(weight)
        if scale < scales - 1:
            x, y = _halve(x), _halve(y)
    return product.mean(axis=-1)


def _ssim(x: Array, y: Array) -> tuple[Array, Array]:
    """Mean SSIM and mean contrast-structure term of every channel, `[B, C]` each."""
    # Subtracting one constant from both changes no variance and keeps float32 far from cancellation.
    u, v = x - 0.5, y - 0.5
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = _blur(jnp.stack([u, v, u * u, v * v, u * v]))
    variances = mean_xx - mean_x * mean_x + mean_yy - mean_y * mean_y
    covariance = mean_xy - mean_x * mean_y
    structure = (2 * covariance + _C2) / (variances + _C2)
    mean_x, mean_y = mean_x + 0.5, mean_y + 0.5
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x * mean_x + mean_y * mean_y + _C1)
    return (luminance * structure).mean(axis=(1, 2)), structure.mean(axis=(1, 2))


def _blur(planes: Array) -> Array:
    """Filter `[..., H, W, C]` with the separable Gaussian where the window fits; shifts and sums, no convolution.

    XLA's grouped convolutions take about twenty times as long on a CPU.
    """
    position = np.arange(WINDOW) - (WINDOW - 1) / 2
    taps = np.exp(-(position**2) / (2 * _SIGMA**2))
    taps = (taps / taps.sum()).astype(np.float32)
    for axis in (-3, -2):
        length = planes.shape[axis] - WINDOW + 1
        at = [(Ellipsis, slice(k, k + length), *[slice(None)] * (-axis - 1)) for k in range(WINDOW)]
        total = planes[at[WINDOW // 2]] * taps[WINDOW // 2]
        for k in range(WINDOW // 2):  # the window is symmetric: one product serves two taps
            total += (planes[at[k]] + planes[at[WINDOW - 1 - k]]) * taps[k]
        planes = total
    return planes


def _halve(x: Array) -> Array:
    """Average 2x2 pixels; an odd side first gets a zero row in front, as avg_pool2d(padding=side % 2)."""
    x = jnp.pad(x, ((0, 0), (x.shape[1] % 2, 0), (x.shape[2] % 2, 0), (0, 0)))
    rows = x[:, 0::2] + x[:, 1::2]
    return (rows[:, :, 0::2] + rows[:, :, 1::2]) * 0.25
