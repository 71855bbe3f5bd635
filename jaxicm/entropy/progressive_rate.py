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
from jaxicm.entropy.phases import CELL, PHASES, REACH, SCALES, SIGNED_TAPS, SLOTS, Phase
from jaxicm.entropy.progressive_network import (
    HIDDEN,
    centre_features,
    channels_seen,
    first_layer,
    head,
    join,
    linear_terms,
)
from jaxicm.entropy.surrogate import Rounding
from jaxicm.nn import exact
from jaxicm.ops.quantize import clip_towards, round_ste

VALUE_MIN, VALUE_MAX = context.VALUE.low / 16, context.VALUE.high / 16

Parts = dict[tuple[int, int], Array]
"""Values `[B, h/2, w/2, C]` of the positions of a 2x2 cell that are known."""
_Evaluation = Callable[[Array, Parts], tuple[Array, Array]]
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
    rounding: Rounding,
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
      rounding: what stands for it.
      noise: `[B, h, w, C]` that `rounding` gets.
      inside: bool `[B, h, w, 1]`, the positions that exist; others have no bits and are zero, as beyond an edge.
      pick: int32, evaluate this phase of the finest scale alone and count its rate three times.
      options: of the gradient.

    Returns:
      Values `[B, h, w, C]` that the synthesis sees, and bits `[B]`.
    """
    targets, noises, insides = by_slot(y), by_slot(noise), by_slot(inside)
    known_as = (lambda value: value) if options.context_gradient else jax.lax.stop_gradient

    def evaluate(target: Array, known: Parts, number: int, phase: Phase) -> tuple[Array, Array]:
        neighbours = neighbours_of({position: known_as(value) for position, value in known.items()}, phase)
        return _code_slot(layers[number], target, neighbours, rounding, noises[number], insides[number], known_as)

    coarse, bits = _code_slot(layers[0], targets[0], None, rounding, noises[0], insides[0], known_as)
    number = 1
    for scale in reversed(range(SCALES)):
        known: Parts = {(1, 1): coarse}
        for order, phase in enumerate(PHASES):
            code: _Evaluation = functools.partial(evaluate, number=number, phase=phase)
            code = jax.checkpoint(code) if options.remat else code
            if scale == 0 and pick is not None:
                code = _sampled(code, pick == order)
            value, more = code(targets[number], known)
            known = {**known, phase.position: value}
            bits, number = bits + more, number + 1
        coarse = interleave(known)
    return coarse, bits


def by_slot(grid: Array | None) -> list[Any]:
    """Return the parts of `[B, h, w, C]` that the slots code, in their order; for None as often None."""
    if grid is None:
        return [None] * len(SLOTS)
    parts: list[Array] = []
    for _ in range(SCALES):
        cells = cells_of(grid)
        parts = [cells[phase.position] for phase in PHASES] + parts
        grid = cells[1, 1]
    return [grid, *parts]


def _code_slot(
    slot: SlotLayers,
    target: Array,
    neighbours: tuple[list[Array], list[Array]] | None,
    rounding: Rounding,
    noise: Array | None,
    inside: Array | None,
    known_as: Callable[[Array], Array],
) -> tuple[Array, Array]:
    """Code one slot, group by group: values of `target`'s shape and bits `[B]`."""
    features, linear = features_of(slot, neighbours, target.shape)
    sizes = [layers.bo.shape[-1] // 2 for layers in slot.heads]
    # Splits and not slices: their gradients are joined in one go, where those of slices are added one after the other.
    groups = [jax.lax.split(a, sizes, -1) for a in (target, *linear, *(() if noise is None else (noise,)))]
    decoded: list[Array] = []
    indices, coded = [], []
    for layers, part, mean, index, *drawn in zip(slot.heads, *groups, strict=True):
        centre = centre_features([known_as(value) for value in decoded], target.shape[:-1])
        mean, index = join(head(features, centre, *layers), (mean, index))
        value, what = rounding.choose(part, mean, index, drawn[0] if drawn else None)
        decoded.append(clip_towards(value, VALUE_MIN, VALUE_MAX))
        indices.append(index)
        coded.append(what)
    values, indices = jnp.concatenate(decoded, axis=-1), jnp.concatenate(indices, axis=-1)
    bits = rounding.bits(jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-1), *coded), indices)
    if inside is not None:
        values, bits = jnp.where(inside, values, 0.0), jnp.where(inside, bits, 0.0)
    return values, bits.sum(axis=(1, 2, 3))


def features_of(
    slot: SlotLayers, neighbours: tuple[list[Array], list[Array]] | None, shape: tuple[int, ...]
) -> tuple[Array, tuple[Array, Array]]:
    """Compute what all groups of a slot share.

    Args:
      slot: the layers.
      neighbours: features of the taps, of `neighbours_of`; None for the coarsest grid.
      shape: of the slot's values, `[B, rows, columns, C]`.

    Returns:
      Features of the trunk `[B, rows, columns, H]`, and the linear terms of mean and scale index.
    """
    if neighbours is None or slot.w1 is None:
        hidden = exact.requantize(slot.b1, HIDDEN)
        hidden, linear = jnp.broadcast_to(hidden, (*shape[:-1], hidden.shape[-1])), (jnp.zeros(shape), jnp.zeros(shape))
    else:
        signed, magnitude = neighbours
        seen = channels_seen(slot.w1)
        flat = jnp.concatenate([tap[..., :seen] for tap in (*signed, *magnitude)], axis=-1)
        hidden = first_layer(flat, slot.w1, slot.b1)
        linear = linear_terms(signed, magnitude, slot.taps_mu, slot.taps_log)
    return exact.requantize(exact.dot(hidden, slot.w2) + slot.b2, HIDDEN), linear


def neighbours_of(known: Parts, phase: Phase, dtype: Any = jnp.float32) -> tuple[list[Array], list[Array]]:
    """Compute the features of all taps of a phase: signed and magnitude, integers of 8 bits in arrays of `dtype`.

    Every tap is a shift of the values of one position of the cells: no array of the whole grid is made, whose strided
    parts XLA would write and read slowly.
    """
    (i, j), (rows, columns) = phase.position, known[1, 1].shape[1:3]
    pad = ((0, 0), (REACH - 1, REACH - 1), (REACH - 1, REACH - 1), (0, 0))
    signed = {position: context.compand_ste(value) for position, value in known.items()}
    magnitude = {position: context.magnitude_ste(value) for position, value in signed.items()}
    signed, magnitude = (
        {position: jnp.pad(value.astype(dtype), pad) for position, value in features.items()}
        for features in (signed, magnitude)
    )

    def tap(features: Parts, offset: tuple[int, int]) -> Array:
        (row, r), (column, c) = divmod(i + offset[0], CELL), divmod(j + offset[1], CELL)
        top, left = row + REACH - 1, column + REACH - 1
        return features[r, c][:, top : top + rows, left : left + columns]

    return [tap(signed, offset) for offset in phase.taps[:SIGNED_TAPS]], [tap(magnitude, o) for o in phase.taps]


def cells_of(grid: Array) -> Parts:
    """Take the four positions of the 2x2 cells of `[B, h, w, C]` apart."""
    batch, height, width, channels = grid.shape
    rows = jax.lax.split(grid.reshape(batch, height // CELL, CELL, width // CELL, CELL, channels), (1, 1), 2)
    parts = [jax.lax.split(row[:, :, 0], (1, 1), 3) for row in rows]
    return {(i, j): parts[i][j][:, :, :, 0] for i in range(CELL) for j in range(CELL)}


def interleave(parts: Parts) -> Array:
    """Put the values of all four positions of the cells together, `[B, h, w, C]`."""
    rows = [jnp.stack([parts[i, 0], parts[i, 1]], axis=3) for i in range(CELL)]
    batch, height, width, _, channels = rows[0].shape
    return jnp.stack(rows, axis=2).reshape(batch, CELL * height, CELL * width, channels)


def _sampled(evaluate: _Evaluation, chosen: Array) -> _Evaluation:
    """Evaluate a phase only if it was chosen, and then for all of them; otherwise its values are just rounded."""

    def skip(target: Array, known: Parts) -> tuple[Array, Array]:
        del known
        return clip_towards(round_ste(target), VALUE_MIN, VALUE_MAX), jnp.zeros(target.shape[0])

    def count(target: Array, known: Parts) -> tuple[Array, Array]:
        value, bits = evaluate(target, known)
        return value, len(PHASES) * bits

    return lambda target, known: jax.lax.cond(chosen, count, skip, target, known)
