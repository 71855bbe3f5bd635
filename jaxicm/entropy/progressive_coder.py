"""The coding face of the progressive model: one step at a time, on the host.

A step needs only values decoded before it, so the encoder and the decoder run the same code. Networks run on rows (one
row a position) in chunks of a fixed size; exact arithmetic makes the result independent of the chunking, so a picture
of any size needs the same few compiled functions (one for the trunk and one for each size of a group) and the same
number of steps.
"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from jaxicm.bits.steps import SYMBOL_LIMIT
from jaxicm.entropy import context
from jaxicm.entropy.chunks import chunks
from jaxicm.entropy.context_grid import Grid, features
from jaxicm.entropy.phases import CELL, PHASES, SCALES, SIGNED_TAPS, SLOTS, TAPS, bank_of
from jaxicm.entropy.progressive_network import HIDDEN, channels_seen, head, join, linear_terms, trunk

if TYPE_CHECKING:
    from jaxicm.entropy.progressive_frozen import FrozenProgressive

CHUNKS = {"cpu": (128,)}
"""Rows of a call of a network, ascending, by kind of device. On a CPU one size suits all: larger ones gain little and
waste more at the end."""
ACCELERATOR_CHUNKS = (256, 2048)
"""Where starting a call takes longer than its work."""


@jax.jit
def _trunk(taps, w1, b1, w2, b2, taps_mu, taps_log):
    real = [taps[:, t].astype(jnp.float32) for t in range(SIGNED_TAPS + TAPS)]
    mean, index = linear_terms(real[:SIGNED_TAPS], real[SIGNED_TAPS:], taps_mu, taps_log)
    rows = taps[..., : channels_seen(w1)].reshape(taps.shape[0], -1).astype(jnp.float32)
    return trunk(rows, w1, b1, w2, b2), (mean * 2.0**context.VALUE_FRAC).astype(jnp.int16), index.astype(jnp.int16)


@jax.jit
def _head(features, linear_mean, linear_index, start, centre, u, bu, o, bo):
    cut = partial(jax.lax.dynamic_slice_in_dim, start_index=start, slice_size=bo.shape[-1] // 2, axis=1)
    linear = (cut(linear_mean) * 2.0**-context.VALUE_FRAC, cut(linear_index).astype(jnp.float32))
    mean, index = join(head(features, centre.astype(jnp.float32) * 2.0**-HIDDEN.frac, u, bu, o, bo), linear)
    return (mean * 2.0**context.VALUE_FRAC).astype(jnp.int16), index.astype(jnp.uint8)


class ProgressiveStep:
    """One step: a channel group of one slot at all its positions, in row-major order, channels last."""

    def __init__(self, run: "_SlotRun", group: int):
        self._run, self._group = run, group
        self._channels = run.model.config.parts[group]
        self._mean: np.ndarray | None = None

    def predict(self) -> tuple[np.ndarray, np.ndarray]:
        """Return means in 1/16 steps (int16 `[n]`) and scale indices (uint8 `[n]`)."""
        self._mean, index = self._run.head(self._group)
        return self._mean.reshape(-1), index.reshape(-1)

    def select(self, y: np.ndarray) -> np.ndarray:
        """Return the values of a latent `[h, w, C]` that this step codes, `[n]`."""
        stride, (i, j) = self._run.stride
        return y[i::stride, j::stride, self._channels].reshape(-1)

    def fill(self, symbols: np.ndarray) -> None:
        """Take the decoded symbols, int32 `[n]`."""
        assert self._mean is not None, "predict comes before fill"
        # Clipped first, the sum fits 32 bits.
        values = np.clip(symbols.reshape(self._mean.shape), -SYMBOL_LIMIT, SYMBOL_LIMIT) * 16 + self._mean
        self._run.take(self._channels, np.clip(values, context.VALUE.low, context.VALUE.high).astype(np.int16))


class _SlotRun:
    """The trunk's output for all positions of a slot, and the values decoded so far."""

    def __init__(self, coder: "ProgressiveCoder", slot: int, rows: int, columns: int, grid: Grid | None):
        self.model, self.slot, self.shape, self._coder = coder.model, slot, (rows, columns), coder
        config, count = self.model.config, rows * columns
        scale, phase = SLOTS[slot]
        inside = PHASES[phase].position if phase is not None else (0, 0)
        # Position p of scale s lies at 2**s * p + 2**s - 1 of the finest grid.
        step = 2**scale
        cell = CELL * step if phase is not None else step
        self.stride = (cell, tuple(step * v + step - 1 for v in inside))
        self.values = np.zeros((count, config.channels), np.int16)
        self._chunks: list[tuple[slice, tuple[jax.Array, ...]]] = []
        arguments = [*coder.layer("w1", slot), *coder.layer("w2", slot), *coder.taps(slot)]
        padded = 0
        for start, stop, size in chunks(count, CHUNKS.get(jax.default_backend(), ACCELERATOR_CHUNKS)):
            taps = np.zeros((size, SIGNED_TAPS + TAPS, config.channels), np.int8)
            if grid is not None and phase is not None:
                grid.gather(phase, columns, start, stop, taps[: stop - start])
            padded = start + size
            self._chunks.append((slice(start, padded), _trunk(taps, *arguments)))
        self._centre = np.zeros((padded, 2 * config.most_known), np.int8)
        coder.network_calls += 1

    def head(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        """Evaluate the head of a group at all positions."""
        part = self.model.config.parts[group]
        size = part.stop - part.start
        mean = np.empty((len(self._centre), size), np.int16)
        index = np.empty((len(self._centre), size), np.uint8)
        arguments = [*self._coder.layer(f"u{group}", self.slot), *self._coder.layer(f"o{group}", self.slot)]
        start = np.int32(part.start)
        # Started all at once, they keep every core busy.
        started = [(rows, _head(*features, start, self._centre[rows], *arguments)) for rows, features in self._chunks]
        for rows, out in started:
            mean[rows], index[rows] = map(np.asarray, out)
        self._coder.network_calls += 1
        return mean[: len(self.values)], index[: len(self.values)]

    def take(self, channels: slice, values: np.ndarray) -> None:
        """Store the decoded values of a group, int16 `[positions, group]`."""
        self.values[:, channels] = values
        if channels.stop < self.values.shape[1]:
            size = channels.stop - channels.start
            known = self._centre[: len(values), 2 * channels.start : 2 * channels.stop]
            known[:, :size], known[:, size:] = features(values)


class ProgressiveCoder:
    """Iterates over the steps of one latent; the decoded values are complete after the last.

    Attributes:
      values_q4: int16 `[h, w, C]`, 16 times the quantised latent, after the iteration.
      network_calls: evaluated so far (tiles of one call counted once).
    """

    def __init__(self, model: "FrozenProgressive", quality_q4: int, height: int, width: int):
        self.model, self._quality = model, quality_q4
        self._sizes = [(height >> s, width >> s) for s in range(SCALES + 1)]
        self.network_calls = 0
        self.values_q4 = np.zeros((height, width, model.config.channels), np.int16)

    def layer(self, name: str, slot: int) -> tuple[jax.Array, jax.Array]:
        """Kernel and bias of a layer at this quality."""
        kernel = self.model.kernel_on_device(name, bank_of(name, slot))
        return kernel, self.model.bias_on_device(name, slot, self._quality)

    def taps(self, slot: int) -> tuple[jax.Array, jax.Array]:
        """Real values of the linear taps of a slot."""
        return self.model.taps_on_device(slot)

    def _steps(self, run: _SlotRun) -> Iterator[ProgressiveStep]:
        for group in range(len(self.model.config.parts)):
            yield ProgressiveStep(run, group)

    def __iter__(self) -> Iterator[ProgressiveStep]:
        channels = self.model.config.channels
        rows, columns = self._sizes[SCALES]
        run = _SlotRun(self, 0, rows, columns, None)
        yield from self._steps(run)
        coarse = run.values.reshape(rows, columns, channels)
        slot = 1
        for scale in reversed(range(SCALES)):
            height, width = self._sizes[scale]
            grid = Grid(height, width, channels)
            known = [((1, 1), coarse)]
            for position, _ in PHASES:
                for where, values in known:
                    grid.put(where, values)
                rows, columns = (height - position[0] + 1) // CELL, (width - position[1] + 1) // CELL
                run = _SlotRun(self, slot, rows, columns, grid)
                yield from self._steps(run)
                known, slot = [(position, run.values.reshape(rows, columns, channels))], slot + 1
            grid.put(*known[0])
            coarse = grid.values
        self.values_q4 = coarse
