"""The rate of a latent under the progressive model, as a pure function of prepared layers.

Training prepares the layers from its parameters at every step, adaptation to one picture prepares them once from
released integers; both run the steps below, and the arithmetic is that of coding.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxicm.entropy import context
from jaxicm.entropy.phases import CELL, PHASES, REACH, SCALES, SIGNED_TAPS, Phase
from jaxicm.entropy.progressive_network import HIDDEN, centre_features, channels_seen, head, join, linear_terms
from jaxicm.nn import exact
from jaxicm.ops.quantize import clip_towards, round_ste
from jaxicm.ops.space import pyramid

Quantize = Callable[[Array, Array, Array, Any], tuple[Array, Array]]
"""Quantises latents under their distribution: (latents, means, scale indices, noise or None) to (values, bits)."""
VALUE_MIN, VALUE_MAX = context.VALUE.low / 16, context.VALUE.high / 16

_Parts = dict[tuple[int, int], Array]
"""Values `[B, h/2, w/2, C]` of the positions of a 2x2 cell that are known."""
_Evaluation = Callable[[Array, _Parts], tuple[Array, Array]]
"""Codes a phase: from its latents and the known values to decoded values and bits."""


class Head(NamedTuple):
    """Layers of one channel group in one slot; kernels are exact, biases broadcast against `[..., outputs]`."""

    u: Array
    bu: Array
    o: Array
    bo: Array


class SlotLayers(NamedTuple):
    """Layers of one slot: the trunk, the heads of all groups, and the linear taps; units as in `progressive_network`.

    Attributes:
      w1: None for the coarsest grid, which has no taps; its rows tell how many channels the trunk sees.
    """

    w1: Array | None
    b1: Array
    w2: Array
    b2: Array
    heads: tuple[Head, ...]
    taps_mu: Array
    taps_log: Array


class Options(NamedTuple):
    """How the steps are run.

    Attributes:
      remat: keep only the values between the phases for the backward pass, and compute the rest again.
      context_gradient: let the gradient flow from later steps to the values that they read as context.
    """

    remat: bool = False
    context_gradient: bool = True


def code_latent(
    layers: Sequence[SlotLayers],
    y: Array,
    quantize: Quantize,
    *,
    noise: Array | None = None,
    inside: Array | None = None,
    pick: Array | None = None,
    options: Options = Options(),  # noqa: B008 a tuple, which nobody can change
) -> tuple[Array, Array]:
    """Quantise a latent step by step and estimate its rate.

    Args:
      layers: of the slots in order.
      y: `[B, h, w, C]` latents in quantisation steps; h and w divisible by 4.
      quantize: what stands for rounding.
      noise: `[B, h, w, C]` that `quantize` gets.
      inside: bool `[B, h, w, 1]`, the positions that exist; others have no bits and are zero, as beyond an edge.
      pick: int32, evaluate this phase of the finest scale alone and count its rate three times.
      options: of the gradient.

    Returns:
      Values `[B, h, w, C]` that the synthesis sees, and bits `[B]`.
    """
    grids = pyramid(y, SCALES)
    noises = [None] * len(grids) if noise is None else pyramid(noise, SCALES)
    insides = [None] * len(grids) if inside is None else pyramid(inside, SCALES)
    known_as = (lambda value: value) if options.context_gradient else jax.lax.stop_gradient

    def evaluate(target: Array, known: _Parts, slot: SlotLayers, phase: Phase, noise, inside) -> tuple[Array, Array]:
        neighbours = _neighbours({position: known_as(value) for position, value in known.items()}, phase)
        return _code_slot(slot, target, neighbours, quantize, noise, inside, known_as)

    coarse, bits = _code_slot(layers[0], grids[-1], None, quantize, noises[-1], insides[-1], known_as)
    number = 1
    for scale in reversed(range(SCALES)):
        grid, grid_noise, grid_inside = grids[scale], noises[scale], insides[scale]
        known: _Parts = {(1, 1): coarse}
        for order, phase in enumerate(PHASES):
            i, j = phase.position
            part = (slice(None), slice(i, None, 2), slice(j, None, 2))
            code: _Evaluation = functools.partial(
                evaluate,
                slot=layers[number],
                phase=phase,
                noise=None if grid_noise is None else grid_noise[part],
                inside=None if grid_inside is None else grid_inside[part],
            )
            code = jax.checkpoint(code) if options.remat else code
            if scale == 0 and pick is not None:
                code = _sampled(code, pick == order)
            value, more = code(grid[part], known)
            known = {**known, phase.position: value}
            bits, number = bits + more, number + 1
        coarse = _interleave(known)
    return coarse, bits


def _code_slot(
    slot: SlotLayers,
    target: Array,
    neighbours: tuple[list[Array], list[Array]] | None,
    quantize: Quantize,
    noise: Array | None,
    inside: Array | None,
    known_as: Callable[[Array], Array],
) -> tuple[Array, Array]:
    """Code one slot, group by group: values of `target`'s shape and bits `[B]`."""
    if neighbours is None or slot.w1 is None:
        hidden = exact.requantize(slot.b1, HIDDEN)
        features = jnp.broadcast_to(hidden, (*target.shape[:-1], hidden.shape[-1]))
        linear = (jnp.zeros_like(target), jnp.zeros_like(target))
    else:
        signed, magnitude = neighbours
        seen = channels_seen(slot.w1)
        flat = jnp.concatenate([tap[..., :seen] for tap in (*signed, *magnitude)], axis=-1)
        features = exact.requantize(exact.dot(flat * 2.0**-context.FEATURE.frac, slot.w1) + slot.b1, HIDDEN)
        linear = linear_terms(signed, magnitude, slot.taps_mu, slot.taps_log)
    features = exact.requantize(exact.dot(features, slot.w2) + slot.b2, HIDDEN)
    decoded: list[Array] = []
    bits, start = jnp.zeros(target.shape[0]), 0
    for layers in slot.heads:
        part = slice(start, start + layers.bo.shape[-1] // 2)
        start = part.stop
        centre = centre_features([known_as(value) for value in decoded], target.shape[:-1])
        mean, index = join(head(features, centre, *layers), (linear[0][..., part], linear[1][..., part]))
        drawn = None if noise is None else noise[..., part]
        value, more = quantize(target[..., part], mean, index, drawn)
        value = clip_towards(value, VALUE_MIN, VALUE_MAX)
        if inside is not None:
            value, more = jnp.where(inside, value, 0.0), jnp.where(inside, more, 0.0)
        decoded.append(value)
        bits += more.sum(axis=(1, 2, 3))
    return jnp.concatenate(decoded, axis=-1), bits


def _neighbours(known: _Parts, phase: Phase) -> tuple[list[Array], list[Array]]:
    """Compute the features of all taps of a phase: signed and magnitude.

    Every tap is a shift of the values of one position of the cells: no array of the whole grid is made, whose strided
    parts XLA would write and read slowly.
    """
    (i, j), (rows, columns) = phase.position, known[1, 1].shape[1:3]
    pad = ((0, 0), (REACH - 1, REACH - 1), (REACH - 1, REACH - 1), (0, 0))
    signed = {position: context.compand_ste(value) for position, value in known.items()}
    magnitude = {position: jnp.pad(context.magnitude_ste(value), pad) for position, value in signed.items()}
    signed = {position: jnp.pad(value, pad) for position, value in signed.items()}

    def tap(features: _Parts, offset: tuple[int, int]) -> Array:
        (row, r), (column, c) = divmod(i + offset[0], CELL), divmod(j + offset[1], CELL)
        top, left = row + REACH - 1, column + REACH - 1
        return features[r, c][:, top : top + rows, left : left + columns]

    return [tap(signed, offset) for offset in phase.taps[:SIGNED_TAPS]], [tap(magnitude, o) for o in phase.taps]


def _interleave(parts: _Parts) -> Array:
    """Put the values of all four positions of the cells together, `[B, h, w, C]`."""
    rows = [jnp.stack([parts[i, 0], parts[i, 1]], axis=3) for i in range(CELL)]
    batch, height, width, _, channels = rows[0].shape
    return jnp.stack(rows, axis=2).reshape(batch, CELL * height, CELL * width, channels)


def _sampled(evaluate: _Evaluation, chosen: Array) -> _Evaluation:
    """Evaluate a phase only if it was chosen, and then for all of them; otherwise its values are just rounded."""

    def skip(target: Array, known: _Parts) -> tuple[Array, Array]:
        del known
        return clip_towards(round_ste(target), VALUE_MIN, VALUE_MAX), jnp.zeros(target.shape[0])

    def count(target: Array, known: _Parts) -> tuple[Array, Array]:
        value, bits = evaluate(target, known)
        return value, len(PHASES) * bits

    return lambda target, known: jax.lax.cond(chosen, count, skip, target, known)
