"""The non-parametric factorised prior: each channel has its own learned distribution, the same at every position.

Source: Balle et al., "Variational image compression with a scale hyperprior", 2018, appendix 6.1. Deviation: the range
of the coder's tables is found by bisection of the learned distribution when weights are frozen, in place of learned
quantiles with an auxiliary loss (the distribution function is monotone, so bisection is certain), which leaves 58
parameters a channel of 61; and values are rounded to integers without a median offset.
"""

import itertools
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.bits.tables import GAUSSIAN_TAIL_MASS
from jaxicm.ops.quantize import clip_towards

WIDTHS = (1, 3, 3, 3, 3, 1)
"""Units of each layer of the logit function; (3, 3, 3, 3) inside."""
INIT_SCALE = 10.0
MAX_SYMBOL = 4096
"""Tables are searched in [-MAX_SYMBOL, MAX_SYMBOL]; values beyond it are escape-coded."""
MAX_ENTRIES = 1023
"""A wider distribution keeps its middle and leaves the rest to the escape."""


class Factorized(nn.Module):
    """Bits of values under the learned distributions, in training.

    Attributes:
      channels: of the values.
      probability_floor: lower bound of a probability, as in the published model.
    """

    channels: int
    probability_floor: float = 1e-9

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Compute bits.

        Args:
          x: `[..., C]` values in steps, with uniform noise in training, or integers.

        Returns:
          `-log2 P(x - 1/2 < X <= x + 1/2)`, of the same shape.
        """
        layers = []
        scale = INIT_SCALE ** (1 / (len(WIDTHS) - 1))
        for i, (inputs, outputs) in enumerate(itertools.pairwise(WIDTHS)):
            start = nn.initializers.constant(float(np.log(np.expm1(1 / scale / outputs))))
            matrix = self.param(f"matrix{i}", start, (self.channels, outputs, inputs))
            bias = self.param(f"bias{i}", _uniform, (self.channels, outputs))
            last = i == len(WIDTHS) - 2
            factor = None if last else self.param(f"factor{i}", nn.initializers.zeros, (self.channels, outputs))
            layers.append((matrix, bias, factor))
        flat = x.reshape(-1, self.channels)
        low, high = _logits(layers, flat - 0.5), _logits(layers, flat + 0.5)
        # Differences of sigmoids are taken on the side where they are small, for precision.
        sign = -jnp.sign(jax.lax.stop_gradient(low + high))
        probability = jnp.abs(jax.nn.sigmoid(sign * high) - jax.nn.sigmoid(sign * low))
        return -jnp.log2(clip_towards(probability, self.probability_floor, 1.0)).reshape(x.shape)


def _uniform(key: Array, shape: tuple[int, ...]) -> Array:
    return jax.random.uniform(key, shape, minval=-0.5, maxval=0.5)


def _logits(layers: list, x: Array) -> Array:
    """Logit of the distribution function at `x` `[N, C]`: `[N, C]`, increasing."""
    h = x[..., None]
    for matrix, bias, factor in layers:
        h = jnp.einsum("ncd,ced->nce", h, jax.nn.softplus(matrix)) + bias[None]
        if factor is not None:
            h = h + jnp.tanh(factor)[None] * jnp.tanh(h)
    return h[..., 0]


def distribution(params: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Evaluate the logit of the distribution functions in float64.

    Args:
      params: parameters of `Factorized`.
      x: `[C, N]` points of each channel.

    Returns:
      float64 `[C, N]` logits of `P(X <= x)`.
    """
    h = x.astype(np.float64)[:, None]
    for i in range(len(WIDTHS) - 1):
        matrix, bias = (np.asarray(params[f"{name}{i}"], np.float64) for name in ("matrix", "bias"))
        h = np.logaddexp(0, matrix) @ h + bias[..., None]
        if i < len(WIDTHS) - 2:
            h = h + np.tanh(np.asarray(params[f"factor{i}"], np.float64))[..., None] * np.tanh(h)
    return h[:, 0]


def freeze_pmfs(
    params: Mapping[str, np.ndarray], tail_mass: float = GAUSSIAN_TAIL_MASS
) -> list[tuple[np.ndarray, int, float]]:
    """Make what `bits.tables.tables_from_pmfs` takes, one entry a channel. Done once, at freezing.

    Args:
      params: parameters of `Factorized`.
      tail_mass: largest probability of both tails together that is left to the escape.

    Returns:
      Per channel: probabilities float64 `[L]`, the symbol of the first of them, and the probability of all others.
    """
    channels = len(np.asarray(params["bias0"]))
    # The first symbol k with P(X <= k + 1/2) > tail/2, and the first with P(X > k + 1/2) <= tail/2.
    low = _first(params, channels, lambda logit: _sigmoid(logit) > tail_mass / 2)
    high = np.maximum(low, _first(params, channels, lambda logit: _sigmoid(-logit) <= tail_mass / 2))
    excess = np.maximum(0, high - low + 1 - MAX_ENTRIES)
    low, high = low + excess // 2, high - (excess + 1) // 2
    edges = low[:, None] - 0.5 + np.arange(int((high - low).max()) + 2)
    logit = distribution(params, edges)
    pmfs = []
    for c in range(channels):
        row = logit[c, : high[c] - low[c] + 2]
        sign = np.where(row[1:] + row[:-1] > 0, -1.0, 1.0)
        pmf = np.abs(_sigmoid(sign * row[1:]) - _sigmoid(sign * row[:-1]))
        outside = float(_sigmoid(row[:1])[0] + _sigmoid(-row[-1:])[0])
        pmfs.append((np.maximum(pmf, 1e-12), int(low[c]), min(outside, 0.999)))
    return pmfs


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -x))


def _first(params: Mapping[str, np.ndarray], channels: int, reached: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """First integer k of each channel in the searched range where `reached(logit(k + 1/2))`, by bisection."""
    below = np.full(channels, -MAX_SYMBOL - 1)
    at = np.full(channels, MAX_SYMBOL)
    while (at - below > 1).any():
        middle = (below + at) // 2
        yes = reached(distribution(params, middle[:, None] + 0.5)[:, 0])
        at, below = np.where(yes, middle, at), np.where(yes, below, middle)
    return at
