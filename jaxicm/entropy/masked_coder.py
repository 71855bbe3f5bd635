"""The coding face of the paper's pixel model: integer weights, one channel of one step at a time, on the host.

Encoder and decoder run the same code, and the network is exact, so they choose the same pixels and find the same
mixtures on any machine. The network covers a whole grid, so each size of picture needs one compiled function a scale.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxicm.bits.mixture import Mixture
from jaxicm.entropy.logistic_mixture import MEAN_FRAC, SCALE_MAX, STEPS_PER_OCTAVE
from jaxicm.entropy.masked import (
    CHANNELS,
    COEFFICIENT,
    MaskedConfig,
    choose,
    network,
    parameters,
    pick,
)
from jaxicm.entropy.recurrent_frozen import FrozenLayers, macs_of_step, macs_of_upsampling
from jaxicm.entropy.recurrent_network import Layers, upsample_context
from jaxicm.entropy.schedule import effective_scales, subsample

_BELOW = ((), (0,), (1, 2))
"""Coefficients of each channel: one for each channel before it."""


@partial(jax.jit, static_argnums=0)
def _evaluate(
    config: MaskedConfig, layers: Layers, z: jax.Array, samples: jax.Array, known: jax.Array, down: jax.Array,
    position: jax.Array,
):  # fmt: skip
    z, outputs = network(layers, z, samples[None], known[None], down)
    chosen = choose(config, outputs, known[None], position)
    found = parameters(pick(outputs, chosen, config.sides)[0])
    where = jnp.argmax(chosen[0, ..., 0], axis=-1)
    return z, where, chosen[0].any(axis=(2, 3)), jax.tree.map(lambda value: value.astype(jnp.int32), found)


@partial(jax.jit, static_argnums=(2, 3))
def _upsample(layers: Layers, z: jax.Array, height: int, width: int):
    return upsample_context(layers, z, height, width)


@dataclass(frozen=True)
class FrozenMasked:
    """Integer parameters of a trained `Masked` model.

    Attributes:
      config: sizes.
      network: integers of the layers.
    """

    config: MaskedConfig
    network: FrozenLayers

    @classmethod
    def freeze(cls, params: Mapping, config: MaskedConfig) -> "FrozenMasked":
        """Turn trained float parameters into the integers that training used, and prove the bounds.

        Args:
          params: parameters of `Masked`.
          config: sizes.

        Returns:
          The frozen model.

        Raises:
          ExactnessError: if a sum could leave the exact range.
        """
        return cls(config, FrozenLayers.freeze(params, config))

    def proof(self) -> dict[str, float]:
        """Return the worst-case sum of each layer as a fraction of 2**24; raises ExactnessError from 1 on."""
        return self.network.proof()

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return all parameters as flat named integer arrays."""
        return self.network.to_arrays()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], config: MaskedConfig) -> "FrozenMasked":
        """Rebuild from `to_arrays`.

        Raises:
          CorruptFile: if an array is missing or does not fit the config.
        """
        return cls(config, FrozenLayers.from_arrays(arrays, config))

    def macs_per_pixel(self) -> float:
        """Count the multiply-adds of coding a pixel: each step runs on the whole grid of its scale."""
        config, step, upsample = self.config, macs_of_step(self.config), macs_of_upsampling(self.config)
        steps = sum(len(config.order) * step / 4**scale for scale in range(config.scales))
        return steps + sum(upsample / 4**scale for scale in range(1, config.scales))

    def coder(self, height: int, width: int, low: Sequence[int], high: Sequence[int], depth: int = 8) -> "MaskedCoder":
        """Start coding a picture.

        Args:
          height, width: of the picture, at least 1.
          low, high: inclusive bounds of each of its 1 or 3 channels.
          depth: bits of a sample, 1 to 16.

        Returns:
          The coder.
        """
        return MaskedCoder(self, (height, width), low, high, depth)


class MaskedStep:
    """One channel of the pixels of one step, cell by cell in row-major order.

    Attributes:
      channel: which, 0 to 2.
    """

    def __init__(self, coder: "MaskedCoder", scale: int, pixels: "_Pixels", channel: int):
        self._coder, self._scale, self._pixels, self.channel = coder, scale, pixels, channel

    def predict(self) -> Mixture:
        """Return the distributions of the n samples of the step; there may be none."""
        return self._coder.mixture(self._pixels, self.channel)

    def select(self, x: np.ndarray) -> np.ndarray:
        """Return the samples of a picture `[H, W, C]` that this step codes, int32 `[n]`."""
        return subsample(x, self._scale)[self._pixels.row, self._pixels.column, self.channel]

    def fill(self, values: np.ndarray) -> None:
        """Take the decoded samples, int32 `[n]`."""
        self._coder.samples[self._pixels.row, self._pixels.column, self.channel] = values


@dataclass(frozen=True)
class _Pixels:
    """Pixels of a step: where they are `[n]`, their upsampled samples `[n, 3]`, their mixtures as in `Parameters`."""

    row: np.ndarray
    column: np.ndarray
    start: np.ndarray
    weight: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    coefficient: np.ndarray


class MaskedCoder:
    """Iterates over the steps of one picture, channel by channel; `start` comes first.

    Attributes:
      scales: subsamplings of this picture.
      coarsest: (height, width) of the grid whose samples `start` takes.
      samples: int32 `[H, W, C]`, complete after the iteration.
      network_calls: evaluated so far.
    """

    def __init__(self, model: FrozenMasked, size: tuple[int, int], low: Sequence[int], high: Sequence[int], depth: int):
        self._model, self._size, self._low, self._high, self._depth = model, size, low, high, depth
        self.scales = effective_scales(model.config.scales, *size)
        self.coarsest = (size[0] >> self.scales, size[1] >> self.scales)
        self.samples = np.zeros((*self.coarsest, len(low)), np.int32)
        self.network_calls = 0

    def select_coarsest(self, x: np.ndarray) -> np.ndarray:
        """Return the samples of the coarsest grid of a picture int32 `[H, W, C]`."""
        return subsample(x, self.scales)

    def start(self, values: np.ndarray) -> None:
        """Take the samples of the coarsest grid, int32 `[h, w, C]`.

        Raises:
          ValueError: if their shape is another.
        """
        if values.shape != self.samples.shape:
            raise ValueError(f"the coarsest grid is {self.samples.shape}, found {values.shape}")
        self.samples = values.astype(np.int32)

    def __iter__(self) -> Iterator[MaskedStep]:
        model, config = self._model, self._model.config
        after = None
        for scale in reversed(range(self.scales)):
            height, width = (side >> scale for side in self._size)
            self.samples = _repeat(self.samples, height, width)
            known = np.zeros((height, width), bool)
            known[1::2, 1::2] = True
            if after is None:
                z = jax.device_put(np.zeros((1, height, width, config.features), np.float32))
            else:
                z = _upsample(model.network.real(), after, height, width)
            for position in config.order:
                after, pixels = self._evaluate(z, known, position)
                z = after if config.carry_z else z
                for channel in range(len(self._low)):
                    yield MaskedStep(self, scale, pixels, channel)
                known[pixels.row, pixels.column] = True

    def _evaluate(self, z: jax.Array, known: np.ndarray, position: int) -> tuple[jax.Array, _Pixels]:
        """Run the network: its new context, and the pixels that the step codes."""
        self.network_calls += 1
        config = self._model.config
        samples = np.pad(self.samples, ((0, 0), (0, 0), (0, CHANNELS - len(self._low))))
        # Later steps change both arrays in place, so the device gets copies.
        arguments = jax.device_put((samples, known.copy(), np.float32(2.0 ** (8 - self._depth)), np.int32(position)))
        after, where, valid, found = _evaluate(config, self._model.network.real(), z, *arguments)
        valid = np.asarray(valid)
        cell_row, cell_column = np.nonzero(valid)
        row, column = np.divmod(np.asarray(where)[valid], config.sides[1])
        row, column = row + cell_row * config.sides[0], column + cell_column * config.sides[1]
        return after, _Pixels(row, column, samples[row, column], *(np.asarray(value)[valid] for value in found))

    def mixture(self, pixels: _Pixels, channel: int) -> Mixture:
        """Return the distributions of a channel, given what is filled in of the channels before."""
        up, shift = self._depth - 8, pixels.shift[:, channel]
        mean = shift << up if up >= 0 else shift >> -up
        mean += pixels.start[:, channel : channel + 1] << MEAN_FRAC
        if channel:
            distance = self.samples[pixels.row, pixels.column] - pixels.start[:, : len(self._low)]
            moved = sum(pixels.coefficient[:, k] * distance[:, c : c + 1] for c, k in enumerate(_BELOW[channel]))
            half = 1 << (COEFFICIENT.frac - MEAN_FRAC - 1)
            mean += (moved + half) >> (COEFFICIENT.frac - MEAN_FRAC)
        scale = np.clip(pixels.scale[:, channel] + up * STEPS_PER_OCTAVE, 0, SCALE_MAX)
        low, high = (np.full(len(mean), bound[channel], np.int32) for bound in (self._low, self._high))
        return Mixture(mean.T, scale.T, pixels.weight[:, 0].T, low, high)


def _repeat(samples: np.ndarray, height: int, width: int) -> np.ndarray:
    """Do what `recurrent_network.upsample_values` does, on the host."""
    wide = samples.repeat(2, axis=0).repeat(2, axis=1)
    return np.pad(wide, ((0, height - wide.shape[0]), (0, width - wide.shape[1]), (0, 0)), mode="edge")
