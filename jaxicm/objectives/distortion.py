"""How far a decoded picture is from the original: the distortions that a codec is trained for."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.objectives.ms_ssim import ms_ssim

Kind = Literal["mse", "yuv", "ms-ssim"]
"""Mean squared error of RGB; of luma and chroma of BT.709, 6:1:1; or 1 - MS-SSIM in units of squared error."""

_RED, _BLUE = 0.2126, 0.0722
_CHROMA_BLUE, _CHROMA_RED = 2 * (1 - _BLUE), 2 * (1 - _RED)
_LUMA = np.array([_RED, 1 - _RED - _BLUE, _BLUE], np.float32)
RGB_TO_YUV = np.stack(
    [
        _LUMA,
        (np.array([0, 0, 1], np.float32) - _LUMA) / _CHROMA_BLUE,
        (np.array([1, 0, 0], np.float32) - _LUMA) / _CHROMA_RED,
    ]
).T
"""`[3, 3]`: `rgb @ RGB_TO_YUV` are Y, U, V of BT.709, full range."""
YUV_WEIGHTS = np.array([6, 1, 1], np.float32) / 8
MS_SSIM_EXCHANGE = 0.02
"""Squared error (values in [0, 1]) that a loss of 1 in MS-SSIM is worth.

At lambda 0.0067 beside `255**2 * MSE` the weight of 1 - MS-SSIM is then 8.7, as in CompressAI's models of quality 3
(Begaint et al., arXiv 2011.03029, table of lambdas), so that one range of qualities serves both distortions.
"""


def distortion(x: Array, x_hat: Array, kind: Kind = "mse") -> Array:
    """Compute the distortion of each picture in units of a squared error of values in [0, 1].

    Args:
      x: pictures `[B, H, W, 3]` in [0, 1].
      x_hat: decoded pictures, the same shape, not necessarily clipped.
      kind: which.

    Returns:
      `[B]`.
    """
    if kind == "ms-ssim":
        return MS_SSIM_EXCHANGE * (1 - ms_ssim(x, x_hat))
    squares = jnp.square(x - x_hat) if kind == "mse" else jnp.square((x - x_hat) @ RGB_TO_YUV)
    if kind == "yuv":
        return jnp.mean(squares, axis=(1, 2)) @ YUV_WEIGHTS
    return jnp.mean(squares, axis=(1, 2, 3))
