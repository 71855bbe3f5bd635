"""What stands for rounding while a latent is adapted, and the rounding that the coder does."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.adapt.stage import Method
from jaxicm.bits.tables import Tables
from jaxicm.entropy import gaussian
from jaxicm.entropy.surrogate import Rounding, soft_round
from jaxicm.ops.quantize import straight_through

AnyArray = Array | np.ndarray
Rate = Callable[[Array, Array], Array]
"""Bits of real-valued residuals under the tables of some indices."""
SYMBOL_MAX = 1023
"""Dearer symbols cost as much as this one: they are values that are clipped anyway."""
_EDGE = 1e-4
SGA_PLUS_SLOPE = 4 / 3
"""The `a` of the sigmoid-scaled logits of SGA+; 1 is linear."""


def costs(tables: Tables) -> np.ndarray:
    """Return the ideal bits of all symbols, escape codes included, float32 `[T, 2 * SYMBOL_MAX + 1]`.

    Entry [t, SYMBOL_MAX + s] belongs to symbol s under table t.
    """
    symbols = np.tile(np.arange(-SYMBOL_MAX, SYMBOL_MAX + 1, dtype=np.int32), len(tables))
    index = np.repeat(np.arange(len(tables)), 2 * SYMBOL_MAX + 1)
    return tables.costs(symbols, index).reshape(len(tables), -1).astype(np.float32)


def relaxed_rate(cost: AnyArray) -> Rate:
    """Return the differentiable rate: Gaussians as in training, other tables interpolated between symbols.

    Args:
      cost: of all symbols, `costs`.
    """
    if len(cost) == gaussian.SCALE_COUNT:
        return gaussian.bits_of_index

    def rate(value: Array, index: Array) -> Array:
        smooth = gaussian.bits_of_index(value, jnp.minimum(index, gaussian.SCALE_COUNT - 1))
        below = jax.lax.stop_gradient(jnp.floor(value))
        low, high = _look_up(cost, below, index), _look_up(cost, below + 1, index)
        return jnp.where(index < gaussian.SCALE_COUNT, smooth, low + (high - low) * (value - below))

    return rate


def _look_up(cost: AnyArray, symbol: Array, index: Array) -> Array:
    place = jnp.clip(symbol, -SYMBOL_MAX, SYMBOL_MAX).astype(jnp.int32) + SYMBOL_MAX
    return jnp.asarray(cost).reshape(-1)[index.astype(jnp.int32) * (2 * SYMBOL_MAX + 1) + place]


def coded(cost: AnyArray, offsets: AnyArray) -> Rounding:
    """Return the coder's rounding: symbols of least cost with their true bits, no gradient.

    Args:
      cost: of all symbols, `costs`.
      offsets: `gaussian.offset_rows` of the weight of errors in the choice of symbols.

    Returns:
      Functions of which the first takes, in place of noise, the bits that a squared error of one step is worth where
      `offsets` do not say it, or None.
    """

    def choose(y: Array, mean: Array, index: Array, weight: Array | None) -> tuple[Array, Array]:
        symbol = _choose(y - mean, index, cost, offsets, weight)
        return symbol + mean, symbol

    return Rounding(choose, lambda symbol, index: jnp.where(index > 0, _look_up(cost, symbol, index), 0.0))


def _choose(residual: Array, index: Array, cost: AnyArray, offsets: AnyArray, weight: Array | None) -> Array:
    """Return symbols of least cost: by `offsets`, or among three by the bits that a squared error is worth there."""
    if weight is None:
        return gaussian.round_with_cost(residual, index, offsets=offsets) * (index > 0)
    nearest = jnp.round(residual)
    best, least = nearest, jnp.full(residual.shape, jnp.inf)
    for symbol in (nearest, nearest - jnp.sign(nearest), jnp.zeros_like(nearest)):
        found = _look_up(cost, symbol, index) + weight * jnp.square(symbol - residual)
        best, least = jnp.where(found < least, symbol, best), jnp.minimum(found, least)
    return best * (index > 0)


def relaxed(method: Method, cost: AnyArray, offsets: AnyArray, temperature: Array, done: Array) -> Rounding:
    """Return what stands for rounding in the gradient.

    Args:
      method: the way.
      cost: of all symbols, `costs`.
      offsets: as of `coded`, for the methods that round.
      temperature: of soft rounding and annealing.
      done: from 0 to 1 over a stage.

    Returns:
      Functions whose noise is uniform in [-1/2, 1/2] for random methods; the others take bits that squared errors are
      worth in its place, or None.
    """
    rate = relaxed_rate(cost)
    match method:
        case "noise":
            return Rounding(_noisy, rate)
        case "soft":
            return Rounding(partial(_soft, sharpness=1.0 / temperature, shape=2.0 - done), rate)
        case "sga" | "sga+":
            return Rounding(partial(_annealed, temperature=temperature, scaled=method == "sga+"), rate)
        case "straight_through" | "coordinate":
            choose = partial(_rounded, cost=cost, offsets=offsets, own_rate=method == "straight_through")
            return Rounding(choose, partial(_rate_of_coded, rate=rate))


def is_random(method: Method) -> bool:
    """Whether the method draws noise."""
    return method in ("noise", "soft", "sga", "sga+")


def _noisy(y: Array, mean: Array, index: Array, noise: Array) -> tuple[Array, Array]:
    del index
    return y + noise, y + noise - mean


def _rounded(
    y: Array,
    mean: Array,
    index: Array,
    weight: Array | None,
    *,
    cost: AnyArray,
    offsets: AnyArray,
    own_rate: bool,
) -> tuple[Array, Array]:
    """Round, with the identity as gradient; with `own_rate` a latent's own bits have a gradient as well."""
    residual = y - mean
    symbol = _choose(jax.lax.stop_gradient(residual), jax.lax.stop_gradient(index), cost, offsets, weight)
    # The symbol stays while the mean moves, so the value moves with it.
    return straight_through(symbol, y) + mean, straight_through(symbol, residual) if own_rate else symbol


def _rate_of_coded(symbol: Array, index: Array, *, rate: Rate) -> Array:
    return jnp.where(jax.lax.stop_gradient(index) > 0, rate(symbol, index), 0.0)


def _soft(y: Array, mean: Array, index: Array, noise: Array, *, sharpness: Array, shape: Array) -> tuple[Array, Array]:
    del index
    value = soft_round(soft_round(y - mean, sharpness) + kumaraswamy(noise + 0.5, shape), sharpness)
    return value + mean, value


def kumaraswamy(uniform: Array, shape: Array) -> Array:
    """Turn uniform numbers in [0, 1] into Kumaraswamy noise in [-1/2, 1/2] with its mode at 0.

    Args:
      uniform: of any shape.
      shape: a >= 1; 1 is uniform noise, 2 and more gather around 0.

    Source: C3 (Kim et al. 2024), section 3.2; b = (2**a (a - 1) + 1) / a puts the mode at 1/2.
    """
    b = (2.0**shape * (shape - 1.0) + 1.0) / shape
    uniform = jnp.clip(uniform, 1e-6, 1 - 1e-6)
    return (1.0 - (1.0 - uniform) ** (1.0 / b)) ** (1.0 / shape) - 0.5


def _annealed(
    y: Array, mean: Array, index: Array, noise: Array, *, temperature: Array, scaled: bool
) -> tuple[Array, Array]:
    """Draw between floor and ceiling by a Gumbel softmax whose temperature falls."""
    del index
    residual = y - mean
    floor = jax.lax.stop_gradient(jnp.floor(residual))
    part = jnp.clip(residual - floor, _EDGE, 1.0 - _EDGE)
    if scaled:
        # Probability sigmoid(a logit(part)) for the ceiling and the rest for the floor: their log-odds.
        logit = SGA_PLUS_SLOPE * (jnp.log(part) - jnp.log1p(-part))
    else:
        logit = (jnp.arctanh(part) - jnp.arctanh(1.0 - part)) / temperature
    uniform = jnp.clip(noise + 0.5, _EDGE, 1.0 - _EDGE)
    logistic = jnp.log(uniform) - jnp.log1p(-uniform)  # the difference of two Gumbel variables
    value = floor + jax.nn.sigmoid((logit + logistic) / temperature)
    return value + mean, value
