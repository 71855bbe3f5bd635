"""Zero-mean Gaussians on the integers with a scale that is one of a few table entries.

The index of the scale is the interface between a network and the entropy coder: it is an integer that an exact network
computes, and the coder's tables are a fixed function of it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.ops.quantize import clip_towards

SCALE_FLOOR = 0.11
SCALE_COUNT = 64
SCALES_PER_NAT = 8
"""Scale k is `SCALE_FLOOR * exp(k / SCALES_PER_NAT)`; the largest is 289."""


def scale_table() -> np.ndarray:
    """Return the 64 scales, float64 `[64]`, in units of the quantisation step."""
    return SCALE_FLOOR * np.exp(np.arange(SCALE_COUNT) / SCALES_PER_NAT)


def scale_of_index(index: Array) -> Array:
    """Return the scale of a (real-valued, differentiable) table index."""
    return SCALE_FLOOR * jnp.exp(index / SCALES_PER_NAT)


def index_of_scale(scale: np.ndarray) -> np.ndarray:
    """Return the real-valued table index of a scale, the inverse of `scale_of_index`."""
    return SCALES_PER_NAT * np.log(np.maximum(scale, SCALE_FLOOR) / SCALE_FLOOR)


def _upper_tail(x: Array) -> Array:
    return 0.5 * jax.lax.erfc(x * np.float32(np.sqrt(0.5)))


def gaussian_bits(value: Array, scale: Array, probability_floor: float = 1e-6) -> Array:
    """Compute the bits of `value` under a Gaussian integrated over a quantisation step.

    Args:
      value: distance from the mean in steps, real-valued in training (with uniform noise) or an integer.
      scale: standard deviation in steps, of the same shape.
      probability_floor: the coder's tables hold no smaller probability (values beyond it are escape-coded).

    Returns:
      `-log2 P(value - 1/2 < X <= value + 1/2)`, of the same shape.

    Source: Balle et al., "Variational image compression with a scale hyperprior", 2018, equation 29.
    """
    magnitude = jnp.abs(value)
    probability = _upper_tail((magnitude - 0.5) / scale) - _upper_tail((magnitude + 0.5) / scale)
    return -jnp.log2(clip_towards(probability, probability_floor, 1.0))
