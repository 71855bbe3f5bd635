"""Integer context features of decoded latents.

A decoded latent value (a multiple of 1/16 of a quantisation step) enters exact networks as two bytes: a companded
signed value and a logarithmic magnitude. Both are integer functions, the same in training and in coding.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.nn.exact import Fixed
from jaxicm.ops.quantize import floor_ste, straight_through

VALUE_FRAC = 4
"""Decoded values are multiples of 2**-VALUE_FRAC."""
VALUE = Fixed(VALUE_FRAC, -16383, 16383)
"""Decoded values are clipped to +-1023.9 steps, so that they fit 16 bits."""
FEATURE = Fixed(4, -127, 127)
"""Format in which both features enter a network."""
_KNEE = 64
_SLOPE = 16

MAGNITUDE_TABLE = np.round(18.0 * np.log2(1.0 + np.arange(128))).astype(np.int8)
"""Feature of each absolute companded value: round(18 log2(1 + |c|)), at most 126."""


def compand(value_q4: np.ndarray) -> np.ndarray:
    """Compress decoded values to signed bytes.

    Steps of a quarter up to 16, steps of 4 up to 268, and clipped beyond.

    Args:
      value_q4: integers, 16 times the decoded value.

    Returns:
      int8 of the same shape in [-127, 127].
    """
    quarter = (value_q4 + 2) >> 2
    magnitude = np.abs(quarter)
    compressed = np.where(magnitude > _KNEE, _KNEE + (magnitude - _KNEE) // _SLOPE, magnitude)
    return (np.sign(quarter) * np.minimum(compressed, 127)).astype(np.int8)


def compand_ste(value: Array) -> Array:
    """Compute `compand` on real values with a straight-through gradient.

    Args:
      value: decoded values in steps (multiples of 1/16).

    Returns:
      float32 integers in [-127, 127].
    """
    quarter = floor_ste(value * 4.0 + 0.5)
    magnitude = jnp.abs(quarter)
    compressed = jnp.minimum(magnitude, _KNEE) + floor_ste(jnp.maximum(magnitude - _KNEE, 0.0) / _SLOPE)
    return jnp.sign(quarter) * jnp.minimum(compressed, 127.0)


def magnitude_ste(companded: Array) -> Array:
    """Compute the logarithmic magnitude of companded values with the gradient of the logarithm.

    Args:
      companded: float32 integers in [-127, 127].

    Returns:
      float32 integers in [0, 126].
    """
    size = jnp.abs(companded)
    smooth = 18.0 * jnp.log2(1.0 + size)
    # No entry of the table lies near a half, so an inexact logarithm rounds to the same integers (tested).
    return straight_through(jnp.round(smooth), smooth)


def expand(companded: Array) -> Array:
    """Undo the companding: integers in quarter steps, up to +-1072."""
    size = jnp.abs(companded)
    return jnp.sign(companded) * (size + (_SLOPE - 1) * jnp.maximum(size - _KNEE, 0.0))
