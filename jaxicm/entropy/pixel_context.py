"""What is known around a pixel, brought to one scale: the exact integer inputs of the pixel model.

A pixel is predicted from its taps (pixels decoded earlier). Their differences to the mean of the nearest four are
divided by a power of two that follows the local activity, a block floating point, so that the network sees the same
pattern whether an edge is strong or weak, at 8 bits or at 16; its mean and scale are multiplied back. Everything here
is elementwise integer arithmetic, or floating-point arithmetic whose results are exact.
"""

from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.entropy.logistic_mixture import STEPS_PER_OCTAVE
from jaxicm.nn.exact import Fixed

FEATURE = Fixed(5, -255, 255)
"""Format of every input."""
BASE = 4
"""Taps whose mean is the first guess."""
NEAR = 12
"""Taps whose differences measure the activity."""
BASE_FRAC = 2
"""The first guess is a multiple of 2**-BASE_FRAC."""
EXPONENT_MIN = -3
EXPONENT_CLASSES = 12
"""Exponents from EXPONENT_MIN on have a feature each, those beyond share the last."""
WINDOWS = (1, 4)
"""Radii of the windows on the coarser grid over which its roughness is summed."""
_ACTIVITY_SHIFT = 6  # the sum of absolute differences, in quarters over 12 taps, to the exponent


class Observation(NamedTuple):
    """What the network sees of N pixels of C channels.

    Attributes:
      features: float32 `[N, F]`, integers of `FEATURE` times `2**-FEATURE.frac`; the first T * C are the differences.
      base: int32 `[N, C]`, the first guess in quarters.
      exponent: int32 `[N]`; differences were divided by 2**exponent.
    """

    features: Array
    base: Array
    exponent: Array


def feature_count(taps: int, channels: int) -> int:
    """Return F for T taps."""
    return taps * channels + EXPONENT_CLASSES + 1 + channels + len(WINDOWS) * channels + channels


def two_to(exponent: Array) -> Array:
    """Return `2.0**exponent` exactly, for integers in [-126, 127]."""
    return jax.lax.bitcast_convert_type((exponent + 127) << 23, jnp.float32)


def logarithm(value: Any, xp: ModuleType = jnp) -> Any:
    """Return about `8 * log2(value)` as an integer: exact for powers of two, linear in between.

    Args:
      value: int32, at least 1.
      xp: `numpy` or `jax.numpy`, to which `value` belongs.
    """
    bits = value.astype(xp.float32).view(xp.int32)
    return (bits >> 20) - (127 * STEPS_PER_OCTAVE)


def to_feature(value: Array) -> Array:
    """Round to `FEATURE`: nearest integer, halves upwards."""
    return jnp.clip(jnp.floor(value * 2.0**FEATURE.frac + 0.5), FEATURE.low, FEATURE.high) * 2.0**-FEATURE.frac


def roughness(grid: Any, xp: ModuleType = jnp) -> Any:
    """Measure how rough a known grid is around each of its pixels.

    Args:
      grid: int32 `[B, h, w, C]`.
      xp: `numpy` or `jax.numpy`, to which `grid` belongs.

    Returns:
      int32 `[B, h, w, len(WINDOWS) * C]`: about 8 times the logarithm of the mean absolute Laplacian, plus a constant.
    """
    h, w = grid.shape[1:3]
    padded = xp.pad(grid, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    centre = padded[:, 1:-1, 1:-1]
    around = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    laplacian = xp.abs(4 * centre - around)
    found = []
    for radius in WINDOWS:
        side = 2 * radius + 1
        wide = xp.pad(laplacian, ((0, 0), (radius, radius), (radius, radius), (0, 0)), mode="edge")
        rows: Any = sum(wide[:, k : k + h] for k in range(side))
        total: Any = sum(rows[:, :, k : k + w] for k in range(side))
        found.append(logarithm(total + 1, xp) - logarithm(np.array([side * side], np.int32), np))
    return xp.concatenate(found, axis=-1)


def observe(taps: Array, rough: Array, channels: int, depth: Array | int = 8) -> Observation:
    """Compute the inputs of the network.

    Args:
      taps: int32 `[N, T * C]`, samples of the taps, the nearest first, channels last.
      rough: int32 `[N, len(WINDOWS) * C]`, `roughness` at the pixels.
      channels: C.
      depth: bits of a sample.

    Returns:
      The observation.
    """
    n, count = taps.shape[0], taps.shape[1] // channels
    base = taps[:, : BASE * channels].reshape(n, BASE, channels).sum(axis=1)
    difference = (taps << BASE_FRAC) - jnp.tile(base, (1, count))
    near = jnp.abs(difference[:, : channels * NEAR])
    activity = near.reshape(n, NEAR, channels).sum(axis=1)
    total = jnp.maximum(jnp.sum(activity, axis=1), 1 << (_ACTIVITY_SHIFT + EXPONENT_MIN))
    exponent = 31 - _ACTIVITY_SHIFT - jax.lax.clz(total)
    down = two_to(-exponent)[:, None]
    classes = jnp.minimum(exponent - EXPONENT_MIN, EXPONENT_CLASSES - 1)
    middle = jnp.where(jnp.arange(channels) == 0, jnp.left_shift(jnp.int32(1), depth + BASE_FRAC - 1), 0)
    octaves = exponent[:, None] * STEPS_PER_OCTAVE
    features = [
        to_feature(difference.astype(jnp.float32) * (down * 2.0**-BASE_FRAC)),
        (classes[:, None] == jnp.arange(EXPONENT_CLASSES)).astype(jnp.float32),
        to_feature(total.astype(jnp.float32)[:, None] * (down * 2.0**-_ACTIVITY_SHIFT) - 1.5),
        to_feature((logarithm(activity + 1) - octaves).astype(jnp.float32) * (0.5 / STEPS_PER_OCTAVE) - 2.0),
        to_feature((rough - jnp.tile(octaves, (1, rough.shape[1]))).astype(jnp.float32) * (0.5 / STEPS_PER_OCTAVE)),
        to_feature((base - middle).astype(jnp.float32) * two_to(-jnp.asarray(depth, jnp.int32) - BASE_FRAC + 3)),
    ]
    return Observation(jnp.concatenate(features, axis=1).reshape(n, -1), base, exponent)


def relative(x: Array, origin: Array, exponent: Array) -> Array:
    """Express how far samples lie from an origin, on the scale of an observation.

    Args:
      x: int32 `[N]` samples.
      origin: int32 `[N]` in sixteenths.
      exponent: int32 `[N]`.

    Returns:
      float32 `[N]` of `FEATURE`.
    """
    return to_feature(((x << 4) - origin).astype(jnp.float32) * two_to(-exponent - 4))
