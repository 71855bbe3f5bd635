"""One phase of a grid while it is coded: rounds, segments, and the networks that run ahead of the entropy coder."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxicm.bits.mixture import Mixture
from jaxicm.entropy import least_squares, pixel_context, pixel_network
from jaxicm.entropy.chunks import chunks
from jaxicm.entropy.least_squares import Fit
from jaxicm.entropy.pixel_context import BASE, BASE_FRAC
from jaxicm.entropy.pixel_fit import PhaseFit
from jaxicm.entropy.pixel_grid import PixelGrid
from jaxicm.entropy.pixel_network import HIDDEN, SHIFT, Prediction, Sight
from jaxicm.entropy.pixel_order import CELLS
from jaxicm.entropy.pixels import CHANNELS, Networks, PixelConfig
from jaxicm.entropy.rounds import EVERYWHERE, ROUND_PARTS, Part, collect_range, counts, pieces
from jaxicm.ops.colour import gamut

SEGMENT = 8192
"""Pixels that are coded at once, at most; part of the format."""
CHUNKS = (1024, SEGMENT)
"""Pixels of a call of a network, ascending."""


class Setting(NamedTuple):
    """What is the same for the whole picture.

    Attributes:
      config: of the model.
      channels: 3 or 1.
      low, high: lowest and highest sample of each channel.
      depth: bits of a sample of the first channel.
      colour: transform of three channels, a name of `ops.colour.COLOURS`; None where it was none of them.
    """

    config: PixelConfig
    channels: int
    low: tuple[int, ...]
    high: tuple[int, ...]
    depth: int
    colour: str | None


class _Kept(NamedTuple):
    """What is kept of a segment between its channels, small: integers of a `Sight`."""

    hidden: jax.Array
    linear: jax.Array
    base: jax.Array
    exponent: jax.Array

    def real(self) -> Sight:
        hidden = self.hidden.astype(jnp.float32) * 2.0**-HIDDEN.frac
        return Sight(hidden, self.linear.astype(jnp.float32) * 2.0**-SHIFT.frac, self.base, self.exponent)


@jax.jit
def _look(taps: jax.Array, rough: jax.Array, depth: jax.Array, trunk, linear) -> _Kept:
    seen = pixel_context.observe(taps.reshape(-1, taps.shape[-1]).T, rough.T, CHANNELS, depth)
    sight = pixel_network.look(seen, trunk, linear)
    hidden = (sight.hidden * 2.0**HIDDEN.frac).astype(jnp.uint8)
    return _Kept(hidden, (sight.linear * 2.0**SHIFT.frac).astype(jnp.int16), sight.base, sight.exponent)


@partial(jax.jit, static_argnames=("channel", "fits"))
def _predict(kept: _Kept, known, previous, fitted, channel: int, head, fits: int):
    """Return mean int32, scale and weight uint8, `[K, N]` each."""
    fit = None
    if fitted is not None:
        prediction, noise, beside = fitted
        guess = (kept.base + BASE // 2) >> BASE_FRAC
        for before, x in enumerate(known):
            prediction = prediction + beside[before] * least_squares.limited(x - guess[:, before])
        mean = least_squares.fit_mean(prediction, guess[:, channel], kept.base[:, channel])
        fit = Fit(mean.T, noise.T)
    found = pixel_network.predict(kept.real(), previous, channel, head, fit, fits)
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


@dataclass
class Segment:
    """Pixels that are coded at once, and how far they have come.

    Attributes:
      parts: of the lattice, those of its round.
      start, stop: in the round.
      size: of the arrays.
      kept: output of the trunk; None before it was started.
      known: the samples of the channels before, int32 `[size]` each.
      previous: what the heads are told about them.
      found: output of the head of the next channel.
    """

    parts: Sequence[Part]
    start: int
    stop: int
    size: int
    kept: _Kept | None = None
    known: list[np.ndarray] = field(default_factory=list)
    previous: jax.Array | None = None
    found: tuple[jax.Array, jax.Array, jax.Array] | None = None


class PhaseRun:
    """A phase at a scale: what is known around its pixels, and the samples decoded so far.

    Attributes:
      setting: of the picture.
      networks: of the phase.
      slices: of the picture, its pixels.
      lattice: int32 `[C, h, w]`, the samples.
      rounds: in coding order.
    """

    def __init__(
        self, setting: Setting, networks: Networks, scale: int, phase: int, grid: PixelGrid, rough: np.ndarray
    ):
        config = setting.config
        self.setting, self.networks = setting, networks
        position, cell = config.phases[phase].position, CELLS[config.cell][0]
        rows, columns = grid.shape(position)
        self.lattice = np.zeros((CHANNELS, rows, columns), np.int32)
        # Pixel p of scale s lies at 2**s * p + 2**s - 1 of the picture.
        self.slices = tuple(
            slice((p << scale) + (1 << scale) - 1, None, c << scale) for p, c in zip(position, cell, strict=True)
        )
        # The last cell may lie beyond the coarser grid: its edge is repeated.
        near = (
            np.minimum((p + c * np.arange(own)) // 2, most - 1)
            for p, c, own, most in zip(position, cell, (rows, columns), rough.shape[1:], strict=True)
        )
        self._rough = rough[:, *np.ix_(*near)]
        self._planes = [grid.plane(config.phases[phase], t) for t in range(config.taps)]
        if scale < config.fit.scales and config.fit.count:
            fit = PhaseFit(grid, config.phases[phase], self.lattice, config.fit)
            self.rounds = [Round(self, parts, fit, index) for index, parts in enumerate(ROUND_PARTS)]
        else:
            self.rounds = [Round(self, [EVERYWHERE], None, 0)]
        self._unseen = [segment for part in self.rounds for segment in part.segments]

    def look_ahead(self) -> None:
        """Start the trunk of the next segment that has none: work for the device while the host decodes."""
        if self._unseen:
            segment = self._unseen.pop(0)
            segment.kept = self._look(segment)

    def _look(self, segment: "Segment") -> _Kept:
        taps = np.zeros((len(self._planes), CHANNELS, segment.size), np.int32)
        around = np.zeros((len(self._rough), segment.size), np.int32)
        for part, inside, at in pieces(segment.parts, self.lattice.shape, segment.start, segment.stop):
            around[:, at] = collect_range(self._rough, part, inside)
            for t, plane in enumerate(self._planes):
                taps[t, :, at] = collect_range(plane, part, inside)
        return _look(taps, around, np.int32(self.setting.depth), self.networks.trunk, self.networks.linear)


class Round:
    """The pixels of a phase that are coded together, segment by segment and channel by channel.

    The head of a channel starts as soon as the one before is decoded, and the trunk of some later segment with it.

    Attributes:
      segments: of its pixels.
    """

    def __init__(self, phase: PhaseRun, parts: Sequence[Part], fit: PhaseFit | None, index: int):
        self._phase, self._parts, self._fit, self._index = phase, parts, fit, index
        count = sum(rows * columns for rows, columns in counts(parts, phase.lattice.shape))
        self.segments = [Segment(parts, *chunk) for chunk in chunks(count, CHUNKS)]
        self._fitted: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def start(self) -> None:
        """Fit what is fitted to the rounds before, and start the first head."""
        for segment in self.segments:
            while segment.kept is None:
                self._phase.look_ahead()
        for channel in range(self._phase.setting.channels):
            if self._fit is not None and self._index and self.segments:
                self._fitted.append(self._fit.fit(self._index, channel))
            for segment in self.segments if channel == 0 else ():
                self._begin(0, segment)

    def _begin(self, channel: int, segment: Segment) -> None:
        assert segment.kept is not None
        fitted = [_filled(part, segment) for part in self._fitted[channel]] if self._fitted else None
        head, fits = self._phase.networks.heads[channel], self._phase.setting.config.fit.count
        segment.found = _predict(segment.kept, segment.known, segment.previous, fitted, channel, head, fits)

    def predict(self, channel: int, index: int) -> Mixture:
        """Return the distributions of a channel of a segment."""
        segment, setting = self.segments[index], self._phase.setting
        assert segment.found is not None
        count = segment.stop - segment.start
        mean, scale, weight = (np.asarray(out)[:, :count] for out in segment.found)
        low = np.full(count, setting.low[channel], np.int32)
        high = np.full(count, setting.high[channel], np.int32)
        if setting.channels == CHANNELS and setting.colour is not None:
            known = [x[:count] for x in segment.known]
            least, most = gamut(setting.colour, (1 << setting.depth) - 1, known, np)
            low, high = np.maximum(low, least), np.minimum(high, most)
            # Damaged files lead to colours that no picture has; their bounds must not be empty.
            low, high = np.minimum(low, high).astype(np.int32), np.maximum(low, high).astype(np.int32)
        return Mixture(mean, scale, weight, low, high)

    def select(self, plane: np.ndarray, index: int) -> np.ndarray:
        """Return the samples of a segment from a channel `[H, W]` of the picture."""
        segment, lattice = self.segments[index], plane[self._phase.slices]
        out = np.empty(segment.stop - segment.start, np.int32)
        for part, inside, at in pieces(self._parts, lattice.shape, segment.start, segment.stop):
            out[at] = collect_range(lattice, part, inside)
        return out

    def take(self, channel: int, index: int, values: np.ndarray) -> None:
        """Store the decoded samples of a channel of a segment, `[n]`, and start the next head."""
        segment, lattice = self.segments[index], self._phase.lattice[channel]
        for part, inside, at in pieces(self._parts, lattice.shape, segment.start, segment.stop):
            _put_range(lattice[part], inside, values[at])
        self._phase.look_ahead()
        if channel + 1 == self._phase.setting.channels:
            return
        assert segment.found is not None and segment.kept is not None
        mean, scale, _ = segment.found
        x = np.zeros(segment.size, np.int32)
        x[: len(values)] = values
        segment.known.append(x)
        segment.previous = _remember(x, segment.kept, segment.previous, channel, mean, scale)
        self._begin(channel + 1, segment)


def _filled(values: np.ndarray, segment: Segment) -> np.ndarray:
    """Cut the range of a segment from `[..., n]` and fill it up with zeros."""
    out = np.zeros((*values.shape[:-1], segment.size), values.dtype)
    out[..., : segment.stop - segment.start] = values[..., segment.start : segment.stop]
    return out


def _put_range(plane: np.ndarray, inside: slice, values: np.ndarray) -> None:
    """Write a range of the pixels of a view `[h, w]`, in row-major order."""
    columns = plane.shape[1]
    first, last = inside.start // columns, (inside.stop - 1) // columns + 1
    rows = plane[first:last].copy().reshape(-1)
    rows[inside.start - first * columns : inside.stop - first * columns] = values
    plane[first:last] = rows.reshape(last - first, columns)
