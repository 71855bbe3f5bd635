"""Zero-mean Gaussians on the integers with a scale that is one of a few table entries.

The index of the scale is the interface between a network and the entropy coder: it is an integer that an exact network
computes, and the coder's tables are a fixed function of it.
"""

import math
from functools import cache
from typing import Any

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


def bits_of_index(value: Array, index: Array) -> Array:
    """Compute `gaussian_bits` with the scale of a (real-valued, differentiable) table index."""
    return gaussian_bits(value, scale_of_index(index))


SLOPE_LIMIT = 10.0


def rounded_bits(symbol: Array, residual: Array, scale: Array) -> Array:
    """Compute the bits of rounded values, with gradients that training can use.

    The value and the gradient of the scale are those of the coded symbol. The gradient of the residual r is
    bits(r + 1/2) - bits(r - 1/2), which is the derivative of the rate averaged over uniform noise, without the noise.

    Args:
      symbol: integers, what is coded.
      residual: what was rounded, of the same shape.
      scale: of the same shape, in steps.

    Returns:
      Bits, of the same shape.
    """
    symbol, fixed = jax.lax.stop_gradient((symbol, scale))
    still = jax.lax.stop_gradient(residual)
    slope = jax.lax.stop_gradient(gaussian_bits(still + 0.5, fixed) - gaussian_bits(still - 0.5, fixed))
    slope = jnp.clip(slope, -SLOPE_LIMIT, SLOPE_LIMIT)
    return gaussian_bits(symbol, scale) + slope * (residual - still)


DISTORTION_BITS = 12.0 / np.log(2.0)
"""Bits that a squared error of one step is worth when rounding. Twice the slope of a uniform quantiser, 6 / ln 2."""
_LARGEST = 4
_erfc = np.vectorize(math.erfc)


def rounding_offsets(weight: float = DISTORTION_BITS) -> np.ndarray:
    """Return by how much rounding away from zero must be better before it pays.

    A residual between v - 1 and v rounds up to v only beyond v - 1/2 + offset: there the bits that v costs more than
    v - 1 equal the distortion it saves. Only the encoder knows; decoding does not change.

    Args:
      weight: bits per squared step.

    Returns:
      float32 `[64, 4]`, entry [k, v - 1] for scale index k and symbol magnitude v (4 and more together), at most 1/2.
    """
    edges = (np.arange(_LARGEST + 2)[None] - 0.5) / scale_table()[:, None]
    upper = 0.5 * _erfc(edges * np.sqrt(0.5))
    bits = -np.log2(np.maximum(upper[:, :-1] - upper[:, 1:], 1e-9))
    return np.clip((bits[:, 1:] - bits[:, :-1]) / (2 * weight), 0.0, 0.5).astype(np.float32)


@cache
def offset_rows(weight: float = DISTORTION_BITS) -> np.ndarray:
    """Return `rounding_offsets` and a row of zeros for the tables beyond the Gaussians, `[65, 4]`."""
    return np.concatenate([rounding_offsets(weight), np.zeros((1, _LARGEST), np.float32)])


OFFSETS = offset_rows()


def round_with_cost(residual: Any, index: Any, xp: Any = jnp, offsets: Any = OFFSETS) -> Any:
    """Round residuals to the symbols of least cost (the encoder's choice). No gradient.

    Args:
      residual: latent minus mean, in steps.
      index: scale index, integers of any type; from 64 on (tables that are no Gaussians) rounding is plain.
      xp: the array module, `jax.numpy` in training and `numpy` in coding.
      offsets: `offset_rows` of another weight than the usual one.

    Returns:
      Symbols of the residual's type. At scale index 0 nothing is coded and the caller must take 0.
    """
    symbol = xp.round(residual)
    size = xp.abs(symbol)
    row = xp.minimum(index.astype(xp.int32), SCALE_COUNT)
    cell = row * _LARGEST + xp.clip(size, 1, _LARGEST).astype(xp.int32) - 1
    lowered = (xp.abs(residual) < size - 0.5 + xp.asarray(offsets.reshape(-1))[cell]) & (size > 0)
    return symbol - xp.sign(symbol) * lowered
