"""The rate of a latent under the recurrent model, as a pure function of prepared layers.

Training prepares the layers from its parameters at every step, adaptation to one picture takes the released ones; both
run the steps below, and the arithmetic is that of coding.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.entropy import gaussian
from jaxicm.entropy.progressive_rate import VALUE_MAX, VALUE_MIN
from jaxicm.entropy.recurrent_network import Layers, RecurrentConfig, network, upsample_context, upsample_values
from jaxicm.entropy.surrogate import Rounding
from jaxicm.ops.quantize import clip_towards
from jaxicm.ops.space import pyramid


class _State(NamedTuple):
    """What the steps of a scale carry.

    Attributes:
      z: context that the next step reads.
      last: context after the step before, for the next scale.
      values: decoded ones `[B, h, w, C]`, predictions where unknown.
      known: bool `[B, h, w, C]`.
    """

    z: Array
    last: Array
    values: Array
    known: Array


def code_grid(
    layers: Layers,
    config: RecurrentConfig,
    y: Array,
    rounding: Rounding,
    *,
    prior_rounding: Rounding | None = None,
    noise: Array | None = None,
    context_gradient: bool = True,
) -> tuple[Array, Array]:
    """Quantise a latent step by step and estimate its rate.

    Args:
      layers: weights.
      config: sizes and order.
      y: `[B, h, w, C]` latents in quantisation steps, of any size.
      rounding: what stands for it.
      prior_rounding: the same for the coarsest grid; by default `rounding`. It gets means of zero and as indices those
        of the coder's tables, 64 + channel.
      noise: `[B, h, w, C]` that `rounding` gets.
      context_gradient: let the gradient flow from later steps to the values and the z that they read as context.

    Returns:
      Values `[B, h, w, C]` that the synthesis sees, and bits `[B]`.
    """
    schedule = config.schedule.for_size(*y.shape[1:3])
    grids = pyramid(y, schedule.scales)
    noises = [None] * len(grids) if noise is None else pyramid(noise, schedule.scales)
    coarsest = grids[-1]
    values, z = jnp.zeros_like(coarsest), jnp.zeros((*coarsest.shape[:3], config.features))
    known, bits = jnp.zeros(values.shape, bool), jnp.zeros(len(y))
    if schedule.steps[0].prior:
        table = jnp.broadcast_to(gaussian.SCALE_COUNT + jnp.arange(config.channels, dtype=jnp.float32), values.shape)
        values, more = (prior_rounding or rounding)(coarsest, values, table, noises[-1])
        values, bits = clip_towards(values, VALUE_MIN, VALUE_MAX), more.sum(axis=(1, 2, 3))
    for scale in reversed(range(schedule.scales + 1)):
        height, width, channels = grids[scale].shape[1:]
        if scale < schedule.scales:
            values, z = upsample_values(values, height, width), upsample_context(layers, z, height, width)
            known = jnp.zeros(values.shape, bool).at[:, 1::2, 1::2].set(True)
        steps = [s for s in schedule.steps if s.scale == scale and not s.prior]
        if steps:
            masks = jnp.asarray(np.stack([step.grid_mask(height, width, channels) for step in steps]))
            code = partial(_code_step, layers, config, rounding, grids[scale], noises[scale], context_gradient)
            # Only the carried state of each of the up to 120 evaluations is kept; the backward pass runs them again.
            (_, z, values, _), more = jax.lax.scan(jax.checkpoint(code), _State(z, z, values, known), masks)
            bits += more.sum(axis=0)
    return values, bits


def _code_step(
    layers: Layers,
    config: RecurrentConfig,
    rounding: Rounding,
    target: Array,
    noise: Array | None,
    context_gradient: bool,
    state: _State,
    mask: Array,
) -> tuple[_State, Array]:
    """Code the entries of a mask `[h, w, C]`: the state after it and bits `[B]`."""
    read = (lambda value: value) if context_gradient else jax.lax.stop_gradient
    z, mean, index = network(layers, read(state.z), read(state.values), state.known)
    value, bits = rounding(target, mean, index, noise)
    values = jnp.where(mask[None], clip_towards(value, VALUE_MIN, VALUE_MAX), state.values)
    after = _State(z if config.carry_z else state.z, z, values, state.known | mask[None])
    return after, jnp.where(mask[None], bits, 0.0).sum(axis=(1, 2, 3))
