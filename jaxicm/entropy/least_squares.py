"""Linear predictions fitted by least squares to pixels decoded near by: weights that no file carries.

The pixels of a phase are coded in rounds that spread evenly over the picture: those at multiples of four, the other
ones at multiples of two, the rest. From the second round on, each block has weights of its own, fitted to the pixels of
earlier rounds in the blocks around it, so they follow the texture, the noise and the sharpening that this place of this
picture happens to have, which no training can know.

Sums of products are integers. The equations are solved by operations that IEEE 754 defines to the last bit (addition,
multiplication, division of float64, one at a time, in a fixed order), so all machines find the same weights.

Source: least-squares adaptive prediction as in X. Wu, E. U. Barthel, W. Zhang, "Piecewise 2D autoregression for
predictive image coding", ICIP 1998; rounds, ridge and integers are ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.entropy.logistic_mixture import MEAN_FRAC, STEPS_PER_OCTAVE
from jaxicm.entropy.pixel_context import BASE, BASE_FRAC, FEATURE, logarithm, to_feature, two_to
from jaxicm.entropy.rounds import PERIOD, ROUNDS, round_of
from jaxicm.errors import ConfigError

WEIGHT_FRAC = 8
WEIGHT_LIMIT = 1023
"""Weights are multiples of 2**-WEIGHT_FRAC, at most WEIGHT_LIMIT of them."""
DIFFERENCE_LIMIT = 1 << 16
MOST_UNKNOWNS = 31
"""Weights of a prediction: so many products of limited differences stay below 2**31."""
RIDGE = 2.0**-7
"""Added to the diagonal, relative to its mean; the weights are pulled towards the first guess."""
FEATURES = 2
"""Inputs of a head for each window."""
_VARIANCE_LIMIT = 2.0**30


@dataclass(frozen=True)
class FitConfig:
    """Which predictions are fitted.

    Attributes:
      scales: finest scales that have them; 0 is none.
      block: side of the blocks that share weights, in pixels of a phase, a multiple of 4.
      windows: for each prediction, how many blocks on either side its weights are fitted to.
      taps: neighbours in the channel itself, for each channel.
      across: neighbours in each channel before, beside the pixel itself.
    """

    scales: int = 2
    block: int = 16
    windows: tuple[int, ...] = (1,)
    taps: tuple[int, int, int] = (12, 8, 8)
    across: int = 4

    def __post_init__(self):
        for key, holds, rule in (
            ("block", self.block > 0 and self.block % PERIOD == 0, f"must be a multiple of {PERIOD}"),
            ("windows", all(w >= 0 for w in self.windows), "must not be negative"),
            ("windows", len(self.windows) <= 4, "must be at most four"),
            ("taps", all(BASE <= t <= 24 for t in self.taps), f"must be {BASE} to 24 each"),
            ("across", 0 <= self.across <= 24, "must be 0 to 24"),
            (
                "across",
                max(map(self.unknowns, range(3))) <= MOST_UNKNOWNS,
                f"leads to more than {MOST_UNKNOWNS} weights",
            ),
        ):
            if not holds:
                raise ConfigError(f"fit.{key}: found {getattr(self, key)!r}, {rule}")

    @property
    def count(self) -> int:
        """Predictions of each sample."""
        return len(self.windows) if self.scales else 0

    def unknowns(self, channel: int) -> int:
        """Weights of a prediction."""
        return self.taps[channel] + channel * (1 + self.across)


class Fit(NamedTuple):
    """What was fitted for N samples.

    Attributes:
      mean: int32 `[N, W]`, predictions in sixteenths, relative to the first guess of the observation.
      noise: int32 `[N, W]`, about 16 times the logarithm to base two of the standard deviation that the fit left, in
        quarters of a sample.
      present: bool `[N]`, whether there is a fit at all; None where all samples have one.
    """

    mean: Array
    noise: Array
    present: Array | None = None


Tap = Callable[[int, int], Any]
"""Returns the samples of a tap in a channel, for all pixels at once."""


def regressors(tap: Tap, known: Sequence[Any], channel: int, config: FitConfig, xp: ModuleType = jnp) -> list[Any]:
    """Collect what samples are predicted from: differences to first guesses, whole samples.

    Args:
      tap: int32 `[...]` for each tap, the nearest first, and channel.
      known: int32 `[...]` each, the channels before at the pixels themselves.
      channel: of the samples.
      config: which predictions.
      xp: `numpy` or `jax.numpy`, to which the arrays belong.

    Returns:
      As many int32 `[...]` as the prediction has unknowns; those of `known` come last.
    """
    guess = first_guess(tap, channel)
    found = [tap(t, channel) - guess for t in range(config.taps[channel])]
    guesses = [first_guess(tap, before) for before in range(channel)]
    for before, guess in enumerate(guesses):
        found += [tap(t, before) - guess for t in range(config.across)]
    found += [x - guess for x, guess in zip(known, guesses, strict=True)]
    return [limited(plane, xp) for plane in found]


def limited(difference: Any, xp: ModuleType = jnp) -> Any:
    """Bound differences of 16-bit samples, so that no sum of products with weights leaves 32 bits."""
    return xp.clip(difference, -DIFFERENCE_LIMIT, DIFFERENCE_LIMIT)


def first_guess(tap: Tap, channel: int) -> Any:
    """Return the mean of the nearest taps, rounded: int32 `[...]`."""
    total = tap(0, channel)
    for t in range(1, BASE):
        total = total + tap(t, channel)
    return (total + BASE // 2) >> BASE_FRAC


def fit_mean(prediction: Any, guess: Any, base: Any) -> Any:
    """Return the `mean` of a `Fit`.

    Args:
      prediction: int32, relative to the rounded first guess, in units of 2**-WEIGHT_FRAC.
      guess: int32, `first_guess`.
      base: int32, that of the observation, in quarters.
    """
    moved = (guess << MEAN_FRAC) - (base << (MEAN_FRAC - BASE_FRAC))
    return ((prediction + (1 << (WEIGHT_FRAC - MEAN_FRAC - 1))) >> (WEIGHT_FRAC - MEAN_FRAC)) + moved


def window_sums(blocks: Any, radius: int, xp: ModuleType = jnp) -> Any:
    """Sum over the blocks at most `radius` away: `[..., rows, columns]`, the same shape."""
    for axis in (-2, -1):
        size = blocks.shape[axis]
        width = [(0, 0)] * blocks.ndim
        width[axis] = (radius, radius)
        wide = xp.pad(blocks, width)
        part: list[slice] = [slice(None)] * blocks.ndim
        total = 0
        for k in range(2 * radius + 1):
            part[axis] = slice(k, k + size)
            total = total + wide[tuple(part)]
        blocks = total
    return blocks


def ridge(moments: Any) -> Any:
    """Return what is added to the diagonal of sums of products `[D + 1, D + 1, ...]`: `[...]`."""
    unknowns = len(moments) - 1
    energy = moments[0, 0]
    for k in range(1, unknowns):
        energy = energy + moments[k, k]
    return energy * (RIDGE / unknowns) + 1.0


def solve(moments: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the weights that predict the last of the variables from the others, on the host, the same everywhere.

    Args:
      moments: float64 `[D + 1, D + 1, N]`, sums of products of integers.
      count: float64 `[N]`, of pixels in the sums.

    Returns:
      Weights int32 `[D, N]` in units of 2**-WEIGHT_FRAC, and the `noise` of a `Fit`, int32 `[N]`.
    """
    unknowns = len(moments) - 1
    left = moments[:unknowns].copy()
    left[range(unknowns), range(unknowns)] += ridge(moments)
    for k in range(unknowns - 1):
        scaled = left[k, k + 1 :] / left[k, k]
        left[k + 1 :, k + 1 :] -= left[k + 1 :, k, None] * scaled
    weights = np.empty(left.shape[1:], np.float64)[:unknowns]
    for k in reversed(range(unknowns)):
        weights[k] = left[k, -1] / left[k, k]
        left[:k, -1] -= left[:k, k] * weights[k]
    rest = moments[unknowns, unknowns].copy()
    for k in range(unknowns):
        rest -= moments[k, unknowns] * weights[k]
    return _integers(weights, rest, count, np)


def solve_traced(moments: Array, count: Array) -> tuple[Array, Array]:
    """Do what `solve` does inside a compiled step, up to rounding errors.

    Args:
      moments: float32 `[D + 1, D + 1, ...]`.
      count: float32 `[...]`.

    Returns:
      As `solve`.
    """
    # LAPACK's calls from two devices of one CPU wait for each other for ever, hence elimination by hand.
    unknowns = len(moments) - 1
    unit = jnp.eye(unknowns, unknowns + 1).reshape(unknowns, unknowns + 1, *(1,) * count.ndim)

    def eliminate(k: int | Array, rows: Array) -> Array:
        row = rows[k] / rows[k, k]
        others = jnp.where(jnp.arange(unknowns).reshape(-1, *(1,) * count.ndim) == k, 0.0, rows[:, k])
        return (rows - others[:, None] * row).at[k].set(row)

    weights = jax.lax.fori_loop(0, unknowns, eliminate, moments[:unknowns] + unit * ridge(moments))[:, unknowns]
    rest = moments[unknowns, unknowns] - jnp.sum(moments[:unknowns, unknowns] * weights, axis=0)
    return _integers(weights, rest, count, jnp)


def _integers(weights: Any, rest: Any, count: Any, xp: ModuleType) -> tuple[Any, Any]:
    variance = xp.clip(rest * 16.0 / xp.maximum(count, 1.0), 0.0, _VARIANCE_LIMIT)
    whole = xp.clip(xp.floor(weights * 2.0**WEIGHT_FRAC + 0.5), -WEIGHT_LIMIT, WEIGHT_LIMIT)
    return whole.astype(xp.int32), logarithm(variance.astype(xp.int32) + 1, xp)


def fit_crops(variables: Array, config: FitConfig) -> tuple[Array, Array]:
    """Fit whole crops in training: every pixel gets what coding would give it.

    Args:
      variables: int32 `[B, h, w, D + 1]`, the regressors and the sample relative to its first guess.
      config: which predictions.

    Returns:
      Predictions int32 `[B, h, w, W]` in units of 2**-WEIGHT_FRAC, and the `noise` of a `Fit`, of the same shape; both
      without meaning in round 0.
    """
    b, h, w, n = variables.shape
    side = config.block
    rows, columns = -(-h // side), -(-w // side)
    beyond = rows * side - h, columns * side - w
    rounds = round_of(side, side).reshape(-1)
    x = jnp.pad(variables.astype(jnp.float32), ((0, 0), (0, beyond[0]), (0, beyond[1]), (0, 0)))
    x = x.reshape(b, rows, side, columns, side, n)
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(b, rows, columns, side * side, n)
    x = jax.lax.stop_gradient(x)
    known = jnp.zeros((b, rows, columns, n, n))
    predictions, noises = [], []
    for r in range(1, ROUNDS):
        new = x[..., np.flatnonzero(rounds == r - 1), :]
        known = known + jnp.einsum("...ki,...kj->...ij", new, new)
        size = np.add.reduceat(np.add.reduceat(round_of(h, w) < r, range(0, h, side)), range(0, w, side), axis=1)
        for radius in config.windows:
            sums = window_sums(jnp.moveaxis(known, (-2, -1), (0, 1)), radius)
            count = jnp.broadcast_to(window_sums(jnp.asarray(size, jnp.float32), radius), sums.shape[2:])
            weights, noise = solve_traced(sums, count)
            pixels = x[..., np.flatnonzero(rounds == r), :-1]
            predictions.append(jnp.einsum("...ki,i...->...k", pixels, weights.astype(jnp.float32)))
            noises.append(jnp.broadcast_to(noise[..., None], predictions[-1].shape))

    def together(found: list[Array]) -> Array:
        out = jnp.zeros((b, rows, columns, side * side, config.count))
        for k, part in enumerate(found):
            r, window = divmod(k, config.count)
            out = out.at[..., np.flatnonzero(rounds == r + 1), window].set(part)
        out = out.reshape(b, rows, columns, side, side, -1).transpose(0, 1, 3, 2, 4, 5)
        return out.reshape(b, rows * side, columns * side, -1)[:, :h, :w].astype(jnp.int32)

    return together(predictions), together(noises)


def features(fit: Fit, exponent: Array) -> Array:
    """Describe predictions to a head.

    Args:
      fit: of N samples.
      exponent: int32 `[N]`, of the observation.

    Returns:
      float32 `[N, FEATURES * W]` of `pixel_context.FEATURE`.
    """
    down = two_to(-exponent)[:, None]
    octaves = exponent[:, None] * (2 * STEPS_PER_OCTAVE)
    mean = to_feature(fit.mean.astype(jnp.float32) * (down * 2.0**-MEAN_FRAC))
    noise = to_feature((fit.noise - octaves).astype(jnp.float32) * (0.25 / STEPS_PER_OCTAVE) - 1.0)
    return jnp.concatenate([mean, noise], axis=1)


def no_features(linear: Array, windows: int) -> Array:
    """Return what stands for `features` where nothing was fitted.

    Args:
      linear: float32 `[N]`, a prediction relative to the first guess, on the scale of the observation.
      windows: W.
    """
    mean = jnp.tile(to_feature(linear)[:, None], (1, windows))
    return jnp.concatenate([mean, jnp.full_like(mean, FEATURE.high * 2.0**-FEATURE.frac)], axis=1)
