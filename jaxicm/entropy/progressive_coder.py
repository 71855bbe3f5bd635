"""The coding face of the progressive model: integer weights, one step at a time, on the host.

A step needs only values decoded before it, so the encoder and the decoder run the same code. Networks run on rows (one
row a position) in chunks of a fixed size; exact arithmetic makes the result independent of the chunking, so a picture
of any size needs the same two compiled functions and the same 28 steps.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxicm.bits.tables import Tables, gaussian_tables
from jaxicm.entropy import context, gaussian
from jaxicm.entropy.context_grid import Grid, features
from jaxicm.entropy.progressive import (
    CELL,
    HIDDEN,
    MEAN,
    PHASES,
    SCALES,
    SIGNED_TAPS,
    SLOTS,
    TAP_FRAC,
    TAPS,
    ProgressiveConfig,
    head,
    join,
    trunk,
)
from jaxicm.nn import exact
from jaxicm.nn.exact import Fixed, FrozenKernel
from jaxicm.ops.quantize import floor_ste

QUALITY_STEPS = 16
"""Qualities are multiples of 1/16; the interpolation of biases is integer arithmetic on them."""
CHUNKS = (128,)
"""Rows of a call of a network, ascending. One size suits all: larger ones gain little and waste more at the end."""
_BIASES_KEPT = 1024
"""Biases kept on the device: 70 for each quality, so those of the qualities that a search for a rate tries."""
_FREE_BIAS_FRAC = 16
"""Fraction bits of the coarsest grid's first bias, which meets no weights."""


def interpolate_integers(anchors: np.ndarray, quality_q4: int) -> np.ndarray:
    """Interpolate integer biases between quality anchors in integer arithmetic.

    Args:
      anchors: int32 `[..., K, C]`.
      quality_q4: 16 times the quality, 16..1600.

    Returns:
      int64 `[..., C]`.
    """
    span = (100 - 1) * QUALITY_STEPS
    last = anchors.shape[-2] - 1
    whole, part = divmod((quality_q4 - QUALITY_STEPS) * last, span)
    low = anchors[..., whole, :].astype(np.int64)
    high = anchors[..., min(whole + 1, last), :].astype(np.int64)
    return (low * (span - part) + high * part) // span


def _linear_terms(taps, taps_mu, taps_log):
    """Compute `progressive.linear_terms` tap by tap: a tenth of the time of XLA's reduction on a CPU, the same bits."""
    real = [taps[:, t].astype(jnp.float32) for t in range(SIGNED_TAPS + TAPS)]
    mean, log_scale = jnp.zeros_like(real[0]), jnp.zeros_like(real[0])
    for t in range(SIGNED_TAPS):
        mean += context.expand(real[t]) * taps_mu[t]
    for t in range(TAPS):
        log_scale += real[SIGNED_TAPS + t] * taps_log[t]
    mean, log_scale = mean * 0.25, log_scale * 2.0**-context.FEATURE.frac
    return exact.requantize(mean, MEAN), floor_ste(log_scale * gaussian.SCALES_PER_NAT + 0.5)


@jax.jit
def _trunk(taps, w1, b1, w2, b2, taps_mu, taps_log):
    mean, index = _linear_terms(taps, taps_mu, taps_log)
    rows = taps.reshape(taps.shape[0], -1).astype(jnp.float32) * 2.0**-context.FEATURE.frac
    return trunk(rows, w1, b1, w2, b2), (mean * 2.0**context.VALUE_FRAC).astype(jnp.int16), index.astype(jnp.int16)


@jax.jit
def _head(features, linear_mean, linear_index, group, centre, u, bu, o, bo):
    size = bo.shape[-1] // 2
    cut = partial(jax.lax.dynamic_slice_in_dim, start_index=group * size, slice_size=size, axis=1)
    linear = (cut(linear_mean) * 2.0**-context.VALUE_FRAC, cut(linear_index).astype(jnp.float32))
    mean, index = join(head(features, centre.astype(jnp.float32) * 2.0**-HIDDEN.frac, u, bu, o, bo), linear)
    return (mean * 2.0**context.VALUE_FRAC).astype(jnp.int16), index.astype(jnp.uint8)


@dataclass(frozen=True)
class FrozenProgressive:
    """Integer parameters of a trained `Progressive` model.

    Attributes:
      config: sizes.
      kernels: "w1", "w2" and per group "u0".. and "o0"..; leading axis is the bank.
      biases: int32 per slot and quality anchor in accumulator units: "b1", "b2", "bu0".., "bo0"..
      taps_mu, taps_log: int8 `[slots, taps, C]`, multiples of 2**-TAP_FRAC.
    """

    config: ProgressiveConfig
    kernels: dict[str, FrozenKernel]
    biases: dict[str, np.ndarray]
    taps_mu: np.ndarray
    taps_log: np.ndarray
    _device: dict = field(init=False, default_factory=dict, repr=False, compare=False)
    _biases: dict = field(init=False, default_factory=dict, repr=False, compare=False)

    @classmethod
    def freeze(cls, params: dict, config: ProgressiveConfig) -> "FrozenProgressive":
        """Turn trained float parameters into the integers that training used, and prove the bounds.

        Args:
          params: parameters of `Progressive`.
          config: sizes.

        Returns:
          The frozen model.

        Raises:
          ExactnessError: if a sum could leave the exact range.
        """
        p = {name: np.asarray(value) for name, value in params.items()}
        kernels, biases = {}, {}
        for name, (kernel, bias, x) in _layers(p, config).items():
            kernels[name] = exact.freeze_kernel(kernel, np.abs(bias).max(axis=(0, 1)), x)
            exponent = np.stack([kernels[name].exponent[_bank(name, slot)] for slot in range(len(SLOTS))])[:, None]
            if name == "w1":
                exponent = exponent.astype(np.int32)
                exponent[0] = _FREE_BIAS_FRAC - x.frac
            biases[_BIAS[name[0]] + name[1:] if name[0] in "uo" else _BIAS[name]] = exact.freeze_bias(bias, exponent, x)
        taps = [np.clip(np.round(p[t] * 2**TAP_FRAC), -127, 127).astype(np.int8) for t in ("taps_mu", "taps_log")]
        frozen = cls(config, kernels, biases, *taps)
        frozen.proof()
        return frozen

    def proof(self) -> dict[str, float]:
        """Return the worst-case sum of each layer as a fraction of 2**24; raises ExactnessError from 1 on."""
        worst = {}
        for name, kernel in self.kernels.items():
            bias = np.abs(self.biases[_bias_name(name)])
            bias = bias[1:] if name == "w1" else bias  # the coarsest grid's bias has a unit of its own
            x = context.FEATURE if name == "w1" else HIDDEN
            worst[name] = exact.prove(f"entropy/{name}", kernel, bias.max(axis=(0, 1)), x)
        for name, taps, largest in (("taps_mu", self.taps_mu, 1072), ("taps_log", self.taps_log, 127)):
            worst[name] = float(np.abs(taps.astype(np.int64)).sum(axis=1).max() * largest / exact.ACCUMULATOR_LIMIT)
        return worst

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return all parameters as flat named integer arrays."""
        arrays = {"taps_mu": self.taps_mu, "taps_log": self.taps_log} | self.biases
        for name, kernel in self.kernels.items():
            arrays |= {f"{name}.weight": kernel.weight, f"{name}.exponent": kernel.exponent}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], config: ProgressiveConfig) -> "FrozenProgressive":
        """Rebuild from `to_arrays`."""
        names = ["w1", "w2", *(f"{n}{g}" for g in range(config.groups) for n in "uo")]
        kernels = {n: FrozenKernel(arrays[f"{n}.weight"], arrays[f"{n}.exponent"]) for n in names}
        biases = {_bias_name(n): arrays[_bias_name(n)] for n in names}
        return cls(config, kernels, biases, arrays["taps_mu"], arrays["taps_log"])

    def tables(self) -> Tables:
        """Build the coder's tables, one for each scale index. Done once, at release; they are never rebuilt."""
        return gaussian_tables(gaussian.scale_table())

    def macs_per_position(self) -> int:
        """Count the multiply-adds of coding one latent position, as they are run."""
        c = self.config
        rows = c.hidden + 2 * (c.channels - c.group_size)
        trunk_macs = (SIGNED_TAPS + TAPS) * c.channels * (c.hidden + 1) + c.hidden**2
        return trunk_macs + c.groups * c.hidden * (rows + 2 * c.group_size)

    def coder(self, quality_q4: int, height: int, width: int) -> "ProgressiveCoder":
        """Start the steps of a latent of `height` x `width` positions at a quality (16 times 1..100)."""
        return ProgressiveCoder(self, quality_q4, height, width)

    def kernel_on_device(self, name: str, bank: int) -> jax.Array:
        """Return one bank of a kernel as real values on the device; `u` is padded to all groups."""
        if (name, bank) not in self._device:
            real = FrozenKernel(self.kernels[name].weight[bank], self.kernels[name].exponent[bank]).real()
            if name[0] == "u":
                rows = self.config.hidden + 2 * (self.config.channels - self.config.group_size)
                real = np.pad(real, ((0, rows - len(real)), (0, 0)))
            self._device[name, bank] = jax.device_put(real)
        return self._device[name, bank]

    def bias_on_device(self, name: str, slot: int, quality_q4: int) -> jax.Array:
        """Return `bias_real` as an array on the device."""
        key = name, slot, quality_q4
        if key not in self._biases:
            while len(self._biases) >= _BIASES_KEPT:
                del self._biases[next(iter(self._biases))]
            self._biases[key] = jax.device_put(self.bias_real(name, slot, quality_q4))
        return self._biases[key]

    def taps_on_device(self, slot: int) -> tuple[jax.Array, jax.Array]:
        """Return the real values of the linear taps of a slot."""
        if ("taps", slot) not in self._device:
            unit = np.float32(2.0**-TAP_FRAC)
            self._device["taps", slot] = jax.device_put((self.taps_mu[slot] * unit, self.taps_log[slot] * unit))
        return self._device["taps", slot]

    def bias_real(self, name: str, slot: int, quality_q4: int) -> np.ndarray:
        """Return a layer's bias at a quality in real units, exactly."""
        integers = interpolate_integers(self.biases[_bias_name(name)][slot], quality_q4)
        x = context.FEATURE if name == "w1" else HIDDEN
        exponent = self.kernels[name].exponent[_bank(name, slot)].astype(np.int32)
        if name == "w1" and slot == 0:
            exponent = np.full_like(exponent, _FREE_BIAS_FRAC - x.frac)
        return exact.real_bias(integers, exponent, x)


_BIAS = {"w1": "b1", "w2": "b2", "u": "bu", "o": "bo"}


def _bias_name(name: str) -> str:
    return _BIAS.get(name) or _BIAS[name[0]] + name[1:]


def _bank(name: str, slot: int) -> int:
    # The coarsest grid has no taps; its first layer multiplies zeros, so any bank of w1 will do.
    return 0 if name == "w1" and slot == 0 else SLOTS[slot].bank


def _layers(p: dict[str, np.ndarray], config: ProgressiveConfig) -> dict[str, tuple[np.ndarray, np.ndarray, Fixed]]:
    """Kernel, bias and input format of every exact layer."""
    layers = {"w1": (p["w1"], p["b1"], context.FEATURE), "w2": (p["w2"], p["b2"], HIDDEN)}
    for g in range(config.groups):
        known = config.hidden + 2 * g * config.group_size
        layers[f"u{g}"] = (p["u"][:, g, :known], p["bu"][:, g], HIDDEN)
        layers[f"o{g}"] = (p["o"][:, g], p["bo"][:, g], HIDDEN)
    return layers


class ProgressiveStep:
    """One step: a channel group of one slot at all its positions, in row-major order, channels last."""

    def __init__(self, run: "_SlotRun", group: int):
        self._run, self._group = run, group
        size = run.model.config.group_size
        self._channels = slice(group * size, (group + 1) * size)
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
        # Beyond 4096 steps any mean ends at the bound; clipped first, the sum fits 32 bits.
        values = np.clip(symbols.reshape(self._mean.shape), -4096, 4096) * 16 + self._mean
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
        for start, stop, size in chunks(count):
            taps = np.zeros((size, SIGNED_TAPS + TAPS, config.channels), np.int8)
            if grid is not None and phase is not None:
                grid.gather(phase, columns, start, stop, taps[: stop - start])
            padded = start + size
            self._chunks.append((slice(start, padded), _trunk(taps, *arguments)))
        self._centre = np.zeros((padded, 2 * (config.channels - config.group_size)), np.int8)
        coder.network_calls += 1

    def head(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        """Evaluate the head of a group at all positions."""
        size = self.model.config.group_size
        mean = np.empty((len(self._centre), size), np.int16)
        index = np.empty((len(self._centre), size), np.uint8)
        arguments = [*self._coder.layer(f"u{group}", self.slot), *self._coder.layer(f"o{group}", self.slot)]
        which = np.int32(group)
        # Started all at once, they keep every core busy.
        started = [(rows, _head(*features, which, self._centre[rows], *arguments)) for rows, features in self._chunks]
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


def chunks(count: int) -> Iterator[tuple[int, int, int]]:
    """Cut `count` rows into (start, stop, padded size) of the fixed chunk sizes."""
    start = 0
    while start < count:
        size = next((size for size in CHUNKS if size >= count - start), CHUNKS[-1])
        yield start, min(start + size, count), size
        start += size


class ProgressiveCoder:
    """Iterates over the steps of one latent; the decoded values are complete after the last.

    Attributes:
      values_q4: int16 `[h, w, C]`, 16 times the quantised latent, after the iteration.
      network_calls: evaluated so far (tiles of one call counted once).
    """

    def __init__(self, model: FrozenProgressive, quality_q4: int, height: int, width: int):
        self.model, self._quality = model, quality_q4
        self._sizes = [(height >> s, width >> s) for s in range(SCALES + 1)]
        self.network_calls = 0
        self.values_q4 = np.zeros((height, width, model.config.channels), np.int16)

    def layer(self, name: str, slot: int) -> tuple[jax.Array, jax.Array]:
        """Kernel and bias of a layer at this quality."""
        kernel = self.model.kernel_on_device(name, _bank(name, slot))
        return kernel, self.model.bias_on_device(name, slot, self._quality)

    def taps(self, slot: int) -> tuple[jax.Array, jax.Array]:
        """Real values of the linear taps of a slot."""
        return self.model.taps_on_device(slot)

    def _steps(self, run: _SlotRun) -> Iterator[ProgressiveStep]:
        for group in range(self.model.config.groups):
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
