"""Fitting predictions while a phase is coded, on the host: the coding face of `entropy.least_squares`."""

import numpy as np

from jaxicm.entropy.least_squares import FitConfig, Tap, first_guess, regressors, solve, window_sums
from jaxicm.entropy.pixel_grid import PixelGrid
from jaxicm.entropy.pixel_order import Phase
from jaxicm.entropy.rounds import COMPLETING, collect

_SLICE = 64
"""Blocks solved at once: their equations stay in the cache."""


class PhaseFit:
    """The fitted predictions of one phase of a grid.

    Args:
      grid: all that was decoded before the phase.
      phase: position and taps.
      lattice: int32 `[C, h, w]`, the samples of the phase, filled by the caller as they are decoded.
      config: which predictions.
    """

    def __init__(self, grid: PixelGrid, phase: Phase, lattice: np.ndarray, config: FitConfig):
        self._lattice, self._config = lattice, config
        self._planes = [grid.plane(phase, t) for t in range(max(*config.taps, config.across))]

    def fit(self, round_index: int, channel: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Fit the predictions of a channel in a round to the rounds before.

        Args:
          round_index: 1 or 2.
          channel: which.

        Returns:
          Of the round's pixels, int32: what the taps contribute to the prediction `[W, n]`, in units of
          2**-WEIGHT_FRAC relative to the first guess; the noise, as in `least_squares.Fit`, `[W, n]`; the weight of
          each channel before at the pixel itself, `[channel, W, n]`.
        """
        config = self._config
        known, coded = 4 >> round_index, 8 >> round_index
        moments, count = self._moments(coded, channel)
        taps = self._from_taps(known, channel)
        shape, side = taps[0].shape, config.block // known
        predictions, noises, beside = [], [], []
        for radius in config.windows:
            sums, size = window_sums(moments, radius, np), window_sums(count, radius, np)
            weights, noise = _solve(sums, size)
            total = np.zeros(shape, np.int32)
            for plane, weight in zip(taps, weights[: len(taps)], strict=True):
                total += plane * _spread(weight, side, shape)
            predictions.append(total)
            noises.append(_spread(noise, side, shape))
            beside.append([_spread(weight, side, shape) for weight in weights[len(taps) :]])
        own = collect(np.stack([predictions, noises]), COMPLETING)
        others = np.array(beside, np.int32).reshape(len(beside), channel, *shape).swapaxes(0, 1)
        return own[0], own[1], collect(others, COMPLETING)

    def _tap(self, stride: int) -> Tap:
        return lambda t, c: self._planes[t][c, ::stride, ::stride]

    def _from_taps(self, stride: int, channel: int) -> list[np.ndarray]:
        """Return the regressors that the taps give, on a part of the lattice."""
        nothing = [np.zeros((), np.int32)] * channel
        return regressors(self._tap(stride), nothing, channel, self._config, np)[
            : self._config.unknowns(channel) - channel
        ]

    def _moments(self, stride: int, channel: int) -> tuple[np.ndarray, np.ndarray]:
        """Return sums of products `[D + 1, D + 1, rows, columns]` and the pixels in them `[rows, columns]`."""
        coded = self._lattice[: channel + 1, ::stride, ::stride]
        guess = first_guess(self._tap(stride), channel)
        inputs = regressors(self._tap(stride), list(coded[:channel]), channel, self._config, np)
        variables = [*inputs, coded[channel] - guess]
        side = self._config.block // stride
        rows, columns = (-(-length // side) for length in guess.shape)
        x = np.zeros((len(variables), rows * side, columns * side))
        for plane, out in zip(variables, x, strict=True):
            out[: guess.shape[0], : guess.shape[1]] = plane
        x = x.reshape(len(x), rows, side, columns, side).transpose(1, 3, 0, 2, 4)
        x = x.reshape(rows, columns, len(variables), side * side)
        # Integers below 2**53, so the order of the sums is free.
        moments = np.moveaxis(x @ x.swapaxes(2, 3), (2, 3), (0, 1))
        here = [
            np.minimum(side, length - side * np.arange(n))
            for length, n in zip(guess.shape, (rows, columns), strict=True)
        ]
        return moments, (here[0][:, None] * here[1]).astype(np.float64)


def _solve(moments: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat, sizes = moments.reshape(*moments.shape[:2], -1), count.reshape(-1)
    weights = np.empty((len(moments) - 1, sizes.size), np.int32)
    noise = np.empty(sizes.size, np.int32)
    for start in range(0, sizes.size, _SLICE):
        part = slice(start, start + _SLICE)
        weights[:, part], noise[part] = solve(np.ascontiguousarray(flat[..., part]), sizes[part])
    return weights.reshape(-1, *count.shape), noise.reshape(count.shape)


def _spread(blocks: np.ndarray, side: int, shape: tuple[int, ...]) -> np.ndarray:
    """Repeat the values of blocks over their pixels, cut to `shape`."""
    return blocks.repeat(side, axis=0)[: shape[0]].repeat(side, axis=1)[:, : shape[1]]
