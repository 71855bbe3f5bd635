"""One step of the pixel model as pure functions: trunk, then a head for each channel given the channels before it.

The mean of a channel is a sum of several linear predictions from the taps, each times a gate that the head computes: a
linear filter that follows the content, which a small network of sums alone learns badly.

Training (`entropy.pixels`) and coding (`entropy.pixel_coder`) call the same functions, so they agree bit for bit.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxicm.entropy.least_squares import Fit, features, no_features
from jaxicm.entropy.logistic_mixture import (
    MEAN_FRAC,
    SCALE_MAX,
    SCALE_ZERO,
    STEPS_PER_OCTAVE,
    WEIGHT_MAX,
)
from jaxicm.entropy.pixel_context import BASE_FRAC, Observation, relative, two_to
from jaxicm.nn import exact
from jaxicm.nn.exact import Fixed
from jaxicm.ops.quantize import clip_towards, floor_ste, round_ste

HIDDEN = Fixed(5, 0, 255)
SHIFT = Fixed(8, -2047, 2047)
"""Format of the terms of a mean, relative to the local activity."""
GATE = Fixed(6, -127, 127)
"""Format of the gates of the linear predictions."""
EIGHTHS = Fixed(3, -127, 127)
"""Format of scales and weights: octaves."""
MEAN_LIMIT = 2.0**22
"""Farthest that a mean moves from the first guess, in sixteenths: then their sum is exact."""
PREVIOUS = 3
"""Features of each channel that was decoded before at the same pixel."""


class Layer(NamedTuple):
    """Real values of an exact layer: kernel `[inputs, outputs]` and bias, which broadcasts against the outputs."""

    kernel: Array
    bias: Array | float = 0.0


class Head(NamedTuple):
    """Layers of one channel.

    Attributes:
      hidden: from the trunk's features, what was fitted, and the channels before.
      out: to K weights, K means, K scales, E gates, one gate for each fitted prediction.
      across: `[PREVIOUS * c, E]`, from the channels before to the linear predictions; None for the first.
    """

    hidden: Layer
    out: Layer
    across: Layer | None


class Sight(NamedTuple):
    """What the heads read of N pixels.

    Attributes:
      hidden: `[N, H]` of `HIDDEN`.
      linear: `[N, C * E]` of `SHIFT`, the linear predictions of each channel from the taps.
      base, exponent: of the observation.
    """

    hidden: Array
    linear: Array
    base: Array
    exponent: Array


class Prediction(NamedTuple):
    """Distributions of N samples, K components each, in the units of `bits.mixture` (real in training).

    Attributes:
      mean: `[N, K]` in sixteenths of a sample.
      scale, weight: `[N, K]` indices.
    """

    mean: Array
    scale: Array
    weight: Array


def apply(x: Array, layer: Layer) -> Array:
    """Return the accumulators of a layer."""
    return exact.dot(x, layer.kernel) + layer.bias


def look(seen: Observation, layers: Sequence[Layer], linear: Layer) -> Sight:
    """Evaluate the trunk.

    Args:
      seen: the observation, F features.
      layers: `[F, H]`, then `[H, H]` each, added to what they read.
      linear: `[T * C, C * E]`, from the differences of the taps to the linear predictions.

    Returns:
      What the heads read.
    """
    first, *rest = layers
    h = exact.requantize(apply(seen.features, first), HIDDEN)
    for layer in rest:
        h = exact.requantize(apply(h, layer) + h, HIDDEN)
    shift = exact.requantize(apply(seen.features[:, : len(linear.kernel)], linear), SHIFT)
    return Sight(h, shift, seen.base, seen.exponent)


def predict(
    sight: Sight, previous: Array | None, channel: int, head: Head, fit: Fit | None = None, fits: int = 0
) -> Prediction:
    """Compute the distributions of a channel.

    Args:
      sight: of the trunk.
      previous: `[N, PREVIOUS * channel]`, `remember` of the channels before; None for the first.
      channel: which.
      head: its layers.
      fit: predictions fitted to the picture; None where there are none.
      fits: how many there would be.

    Returns:
      The prediction; with exact layers, integers. The largest weight is `WEIGHT_MAX`.
    """
    experts = sight.linear.shape[1] // sight.base.shape[1]
    linear = sight.linear[:, experts * channel : experts * (channel + 1)]
    if previous is not None and head.across is not None:
        linear = linear + exact.requantize(apply(previous, head.across), SHIFT)
    inputs = [sight.hidden] if previous is None else [sight.hidden, previous]
    if fits:
        inputs.insert(1, _fit_features(fit, linear[:, 0], sight.exponent, fits))
    total, start = jnp.asarray(head.hidden.bias), 0
    for x in inputs:
        total = total + exact.dot(x, head.hidden.kernel[start : start + x.shape[1]])
        start += x.shape[1]
    out = apply(exact.requantize(total, HIDDEN), head.out)
    mixtures = (out.shape[1] - experts - fits) // 3
    weight, mean, scale, gate, trust = jnp.split(
        out, (mixtures, 2 * mixtures, 3 * mixtures, 3 * mixtures + experts), axis=1
    )
    # 16 products below 127 * 4094 stay within 2**24.
    shift = jnp.sum(exact.requantize(gate, GATE) * linear, axis=1, keepdims=True)
    shift = exact.requantize(shift, SHIFT)
    if fit is not None:
        away = exact.requantize(fit.mean.astype(jnp.float32) * two_to(-sight.exponent - MEAN_FRAC)[:, None], SHIFT)
        moved = jnp.sum(exact.requantize(trust, GATE) * (away - shift), axis=1, keepdims=True)
        moved = moved if fit.present is None else jnp.where(fit.present[:, None], moved, 0.0)
        shift = exact.requantize(shift + moved, SHIFT)
    octaves = sight.exponent[:, None].astype(jnp.float32) * STEPS_PER_OCTAVE
    up = two_to(sight.exponent + MEAN_FRAC)[:, None]
    first = (sight.base[:, channel : channel + 1] << (MEAN_FRAC - BASE_FRAC)).astype(jnp.float32)
    moved = clip_towards((shift + exact.requantize(mean, SHIFT)) * up, -MEAN_LIMIT, MEAN_LIMIT)
    weight = exact.requantize(weight, EIGHTHS) * STEPS_PER_OCTAVE
    return Prediction(
        first + round_ste(moved),
        clip_towards(exact.requantize(scale, EIGHTHS) * STEPS_PER_OCTAVE + octaves + SCALE_ZERO, 0, SCALE_MAX),
        clip_towards(weight - weight.max(axis=1, keepdims=True) + WEIGHT_MAX, 0, WEIGHT_MAX),
    )


def _fit_features(fit: Fit | None, linear: Array, exponent: Array, fits: int) -> Array:
    if fit is None:
        return no_features(linear, fits)
    found = features(fit, exponent)
    return found if fit.present is None else jnp.where(fit.present[:, None], found, no_features(linear, fits))


def remember(x: Array, sight: Sight, channel: int, prediction: Prediction) -> Array:
    """Describe a decoded channel to the heads of the following ones.

    Args:
      x: int32 `[N]` samples.
      sight: of the trunk.
      channel: which.
      prediction: that the samples were coded with.

    Returns:
      `[N, PREVIOUS]` of `pixel_context.FEATURE`: distance to the first guess, distance to the mean of the first
      component, and that distance over its scale.
    """
    prediction = jax.tree.map(jax.lax.stop_gradient, prediction)
    mean = prediction.mean[:, 0].astype(jnp.int32)
    octave = floor_ste((prediction.scale[:, 0] - SCALE_ZERO) * (1 / STEPS_PER_OCTAVE)).astype(jnp.int32)
    first = relative(x, sight.base[:, channel] << (MEAN_FRAC - BASE_FRAC), sight.exponent)
    surprise = jnp.abs(relative(x, mean, octave + 2))
    return jnp.stack([first, relative(x, mean, sight.exponent), surprise], axis=1)
