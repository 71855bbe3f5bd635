"""The rate of a latent under the progressive model with all steps at once, for training on accelerators.

Coding goes step by step: a decoded value is its mean plus a whole number, and later steps read it. Here all values are
guessed, all means are computed from the guesses in a few large products, and the values that follow are better guesses.
What coding finds is the fixed point; the first guess, latents rounded without their means, is half a step off at most,
and after every pass a guess is off only as far as the means moved. The arithmetic of a pass is that of coding.

This is a Jacobi iteration; the idea of solving an autoregressive model so is that of Song et al., "Accelerating
feedforward computation via parallel nonlinear equation solving", ICML 2021.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array

from jaxicm.entropy import context
from jaxicm.entropy.phases import PHASES, SIGNED_TAPS, TAPS
from jaxicm.entropy.progressive_network import (
    HIDDEN,
    centre_features,
    channels_seen,
    join,
    rounded_terms,
    stacked_linear_terms,
)
from jaxicm.entropy.progressive_rate import (
    VALUE_MAX,
    VALUE_MIN,
    SlotLayers,
    by_slot,
    cells_of,
    interleave,
    neighbours_of,
)
from jaxicm.entropy.surrogate import Rounding
from jaxicm.nn import exact
from jaxicm.ops.quantize import clip_towards, round_ste, straight_through

_Banks = list[list[SlotLayers]]
"""Slots by the kernels that they share; all banks have as many slots, with as many positions."""

_NARROW = jnp.bfloat16
"""Type of all features, which are integers of 8 bits times a power of two."""


def code_latent_at_once(
    layers: Sequence[SlotLayers],
    y: Array,
    rounding: Rounding,
    *,
    passes: int,
    noise: Array | None = None,
    remat: bool = False,
) -> tuple[Array, Array]:
    """Quantise a latent and estimate its rate.

    Args:
      layers: of the slots in order, with biases `[B, 1, 1, outputs]`.
      y: `[B, h, w, C]` latents in quantisation steps; h and w divisible by 4.
      rounding: what stands for it.
      passes: at least 1. The gradient is that of the last one; in it the guesses move with y.
      noise: `[B, h, w, C]` that `rounding` gets.
      remat: compute a pass again in the backward pass instead of keeping its inner values.

    Returns:
      Values `[B, h, w, C]` that the synthesis sees, and bits `[B]`.
    """
    first, *rest = layers
    coarse, fine = [[first]], [[rest[phase], rest[len(PHASES) + phase]] for phase in range(len(PHASES))]
    targets, noises = _packed(y), (None, None) if noise is None else _packed(noise)
    guess = clip_towards(round_ste(y), VALUE_MIN, VALUE_MAX)

    def evaluate(guess: Array) -> tuple[Array, Array]:
        known = _packed(guess)
        hidden = exact.requantize(first.b1[:, 0], HIDDEN)
        hidden = jnp.broadcast_to(hidden, (*targets[0].shape[:-1], hidden.shape[-1]))
        zeros = jnp.zeros_like(targets[0])
        values0, bits0 = _code(coarse, hidden, (zeros, zeros), targets[0], known[0], rounding, noises[0])
        rows = _rows(guess)
        linear = _linear(fine, rows)
        seen = channels_seen(fine[0][0].w1)  # pyright: ignore[reportArgumentType]
        flat = rows[..., :seen].reshape(*rows.shape[:-2], -1)
        hidden = _product(flat, fine, lambda slot: slot.w1) * 2.0**-context.FEATURE.frac
        hidden = exact.requantize(hidden + _biases(fine, rows.shape, lambda slot: slot.b1), HIDDEN)
        values1, bits1 = _code(fine, hidden, linear, targets[1], known[1], rounding, noises[1])
        return _unpacked(values0, values1, y.shape), bits0 + bits1

    for _ in range(passes - 1):
        guess = straight_through(evaluate(jax.lax.stop_gradient(guess))[0], y)
    return (jax.checkpoint(evaluate) if remat else evaluate)(guess)


def _packed(grid: Array) -> tuple[Array, Array]:
    """Sort `[B, h, w, C]`: the coarsest grid `[1, B, n, C]`, and the phases of both scales `[3, B, n, C]`."""
    coarse, *rest = [part.reshape(part.shape[0], -1, part.shape[-1]) for part in by_slot(grid)]
    phases = len(PHASES)
    return coarse[None], jnp.stack([jnp.concatenate([rest[p], rest[phases + p]], axis=1) for p in range(phases)])


def _unpacked(coarse: Array, fine: Array, shape: tuple[int, ...]) -> Array:
    """Put together what `_packed` took apart; `shape` is that of the grid."""
    batch, height, width, channels = shape
    counts = _counts(fine.shape[2])
    grid = coarse[0].reshape(batch, height // 4, width // 4, channels)
    for size, rows in zip((4, 2), jax.lax.split(fine, counts, 2), strict=True):
        rows = rows.reshape(len(PHASES), batch, height // size, width // size, channels)
        grid = interleave({(1, 1): grid} | {phase.position: rows[p] for p, phase in enumerate(PHASES)})
    return grid


def _counts(positions: int) -> tuple[int, int]:
    """Return how many of the positions of a phase are of the coarser and of the finer scale."""
    return positions // 5, positions - positions // 5


def _rows(values: Array) -> Array:
    """Gather the features at all taps of all phases of `[B, h, w, C]`: `[3, B, n, taps, C]`, signed ones first."""
    fine = cells_of(values)
    scales = cells_of(fine[1, 1]), fine

    def of(known: dict[tuple[int, int], Array], phase: int) -> Array:
        signed, magnitude = neighbours_of(known, PHASES[phase], _NARROW)
        taps = jnp.stack([*signed, *magnitude], axis=3)
        return taps.reshape(taps.shape[0], -1, *taps.shape[3:])

    return jnp.stack([jnp.concatenate([of(known, p) for known in scales], axis=1) for p in range(len(PHASES))])


def _linear(banks: _Banks, rows: Array) -> tuple[Array, Array]:
    """Compute the linear terms `[3, B, n, C]` of `_rows`."""
    assert rows.shape[3] == SIGNED_TAPS + TAPS
    means, scales = [], []
    for bank, of_phase in zip(banks, rows, strict=True):
        parts = jax.lax.split(of_phase, _counts(rows.shape[2]), 1)
        terms = [stacked_linear_terms(p, s.taps_mu, s.taps_log) for p, s in zip(parts, bank, strict=True)]
        means.append(jnp.concatenate([mean for mean, _ in terms], axis=1))
        scales.append(jnp.concatenate([scale for _, scale in terms], axis=1))
    return jnp.stack(means), jnp.stack(scales)


def _code(
    banks: _Banks,
    hidden: Array,
    linear: tuple[Array, Array],
    target: Array,
    known: Array,
    rounding: Rounding,
    noise: Array | None,
) -> tuple[Array, Array]:
    """Code all channel groups of all slots from guesses of them: values `[banks, B, n, C]` and bits `[B]`."""
    trunk = _product(hidden, banks, lambda slot: slot.w2) + _biases(banks, target.shape, lambda slot: slot.b2)
    heads = banks[0][0].heads
    sizes = [head.bo.shape[-1] // 2 for head in heads]
    centre = centre_features(jax.lax.split(known, sizes, -1)[:-1], known.shape[:-1])
    features = jnp.concatenate([part.astype(_NARROW) for part in (exact.requantize(trunk, HIDDEN), centre)], axis=-1)

    def all_heads(slot: SlotLayers) -> Array:
        # What a group does not know meets zeros, so that one product serves all of them.
        inputs = features.shape[-1]
        return jnp.concatenate([jnp.pad(h.u, ((0, inputs - h.u.shape[0]), (0, 0))) for h in slot.heads], axis=-1)

    bias = _biases(banks, target.shape, lambda slot: jnp.concatenate([h.bu for h in slot.heads], axis=-1))
    inner = exact.requantize(_product(features, banks, all_heads) + bias, HIDDEN).astype(_NARROW)
    outputs = [
        _product(part, banks, lambda slot, g=g: slot.heads[g].o)
        + _biases(banks, target.shape, lambda slot, g=g: slot.heads[g].bo)
        for g, part in enumerate(jax.lax.split(inner, (trunk.shape[-1],) * len(heads), -1))
    ]
    halves = [jnp.split(output, 2, axis=-1) for output in outputs]
    network = rounded_terms(*(jnp.concatenate(half, axis=-1) for half in zip(*halves, strict=True)))
    mean, index = join(network, linear)
    value, coded = rounding.choose(target, mean, index, noise)
    return clip_towards(value, VALUE_MIN, VALUE_MAX), rounding.bits(coded, index).sum(axis=(0, 2, 3))


def _product(x: Array, banks: _Banks, kernel: Callable[[SlotLayers], Array | None]) -> Array:
    """Multiply `[banks, B, n, inputs]` exactly by the banks' kernels, in one product."""
    kernels = jnp.stack([found for bank in banks if (found := kernel(bank[0])) is not None])
    rows = x.astype(_NARROW).reshape(x.shape[0], -1, x.shape[-1])
    return exact.narrow_dot(rows, kernels).reshape(*x.shape[:-1], kernels.shape[-1])


def _biases(banks: _Banks, shape: tuple[int, ...], bias: Callable[[SlotLayers], Array]) -> Array:
    """Spread the slots' biases over their positions: `[banks, B, n, outputs]`."""
    batch, positions = shape[1:3]
    counts = (positions,) if len(banks[0]) == 1 else _counts(positions)

    def spread(slot: SlotLayers, count: int) -> Array:
        found = bias(slot)[:, 0]
        return jnp.broadcast_to(found, (batch, count, found.shape[-1]))

    rows = ([spread(*of) for of in zip(bank, counts, strict=True)] for bank in banks)
    return jnp.stack([jnp.concatenate(of_bank, axis=1) for of_bank in rows])
