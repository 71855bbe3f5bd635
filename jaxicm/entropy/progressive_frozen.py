"""Integer parameters of the progressive model: frozen from training, stored with the weights, kept on the device."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxicm.bits.tables import Tables, gaussian_tables
from jaxicm.entropy import context, gaussian
from jaxicm.entropy.phases import SIGNED_TAPS, SLOTS, TAPS, bank_of
from jaxicm.entropy.progressive import HEAD, ProgressiveConfig, exact_layers
from jaxicm.entropy.progressive_coder import ProgressiveCoder
from jaxicm.entropy.progressive_network import FREE_BIAS_FRAC, HIDDEN, TAP_FRAC
from jaxicm.entropy.progressive_rate import Head, SlotLayers
from jaxicm.nn import exact
from jaxicm.nn.exact import FrozenKernel

QUALITY_STEPS = 16
"""Qualities are multiples of 1/16; the interpolation of biases is integer arithmetic on them."""
_BIASES_KEPT = 1024
"""Biases kept on the device: 70 for each quality, so those of the qualities that a search for a rate tries."""


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
        for name, (kernel, bias, x) in exact_layers(p, config).items():
            kernels[name] = exact.freeze_kernel(kernel, np.abs(bias).max(axis=(0, 1)), x)
            exponent = np.stack([kernels[name].exponent[bank_of(name, slot)] for slot in range(len(SLOTS))])[:, None]
            if name == "w1":
                exponent = exponent.astype(np.int32)
                exponent[0] = FREE_BIAS_FRAC - x.frac
            biases[_bias_name(name)] = exact.freeze_bias(bias, exponent, x)
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
        names = ["w1", "w2", *(f"{n}{g}" for g in range(len(config.parts)) for n in "uo")]
        kernels = {n: FrozenKernel(arrays[f"{n}.weight"], arrays[f"{n}.exponent"]) for n in names}
        biases = {_bias_name(n): arrays[_bias_name(n)] for n in names}
        return cls(config, kernels, biases, arrays["taps_mu"], arrays["taps_log"])

    def thaw(self) -> dict[str, np.ndarray]:
        """Return parameters of `Progressive` that stand for the same integers, to train on from a release."""
        c = self.config
        params: dict[str, np.ndarray] = {}
        for name, kernel in self.kernels.items():
            x = context.FEATURE if name == "w1" else HIDDEN
            exponent = np.stack([self.exponent(name, slot) for slot in range(len(SLOTS))])[:, None]
            params[name] = kernel.real()
            params[_bias_name(name)] = exact.real_bias(self.biases[_bias_name(name)], exponent, x)
        rows = c.hidden + 2 * c.channels
        for name in HEAD if not c.group_channels else ():
            groups = [params.pop(f"{name}{g}") for g in range(c.groups)]
            if name == "u":
                groups = [np.pad(g, ((0, 0), (0, rows - g.shape[1]), (0, 0))) for g in groups]
            params[name] = np.stack(groups, axis=1)
        unit = np.float32(2.0**-TAP_FRAC)
        return params | {"taps_mu": self.taps_mu * unit, "taps_log": self.taps_log * unit}

    def exponent(self, name: str, slot: int) -> np.ndarray:
        """Return the exponents that a layer's bias refers to in a slot, int32 `[outputs]`."""
        own = self.kernels[name].exponent[bank_of(name, slot)].astype(np.int32)
        if name == "w1" and SLOTS[slot].phase is None:
            return np.full_like(own, FREE_BIAS_FRAC - context.FEATURE.frac)
        return own

    def tables(self) -> Tables:
        """Build the coder's tables, one for each scale index. Done once, at release; they are never rebuilt."""
        return gaussian_tables(gaussian.scale_table())

    def macs_per_position(self) -> int:
        """Count the multiply-adds of coding one latent position, as they are run."""
        c = self.config
        rows = c.hidden + 2 * c.most_known
        trunk_macs = (SIGNED_TAPS + TAPS) * (c.seen * c.hidden + c.channels) + c.hidden**2
        return trunk_macs + c.hidden * (len(c.parts) * rows + 2 * c.channels)

    def coder(self, quality_q4: int, height: int, width: int) -> "ProgressiveCoder":
        """Start the steps of a latent of `height` x `width` positions at a quality (16 times 1..100)."""
        return ProgressiveCoder(self, quality_q4, height, width)

    def kernel_on_device(self, name: str, bank: int) -> jax.Array:
        """Return one bank of a kernel as real values on the device; `u` is padded to all groups."""
        if (name, bank) not in self._device:
            real = FrozenKernel(self.kernels[name].weight[bank], self.kernels[name].exponent[bank]).real()
            if name[0] == "u":
                rows = self.config.hidden + 2 * self.config.most_known
                real = np.pad(real, ((0, rows - len(real)), (0, 0)))
            self._device[name, bank] = jax.device_put(real)
        return self._device[name, bank]

    def bias_on_device(self, name: str, slot: int, quality_q4: int) -> jax.Array:
        """Return `bias_real` as an array on the device."""
        key = name, slot, quality_q4
        bias = self._biases.get(key)
        if bias is None:
            bias = jax.device_put(self.bias_real(name, slot, quality_q4))
            self._keep(key, bias)
        return bias

    def taps_on_device(self, slot: int) -> tuple[jax.Array, jax.Array]:
        """Return the real values of the linear taps of a slot."""
        if ("taps", slot) not in self._device:
            unit = np.float32(2.0**-TAP_FRAC)
            self._device["taps", slot] = jax.device_put((self.taps_mu[slot] * unit, self.taps_log[slot] * unit))
        return self._device["taps", slot]

    def layers(self, quality_q4: int) -> list[SlotLayers]:
        """Return all layers at a quality (16 times 1..100) as real values on the device, for `code_latent`."""
        groups = len(self.config.parts)

        def layer(name: str, slot: int) -> tuple[jax.Array, jax.Array]:
            bank = bank_of(name, slot)
            if ("whole", name, bank) not in self._device:
                kernel = FrozenKernel(self.kernels[name].weight[bank], self.kernels[name].exponent[bank])
                self._device["whole", name, bank] = jax.device_put(kernel.real())
            return self._device["whole", name, bank], self.bias_on_device(name, slot, quality_q4)

        found = []
        for slot, (_, phase) in enumerate(SLOTS):
            w1, b1 = layer("w1", slot)
            heads = tuple(Head(*layer(f"u{g}", slot), *layer(f"o{g}", slot)) for g in range(groups))
            first = (None if phase is None else w1), b1
            found.append(SlotLayers(*first, *layer("w2", slot), heads, *self.taps_on_device(slot)))
        return found

    def batch_layers(self, qualities_q4: tuple[int, ...]) -> list[SlotLayers]:
        """Return `layers` for pictures of several qualities: the kernels, and biases `[B, 1, 1, outputs]`."""
        if qualities_q4 not in self._biases:
            of_each = [self.layers(quality) for quality in qualities_q4]
            leaves, structure = jax.tree.flatten(of_each[0])
            biases = [[leaf for leaf in jax.tree.leaves(layers) if leaf.ndim == 1] for layers in of_each]
            stacked = iter(_stack_biases(biases))
            leaves = [next(stacked) if leaf.ndim == 1 else leaf for leaf in leaves]
            self._keep(qualities_q4, jax.tree.unflatten(structure, leaves))
        return self._biases[qualities_q4]

    def _keep(self, key: tuple, arrays: Any) -> None:
        while len(self._biases) >= _BIASES_KEPT:
            self._biases.pop(next(iter(self._biases)), None)  # another thread may do the same
        self._biases[key] = arrays

    def bias_real(self, name: str, slot: int, quality_q4: int) -> np.ndarray:
        """Return a layer's bias at a quality in real units, exactly."""
        integers = interpolate_integers(self.biases[_bias_name(name)][slot], quality_q4)
        x = context.FEATURE if name == "w1" else HIDDEN
        return exact.real_bias(integers, self.exponent(name, slot), x)


@jax.jit
def _stack_biases(of_each: list[list[jax.Array]]) -> list[jax.Array]:
    return [jnp.stack(biases)[:, None, None] for biases in zip(*of_each, strict=True)]


_BIAS = {"w1": "b1", "w2": "b2", "u": "bu", "o": "bo"}


def _bias_name(name: str) -> str:
    return _BIAS.get(name) or _BIAS[name[0]] + name[1:]
