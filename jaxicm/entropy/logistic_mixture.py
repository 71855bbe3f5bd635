"""Mixtures of discretised logistics: the differentiable face of `bits.mixture`.

Parameters have the units of the coder: means in samples (multiples of 1/16), scale indices (eighths of an octave above
1/32 of a sample), weight indices (eighths of an octave). What a bound cuts off belongs to the first or last symbol.

Source: T. Salimans et al., "PixelCNN++", arXiv 1701.05517.
"""

import jax
import jax.numpy as jnp
from jax import Array

from jaxicm.bits.cumulative import TOTAL
from jaxicm.bits.logistic import SCALE_COUNT, WEIGHT_COUNT
from jaxicm.bits.mixture import MEAN_BITS

MEAN_FRAC = MEAN_BITS
"""Means are multiples of 2**-MEAN_FRAC."""
STEPS_PER_OCTAVE = 8
"""Scale and weight indices are logarithms to base two, times this."""
SCALE_ZERO = 5 * STEPS_PER_OCTAVE
"""Index of the scale of one sample."""
SCALE_MAX = SCALE_COUNT - 1
WEIGHT_MAX = WEIGHT_COUNT - 1
SLOTS = float(TOTAL)
"""Probabilities of the coder are multiples of 1/SLOTS, none is zero."""


def mixture_bits(x: Array, low: Array, high: Array, mean: Array, scale: Array, weight: Array) -> Array:
    """Compute code lengths.

    Args:
      x: `[...]` symbols, real.
      low, high: inclusive bounds, broadcast against `x`.
      mean: `[..., K]` in samples.
      scale: `[..., K]` indices, any real numbers.
      weight: `[..., K]` indices, any real numbers.

    Returns:
      `[...]` bits.
    """
    inverse = jnp.exp2((SCALE_ZERO - scale) / STEPS_PER_OCTAVE)
    share = jax.nn.softmax(weight * (jnp.log(2.0) / STEPS_PER_OCTAVE), axis=-1)
    # The open ends are far away rather than infinite, which has no gradient.
    below = jnp.where(x <= low, -1e6, x - 0.5)[..., None]
    above = jnp.where(x >= high, 1e6, x + 0.5)[..., None]
    first, second = (below - mean) * inverse, (above - mean) * inverse
    # In the upper half, the difference of the complements keeps its digits.
    flip = first + second > 0
    start, stop = jnp.where(flip, -second, first), jnp.where(flip, -first, second)
    mass = jnp.sum(share * (jax.nn.sigmoid(stop) - jax.nn.sigmoid(start)), axis=-1)
    floor = (high - low + 1.0) / SLOTS
    return -jnp.log2(mass * (1 - floor) + 1 / SLOTS)
