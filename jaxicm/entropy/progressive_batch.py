"""The coding face of the progressive model for several latents at once, which stay on the device.

`progressive_coder` keeps one latent on the host and sends rows of features to the networks, so that pictures of all
sizes need the same few functions; here the grids lie on the device, and a step sends indices of tables one way and
symbols the other. Functions are compiled for the shape of the grids, so latents are put into larger ones of few shapes,
with zeros beyond their edges, as beyond any edge. The arithmetic is that of training and of coding one at a time.
"""

from collections.abc import Generator, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.entropy import gaussian
from jaxicm.entropy.phases import PHASES, SCALES
from jaxicm.entropy.progressive_network import centre_features, head, join
from jaxicm.entropy.progressive_rate import (
    VALUE_MAX,
    VALUE_MIN,
    Head,
    Parts,
    SlotLayers,
    by_slot,
    features_of,
    interleave,
    neighbours_of,
)

if TYPE_CHECKING:
    from jaxicm.entropy.progressive_frozen import FrozenProgressive

MULTIPLE = 2**SCALES
"""Sides of the grids are multiples of this."""


@partial(jax.jit, static_argnames="phase")
def _begin(slot: SlotLayers, known: Parts, phase: int) -> tuple[Array, tuple[Array, Array]]:
    return features_of(slot, neighbours_of(known, PHASES[phase]), known[1, 1].shape)


_begin_coarsest = jax.jit(lambda slot, zeros: features_of(slot, None, zeros.shape))


@partial(jax.jit, static_argnames="start")
def _predict(
    layers: Head, features: Array, linear: tuple[Array, Array], decoded: Sequence[Array], inside: Array, start: int
) -> tuple[Array, Array]:
    centre = centre_features(decoded, features.shape[:-1])
    cut = slice(start, start + layers.bo.shape[-1] // 2)
    mean, index = join(head(features, centre, *layers), (linear[0][..., cut], linear[1][..., cut]))
    return mean, jnp.where(inside, index, 0).astype(jnp.uint8)


@jax.jit
def _decoded(mean: Array, symbols: Array, inside: Array) -> Array:
    return jnp.where(inside, jnp.clip(mean + symbols, VALUE_MIN, VALUE_MAX), 0.0)


@partial(jax.jit, static_argnames="limit")
def _symbols(y: Array, mean: Array, index: Array, limit: int) -> Array:
    symbols = gaussian.round_with_cost(y - mean, index)
    return jnp.clip(jnp.where(index > 0, symbols, 0.0), -limit, limit).astype(jnp.int16)


@jax.jit
def _values_q4(values: Array) -> Array:
    return (values * 16).astype(jnp.int16)


_interleave = jax.jit(interleave)
_by_slot = jax.jit(by_slot)


class BatchStep:
    """One step of all latents: a channel group of one slot.

    Attributes:
      index: uint8 `[B, rows, columns, group]` on the device, scale indices, 0 outside of a latent.
      counts: rows and columns of the slot that each latent has.
    """

    def __init__(self, slot: int, channels: slice, mean: Array, index: Array, counts: list[tuple[int, int]]):
        self.index, self.counts = index, counts
        self._slot, self._channels, self._mean = slot, channels, mean
        self.symbols: Array | None = None

    def quantize(self, parts: Sequence[Array], limit: int) -> Array:
        """Quantise the values of latents.

        Args:
          parts: of all slots, as `BatchLatents.parts` takes them apart.
          limit: symbols are clipped to it.

        Returns:
          int16 symbols of the shape of `index`, which the step takes as decoded.
        """
        symbols = _symbols(parts[self._slot][..., self._channels], self._mean, self.index, limit)
        self.symbols = symbols
        return symbols

    def fill(self, symbols: Array) -> None:
        """Take decoded symbols, int8 or int16 of the shape of `index`."""
        self.symbols = symbols

    def value(self, inside: Array) -> Array:
        """Return the decoded values, `[B, rows, columns, group]` in quantisation steps."""
        assert self.symbols is not None, "symbols come before values"
        return _decoded(self._mean, self.symbols, inside)


class BatchLatents:
    """Iterates over the steps of several latents; each step must get its symbols before the next is asked for.

    Args:
      model: the probability model.
      qualities_q4: 16 times the quality of each latent.
      sizes: rows and columns of each.
      shape: rows and columns of the grids, multiples of `MULTIPLE`.

    """

    def __init__(
        self,
        model: "FrozenProgressive",
        qualities_q4: Sequence[int],
        sizes: Sequence[tuple[int, int]],
        shape: tuple[int, int],
    ):
        self._model, self._sizes, self._shape = model, sizes, shape
        self._layers = model.batch_layers(tuple(qualities_q4))
        inside = np.zeros((len(sizes), *shape, 1), bool)
        for part, (rows, columns) in zip(inside, sizes, strict=True):
            part[:rows, :columns] = True
        self._inside: list[Array] = _by_slot(inside)
        self._values: Array | None = None

    @property
    def values(self) -> Array:
        """Decoded values in quantisation steps, float32 `[B, *shape, C]`, after the iteration; zero outside."""
        assert self._values is not None, "the steps come before the values"
        return self._values

    @property
    def values_q4(self) -> Array:
        """The values as int16, 16 times as large."""
        return _values_q4(self.values)

    @staticmethod
    def parts(y: Array) -> list[Array]:
        """Return the values that the slots code of latents `[B, rows, columns, C]`."""
        return _by_slot(y)

    def __iter__(self) -> Iterator[BatchStep]:
        rows, columns = (side >> SCALES for side in self._shape)
        zeros = np.zeros((len(self._sizes), rows, columns, self._model.config.channels), np.float32)
        counts = [(height >> SCALES, width >> SCALES) for height, width in self._sizes]
        coarse = yield from self._slot(0, _begin_coarsest(self._layers[0], zeros), counts)
        slot = 1
        for scale in reversed(range(SCALES)):
            known = {(1, 1): coarse}
            for number, (position, _) in enumerate(PHASES):
                begun = _begin(self._layers[slot], known, number)
                counts = [
                    (((height >> scale) - position[0] + 1) // 2, ((width >> scale) - position[1] + 1) // 2)
                    for height, width in self._sizes
                ]
                known[position] = yield from self._slot(slot, begun, counts)
                slot += 1
            coarse = _interleave(known)
        self._values = coarse

    def _slot(
        self, slot: int, begun: tuple[Array, tuple[Array, Array]], counts: list[tuple[int, int]]
    ) -> Generator[BatchStep, None, Array]:
        """Yield the steps of a slot, which begins with what `features_of` returns; return its values."""
        features, linear = begun
        decoded: list[Array] = []
        for layers, channels in zip(self._layers[slot].heads, self._model.config.parts, strict=True):
            mean, index = _predict(layers, features, linear, decoded, self._inside[slot], channels.start)
            step = BatchStep(slot, channels, mean, index, counts)
            yield step
            decoded.append(step.value(self._inside[slot]))
        return jnp.concatenate(decoded, axis=-1)
