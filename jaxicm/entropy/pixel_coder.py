"""The coding face of the pixel model: one step at a time, on the host.

A step needs only pixels decoded before it, so encoder and decoder run the same code. The networks run on chunks of
pixels of a few fixed sizes; exact arithmetic makes the result independent of the chunking, so a picture of any size
needs the same few compiled functions and the same number of steps.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxicm.bits.mixture import Mixture
from jaxicm.entropy import pixel_context, pixel_network
from jaxicm.entropy.chunks import chunks
from jaxicm.entropy.pixel_grid import PixelGrid
from jaxicm.entropy.pixel_network import HIDDEN, SHIFT, Prediction, Sight
from jaxicm.entropy.pixel_order import CELLS, reach
from jaxicm.entropy.pixels import CHANNELS
from jaxicm.entropy.schedule import effective_scales
from jaxicm.ops.colour import gamut

if TYPE_CHECKING:
    from jaxicm.entropy.pixel_frozen import FrozenPixels

CHUNKS = (512, 8192)
"""Pixels of a call of a network, ascending."""


class _Kept(NamedTuple):
    """What is kept of a chunk between its channels, small: integers of a `Sight`."""

    hidden: jax.Array
    linear: jax.Array
    base: jax.Array
    exponent: jax.Array

    def real(self) -> Sight:
        hidden = self.hidden.astype(jnp.float32) * 2.0**-HIDDEN.frac
        return Sight(hidden, self.linear.astype(jnp.float32) * 2.0**-SHIFT.frac, self.base, self.exponent)


@jax.jit
def _look(taps: jax.Array, rough: jax.Array, depth: jax.Array, trunk, linear) -> _Kept:
    seen = pixel_context.observe(taps.reshape(len(taps), -1), rough, CHANNELS, depth)
    sight = pixel_network.look(seen, trunk, linear)
    hidden = (sight.hidden * 2.0**HIDDEN.frac).astype(jnp.uint8)
    return _Kept(hidden, (sight.linear * 2.0**SHIFT.frac).astype(jnp.int16), sight.base, sight.exponent)


@partial(jax.jit, static_argnames="channel")
def _predict(kept: _Kept, previous, channel: int, head):
    found = pixel_network.predict(kept.real(), previous, channel, head)
    return (
        found.mean.astype(jnp.int32).T,
        found.scale.astype(jnp.uint8).T,
        found.weight.astype(jnp.uint8).T,
    )


@partial(jax.jit, static_argnames="channel")
def _remember(x, kept: _Kept, previous, channel: int, mean, scale):
    found = Prediction(mean.T.astype(jnp.float32), scale.T.astype(jnp.float32), scale.T)
    more = pixel_network.remember(x, kept.real(), channel, found)
    return more if previous is None else jnp.concatenate([previous, more], axis=1)


class PixelStep:
    """One step: a channel of one phase at one scale, in row-major order.

    Attributes:
      channel: which.
    """

    def __init__(self, run: "_PhaseRun", channel: int):
        self._run, self.channel = run, channel

    def predict(self) -> Mixture:
        """Return the distributions of the samples."""
        mean, scale, weight = self._run.predict(self.channel)
        return Mixture(mean, scale, weight, *self._run.bounds(self.channel))

    def select(self, x: np.ndarray) -> np.ndarray:
        """Return the samples of a picture int32 `[H, W, C]` that this step codes, `[n]`."""
        stride, (rows, columns) = self._run.stride, self._run.origin
        return x[rows :: stride[0], columns :: stride[1], self.channel].reshape(-1)

    def fill(self, values: np.ndarray) -> None:
        """Take the decoded samples, int32 `[n]`."""
        self._run.take(self.channel, values)


class _PhaseRun:
    """A phase at a scale: the trunk's output for all its pixels, and the samples decoded so far."""

    def __init__(self, coder: "PixelCoder", scale: int, phase: int, grid: PixelGrid, rough: np.ndarray):
        model, config = coder.model, coder.model.config
        self._coder, self._phase = coder, config.phases[phase]
        self._networks = model.networks(scale, phase)
        position = self._phase.position
        self.shape = grid.shape(position)
        count = self.shape[0] * self.shape[1]
        cell = CELLS[config.cell][0]
        # Pixel p of scale s lies at 2**s * p + 2**s - 1 of the picture.
        self.stride = (cell[0] << scale, cell[1] << scale)
        self.origin = tuple((p << scale) + (1 << scale) - 1 for p in position)
        self.values = np.zeros((count, CHANNELS), np.int32)
        # The last cell may lie beyond the coarser grid: its edge is repeated.
        rows, columns = (
            np.minimum((p + c * np.arange(own)) // 2, most - 1)
            for p, c, own, most in zip(position, cell, self.shape, rough.shape[:2], strict=True)
        )
        near = rough[rows][:, columns].reshape(count, rough.shape[2])
        self._chunks: list[tuple[int, int, _Kept, jax.Array | None]] = []
        depth = np.int32(coder.depth)
        for start, stop, size in chunks(count, CHUNKS):
            taps = np.zeros((size, config.taps, CHANNELS), np.int32)
            grid.gather(self._phase, start, stop, taps[: stop - start])
            around = np.zeros((size, near.shape[1]), np.int32)
            around[: stop - start] = near[start:stop]
            kept = _look(taps, around, depth, self._networks.trunk, self._networks.linear)
            self._chunks.append((start, stop, kept, None))
        coder.network_calls += 1

    def predict(self, channel: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Evaluate the head of a channel: mean int32, scale and weight uint8, each `[K, n]`."""
        head = self._networks.heads[channel]
        # Started all at once, they keep every core busy.
        started = [_predict(kept, previous, channel, head) for _, _, kept, previous in self._chunks]
        self._found = started
        self._coder.network_calls += 1
        if not started:
            mixtures = self._coder.model.config.mixtures
            empty = np.zeros((mixtures, 0), np.uint8)
            return empty.astype(np.int32), empty, empty
        sizes = [stop - start for start, stop, *_ in self._chunks]
        mean, scale, weight = (
            np.concatenate([np.asarray(out[k])[:, :size] for out, size in zip(started, sizes, strict=True)], axis=1)
            for k in range(3)
        )
        return mean, scale, weight

    def bounds(self, channel: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the inclusive bounds of the samples of a channel, int32 `[n]`: those stated and those of the gamut."""
        coder, known = self._coder, [self.values[:, c] for c in range(channel)]
        low, high = (np.full(len(self.values), bound[channel], np.int32) for bound in coder.bounds)
        if coder.channels < CHANNELS:
            return low, high
        least, most = gamut(coder.colour, (1 << coder.depth) - 1, known, np)
        low, high = np.maximum(low, least), np.minimum(high, most)
        # Damaged files lead to colours that no picture has; their bounds must not be empty.
        return np.minimum(low, high).astype(np.int32), np.maximum(low, high).astype(np.int32)

    def take(self, channel: int, values: np.ndarray) -> None:
        """Store the decoded samples of a channel, `[n]`."""
        self.values[:, channel] = values
        if channel + 1 == self._coder.channels:
            return
        for k, ((start, stop, kept, previous), (mean, scale, _)) in enumerate(
            zip(self._chunks, self._found, strict=True)
        ):
            x = np.zeros(mean.shape[1], np.int32)
            x[: stop - start] = values[start:stop]
            self._chunks[k] = (start, stop, kept, _remember(x, kept, previous, channel, mean, scale))


class PixelCoder:
    """Iterates over the steps of one picture; the samples are complete after the last.

    Attributes:
      model: the frozen model.
      channels: 3 or 1.
      bounds: lowest and highest sample of each channel.
      depth: bits of a sample of the first channel.
      colour: transform of three channels, a name of `ops.colour.COLOURS`.
      scales: subsamplings of this picture.
      coarsest: (rows, columns) of the coarsest grid, which `start` takes before the iteration.
      network_calls: evaluated so far (chunks of one step counted once).
      samples: int32 `[H, W, channels]` after the iteration.
    """

    def __init__(
        self,
        model: "FrozenPixels",
        height: int,
        width: int,
        low: Sequence[int],
        high: Sequence[int],
        depth: int,
        colour: str,
    ):
        self.model, self.channels, self.depth, self.colour = model, len(low), depth, colour
        self._size = height, width
        self.bounds = tuple(low), tuple(high)
        self.scales = effective_scales(model.config.scales, height, width)
        self.coarsest = height >> self.scales, width >> self.scales
        self.network_calls = 0
        self._known = np.zeros((*self.coarsest, CHANNELS), np.int32)

    def select_coarsest(self, x: np.ndarray) -> np.ndarray:
        """Return the pixels of the coarsest grid of a picture int32 `[H, W, C]`."""
        stride = 1 << self.scales
        return x[stride - 1 :: stride, stride - 1 :: stride]

    def start(self, values: np.ndarray) -> None:
        """Take the coarsest grid, int32 `[*coarsest, channels]`."""
        self._known[..., : self.channels] = values

    @property
    def samples(self) -> np.ndarray:
        """The decoded picture."""
        return self._known[..., : self.channels]

    def __iter__(self) -> Iterator[PixelStep]:
        config = self.model.config
        cell = CELLS[config.cell][0]
        for scale in reversed(range(self.scales)):
            height, width = (side >> scale for side in self._size)
            grid = PixelGrid(height, width, CHANNELS, cell, reach(config.order, config.taps))
            rough = self._roughness()
            for i in range(1, cell[0], 2):
                for j in range(1, cell[1], 2):
                    grid.put((i, j), self._known[i // 2 :: cell[0] // 2, j // 2 :: cell[1] // 2])
            for phase in range(len(config.phases)):
                run = _PhaseRun(self, scale, phase, grid, rough)
                for channel in range(self.channels):
                    yield PixelStep(run, channel)
                grid.put(config.phases[phase].position, run.values.reshape(*run.shape, CHANNELS))
            self._known = grid.assemble()

    def _roughness(self) -> np.ndarray:
        return pixel_context.roughness(self._known[None], np)[0]
