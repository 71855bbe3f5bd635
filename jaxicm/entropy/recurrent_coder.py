"""The coding face of the recurrent model: integer weights, one step at a time, on the host.

Encoder and decoder run the same code, and the network is exact, so they find the same means and table indices on any
machine. The network covers a whole grid, so each size of latent needs one compiled function a scale; tile large
pictures into a few sizes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxicm.bits.tables import TOTAL, Tables, gaussian_tables, tables_from_pmfs
from jaxicm.entropy import context, gaussian
from jaxicm.entropy.factorized import freeze_pmfs
from jaxicm.entropy.recurrent_frozen import FrozenLayers, macs_of_step, macs_of_upsampling, part
from jaxicm.entropy.recurrent_network import Layers, RecurrentConfig, network, upsample_context, upsample_values
from jaxicm.entropy.schedule import subsample
from jaxicm.errors import CorruptFile

UNIT = 2.0**-context.VALUE_FRAC


@jax.jit
def _evaluate(layers: Layers, z: jax.Array, values_q4: jax.Array, known: jax.Array):
    z, mean, index = network(layers, z, values_q4.astype(jnp.float32)[None] * UNIT, known[None])
    return z, (mean[0] / UNIT).astype(jnp.int32), index[0].astype(jnp.uint8)


@partial(jax.jit, static_argnums=(3, 4))
def _upsample(layers: Layers, z: jax.Array, values_q4: jax.Array, height: int, width: int):
    return upsample_context(layers, z, height, width), upsample_values(values_q4[None], height, width)[0]


@dataclass(frozen=True)
class FrozenRecurrent:
    """Integer parameters of a trained `Recurrent` model.

    Attributes:
      config: sizes.
      network: integers of the layers.
      prior: tables of the factorised prior, one a channel.
    """

    config: RecurrentConfig
    network: FrozenLayers
    prior: Tables

    @classmethod
    def freeze(cls, params: Mapping, config: RecurrentConfig) -> "FrozenRecurrent":
        """Turn trained float parameters into the integers that training used, and prove the bounds.

        Args:
          params: parameters of `Recurrent`.
          config: sizes.

        Returns:
          The frozen model.

        Raises:
          ExactnessError: if a sum could leave the exact range.
        """
        return cls(config, FrozenLayers.freeze(params, config), tables_from_pmfs(freeze_pmfs(params["prior"])))

    def proof(self) -> dict[str, float]:
        """Return the worst-case sum of each layer as a fraction of 2**24; raises ExactnessError from 1 on."""
        return self.network.proof()

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return all parameters as flat named integer arrays."""
        return self.network.to_arrays() | {f"prior.{key}": value for key, value in self.prior.to_arrays().items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], config: RecurrentConfig) -> "FrozenRecurrent":
        """Rebuild from `to_arrays`.

        Raises:
          CorruptFile: if an array is missing or does not fit the config.
        """
        network, prior = FrozenLayers.from_arrays(arrays, config), Tables.from_arrays(part(arrays, "prior"))
        if len(prior) != config.channels:
            raise CorruptFile(f"weights: found {len(prior)} prior tables for {config.channels} channels")
        return cls(config, network, prior)

    def tables(self) -> Tables:
        """Return the coder's tables: 64 Gaussians, then the prior of each channel. Done once, at release."""
        return _join(gaussian_tables(gaussian.scale_table()), self.prior)

    def macs_per_position(self) -> int:
        """Count the multiply-adds of coding one latent position: each step runs on the whole grid of its scale."""
        schedule = self.config.schedule
        total = sum(macs_of_step(self.config) / 4**step.scale for step in schedule.steps if not step.prior)
        upsample = macs_of_upsampling(self.config)
        return round(total + sum(upsample / 4 ** (scale + 1) for scale in range(schedule.scales)))

    def coder(self, quality_q4: int, height: int, width: int) -> "RecurrentCoder":
        """Start the steps of a latent of `height` x `width` positions; the quality is ignored."""
        del quality_q4
        return RecurrentCoder(self, height, width)

    def layers(self) -> Layers:
        """Return the real values of all layers on the device."""
        return self.network.real()


def _join(first: Tables, second: Tables) -> Tables:
    """Put the tables of `second` behind those of `first`."""
    width = max(first.cdf.shape[1], second.cdf.shape[1])
    cdf = [np.pad(t.cdf, ((0, 0), (0, width - t.cdf.shape[1])), constant_values=TOTAL) for t in (first, second)]
    return Tables(
        np.concatenate(cdf),
        np.concatenate([first.size, second.size]),
        np.concatenate([first.offset, second.offset]),
    )


class RecurrentStep:
    """One step: the entries of a mask on the grid of one scale, in row-major order, channels last."""

    def __init__(self, coder: "RecurrentCoder", scale: int, mask: np.ndarray, *, prior: bool):
        self._coder, self._scale, self._mask, self._prior = coder, scale, mask, prior
        self._mean: np.ndarray | None = None

    def predict(self) -> tuple[np.ndarray, np.ndarray]:
        """Return means in 1/16 steps (int32 `[n]`) and table indices (uint8 `[n]`), 64 and more for the prior."""
        if self._prior:
            index = np.broadcast_to(np.arange(self._mask.shape[2]) + gaussian.SCALE_COUNT, self._mask.shape)
            self._mean = np.zeros(int(self._mask.sum()), np.int32)
            return self._mean, index[self._mask].astype(np.uint8)
        mean, index = self._coder.evaluate()
        self._mean = mean[self._mask]
        return self._mean, index[self._mask]

    def select(self, y: np.ndarray) -> np.ndarray:
        """Return the values of a latent `[h, w, C]` that this step codes, `[n]`."""
        return subsample(y, self._scale)[self._mask]

    def fill(self, symbols: np.ndarray) -> None:
        """Take the decoded symbols, int32 `[n]`."""
        assert self._mean is not None, "predict comes before fill"
        values = (symbols.astype(np.int64) << context.VALUE_FRAC) + self._mean
        self._coder.put(self._mask, np.clip(values, context.VALUE.low, context.VALUE.high).astype(np.int32))


class RecurrentCoder:
    """Iterates over the steps of one latent; the decoded values are complete after the last.

    Attributes:
      values_q4: int32 `[h, w, C]`, 16 times the quantised latent, after the iteration.
      network_calls: evaluated so far.
    """

    def __init__(self, model: FrozenRecurrent, height: int, width: int):
        self._model, self._size = model, (height, width)
        self._schedule = model.config.schedule.for_size(height, width)
        self._z = self._after = jnp.zeros((1, 1, 1, model.config.features))
        self.network_calls = 0
        self._start(self._schedule.scales)

    def _start(self, scale: int) -> None:
        """Begin a scale from the one before it; the coarsest begins with zeros."""
        height, width = (side >> scale for side in self._size)
        config = self._model.config
        if scale == self._schedule.scales:
            self.values_q4 = np.zeros((height, width, config.channels), np.int32)
            self._known = np.zeros(self.values_q4.shape, bool)
            self._z = self._after = jnp.zeros((1, height, width, config.features))
        else:
            self._z, values = _upsample(self._model.layers(), self._after, self.values_q4, height, width)
            self.values_q4, self._after = np.array(values), self._z
            self._known = np.zeros(self.values_q4.shape, bool)
            self._known[1::2, 1::2] = True

    def evaluate(self) -> tuple[np.ndarray, np.ndarray]:
        """Run the network: means (int32) and scale indices (uint8) of the whole grid, `[h, w, C]`."""
        self.network_calls += 1
        # The next step changes both arrays in place, so the device gets copies; jnp.array would compile for each shape.
        arguments = jax.device_put((self.values_q4.copy(), self._known.copy()))
        self._after, mean, index = _evaluate(self._model.layers(), self._z, *arguments)
        if self._model.config.carry_z:
            self._z = self._after
        return np.asarray(mean), np.asarray(index)

    def put(self, mask: np.ndarray, values: np.ndarray) -> None:
        """Write decoded values at the entries of a mask."""
        self.values_q4[mask] = values
        self._known |= mask

    def __iter__(self) -> Iterator[RecurrentStep]:
        scale = self._schedule.scales
        for step in self._schedule.steps:
            while scale > step.scale:
                scale -= 1
                self._start(scale)
            yield RecurrentStep(self, scale, step.grid_mask(*self.values_q4.shape), prior=step.prior)
