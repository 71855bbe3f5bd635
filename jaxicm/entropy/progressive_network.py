"""One step of the progressive model as pure functions: trunk, linear terms, head.

Training (`entropy.progressive`) and coding (`entropy.progressive_coder`) call the same functions, so they agree bit for
bit.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array

from jaxicm.entropy import context, gaussian
from jaxicm.entropy.phases import SIGNED_TAPS, TAPS
from jaxicm.nn import exact
from jaxicm.nn.exact import Fixed
from jaxicm.ops.quantize import clip_towards, floor_ste, round_ste

HIDDEN = Fixed(5, 0, 255)
MEAN = Fixed(context.VALUE_FRAC, -2047, 2047)
TAP_FRAC = 6
FREE_BIAS_FRAC = 16
"""Fraction bits of the coarsest grid's first bias, which meets no weights."""


def channels_seen(w1: Array) -> int:
    """Return how many of the first channels of a tap the trunk's first layer reads."""
    return w1.shape[0] // (SIGNED_TAPS + TAPS)


def first_layer(rows: Array, w1: Array, b1: Array) -> Array:
    """Compute the first layer of the trunk; arguments as of `trunk`, `[..., H]` real values of `HIDDEN`."""
    # The product is exact, so its unit can wait for the few outputs.
    return exact.requantize(exact.dot(rows, w1) * 2.0**-context.FEATURE.frac + b1, HIDDEN)


def trunk(rows: Array, w1: Array, b1: Array, w2: Array, b2: Array) -> Array:
    """Compute the hidden features of positions from their taps.

    Args:
      rows: `[..., (SIGNED_TAPS + TAPS) * S]` integers of `context.FEATURE`, of the first S channels.
      w1: `[(SIGNED_TAPS + TAPS) * S, H]` exact weights; b1 broadcasts against `[..., H]`.
      w2: `[H, H]`; b2 likewise.

    Returns:
      `[..., H]` real values of `HIDDEN`.
    """
    return exact.requantize(exact.dot(first_layer(rows, w1, b1), w2) + b2, HIDDEN)


def linear_terms(
    signed: Sequence[Array], magnitude: Sequence[Array], taps_mu: Array, taps_log: Array
) -> tuple[Array, Array]:
    """Predict each channel from the same channel at the taps, without a network.

    Args:
      signed: companded integers `[..., C]` of `SIGNED_TAPS` taps.
      magnitude: magnitude integers `[..., C]` of `TAPS` taps.
      taps_mu: `[SIGNED_TAPS, C]` multiples of 2**-TAP_FRAC.
      taps_log: `[TAPS, C]` likewise.

    Returns:
      Mean `[..., C]` in steps, a multiple of 1/16, and scale index `[..., C]`, an integer.
    """
    # Tap by tap: XLA's reduction over an inner axis takes ten times as long on a CPU, and exact sums have no order.
    mean, log_scale = jnp.zeros_like(signed[0]), jnp.zeros_like(signed[0])
    for number, tap in enumerate(signed):
        mean += context.expand(tap) * taps_mu[number]
    for number, tap in enumerate(magnitude):
        log_scale += tap * taps_log[number]
    return rounded_terms(mean * 0.25, log_scale * 2.0**-context.FEATURE.frac)


def stacked_linear_terms(taps: Array, taps_mu: Array, taps_log: Array) -> tuple[Array, Array]:
    """Compute `linear_terms` of one array of all taps `[..., SIGNED_TAPS + TAPS, C]`, the signed ones first.

    The gradient of all taps is one reduction, where an accelerator would run one for each.
    """
    taps = taps.astype(jnp.float32)
    mean = jnp.sum(context.expand(taps[..., :SIGNED_TAPS, :]) * taps_mu, axis=-2)
    log_scale = jnp.sum(taps[..., SIGNED_TAPS:, :] * taps_log, axis=-2)
    return rounded_terms(mean * 0.25, log_scale * 2.0**-context.FEATURE.frac)


def rounded_terms(mean: Array, log_scale: Array) -> tuple[Array, Array]:
    """Round a mean in steps to the unit of means, and a logarithm of a scale to an index of the table."""
    return exact.requantize(mean, MEAN), floor_ste(log_scale * gaussian.SCALES_PER_NAT + 0.5)


def head(features: Array, centre: Array, u: Array, bu: Array, o: Array, bo: Array) -> tuple[Array, Array]:
    """Compute mean and scale index of one channel group.

    Args:
      features: `[..., H]` of the trunk.
      centre: `[..., D]` features of the lower groups at the position, integers times `2**-HIDDEN.frac`.
      u: `[H + D, H]`; o: `[H, 2 * group]`; bu and bo broadcast.

    Returns:
      Mean `[..., group]`, a multiple of 1/16, and scale index `[..., group]`, an integer, both without linear terms.
    """
    h = exact.requantize(exact.dot(jnp.concatenate([features, centre], axis=-1), u) + bu, HIDDEN)
    out = exact.dot(h, o) + bo
    return rounded_terms(*jnp.split(out, 2, axis=-1))


def join(network: tuple[Array, Array], linear: tuple[Array, Array]) -> tuple[Array, Array]:
    """Add the linear terms to the network's and clip: mean (multiple of 1/16) and scale index in [0, 63]."""
    mean = jnp.clip(network[0] + linear[0], MEAN.low / 16, MEAN.high / 16)
    return mean, clip_towards(network[1] + linear[1], 0, gaussian.SCALE_COUNT - 1)


def quantize_taps(taps: Array) -> Array:
    """Round taps to multiples of 2**-TAP_FRAC in [-127, 127] units (straight-through gradient)."""
    return clip_towards(round_ste(taps * 2.0**TAP_FRAC), -127, 127) * 2.0**-TAP_FRAC


def centre_features(decoded: Sequence[Array], shape: tuple[int, ...]) -> Array:
    """Features of decoded lower groups at the position itself: per group signed, then magnitude."""
    parts = []
    for value in decoded:
        signed = context.compand_ste(value)
        parts += [signed, context.magnitude_ste(signed)]
    return jnp.concatenate(parts, axis=-1) * 2.0**-HIDDEN.frac if parts else jnp.zeros((*shape, 0))
