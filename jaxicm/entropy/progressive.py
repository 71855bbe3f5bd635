"""The multi-scale progressive (MSP) probability model of jaxicm, without recurrent context.

The latent is subsampled twice; the coarsest grid (one position of sixteen) is coded first. At each finer scale the
three unknown positions of every 2x2 cell follow in three phases, each in four groups of channels: 28 steps whatever
the size of the picture. Every step is a small exact network of the decoded values around the position (its taps) and
of the lower channel groups at the position itself, and it runs only at the positions that are coded, so a latent
position costs one evaluation in all. The weights of a phase are shared by both scales; biases are not, and they depend
on the quality.

Source: the progressive order of system S4 (Zhang et al., arXiv 2210.04112); evaluation on coded positions only, dense
taps instead of a recurrent state, channel groups and integer arithmetic are ours.
"""

import functools
from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.entropy import context, gaussian
from jaxicm.entropy.phases import PHASES, SIGNED_TAPS, SLOTS, TAPS
from jaxicm.entropy.progressive_network import HIDDEN, quantize_taps
from jaxicm.entropy.progressive_rate import Head, Options, SlotLayers, code_latent
from jaxicm.entropy.surrogate import ROUNDED, Surrogate, quantize
from jaxicm.nn import exact
from jaxicm.nn.exact import Fixed


@dataclass(frozen=True)
class ProgressiveConfig:
    """Sizes of the progressive model.

    Attributes:
      channels: of the latent.
      groups: of channels, coded one after the other; divides `channels`.
      hidden: width of the exact networks.
      anchors: number of quality anchors between which biases are interpolated.
    """

    channels: int = 320
    groups: int = 4
    hidden: int = 128
    anchors: int = 8

    def __post_init__(self):
        if self.channels % self.groups:
            raise ValueError(f"channels must be divisible by groups, got {self.channels} and {self.groups}")

    @property
    def group_size(self) -> int:
        """Channels of a group."""
        return self.channels // self.groups

    @property
    def steps(self) -> int:
        """Sequential steps of coding a picture of any size."""
        return len(SLOTS) * self.groups


def interpolate(anchors: Array, position: Array) -> Array:
    """Interpolate linearly between anchors.

    Args:
      anchors: `[..., K, C]`.
      position: `[B]` in [0, K-1].

    Returns:
      `[B, ..., C]`.
    """
    count = anchors.shape[-2]
    weights = jnp.maximum(0.0, 1.0 - jnp.abs(position[:, None] - jnp.arange(count)))
    return jnp.einsum("bk,...kc->b...c", weights, anchors)


class Progressive(nn.Module):
    """The trainable model: the rate of a latent and its quantised values.

    Attributes:
      config: sizes.
      remat: keep only the values between the phases for the backward pass, and compute the rest again.
    """

    config: ProgressiveConfig
    remat: bool = False

    def setup(self):
        c = self.config
        m, h, g, k, slots = c.channels, c.hidden, c.groups, c.anchors, len(SLOTS)
        lecun = nn.initializers.variance_scaling(1.0, "fan_in", "normal", in_axis=-2, out_axis=-1)

        def centre_free(key, shape):
            # Rows of the lower groups start at zero: those of groups that are not decoded yet stay there.
            kernel = lecun(key, (*shape[:-2], h, shape[-1]))
            return jnp.concatenate([kernel, jnp.zeros((*shape[:-2], shape[-2] - h, shape[-1]))], axis=-2)

        zeros = nn.initializers.zeros
        self.w1 = self.param("w1", lecun, (3, (SIGNED_TAPS + TAPS) * m, h))
        self.b1 = self.param("b1", nn.initializers.constant(0.1), (slots, k, h))
        self.w2 = self.param("w2", lecun, (4, h, h))
        self.b2 = self.param("b2", nn.initializers.constant(0.1), (slots, k, h))
        self.u = self.param("u", centre_free, (4, g, h + 2 * m, h))
        self.bu = self.param("bu", nn.initializers.constant(0.1), (slots, g, k, h))
        self.o = self.param("o", nn.initializers.normal(0.02), (4, g, h, 2 * c.group_size))
        self.bo = self.param("bo", zeros, (slots, g, k, 2 * c.group_size))
        self.taps_mu = self.param("taps_mu", zeros, (slots, SIGNED_TAPS, m))
        self.taps_log = self.param("taps_log", zeros, (slots, TAPS, m))

    def declare(self, y: Array) -> None:
        """Create the parameters; `setup` does, and `y` is not used."""
        del y

    def _quantized(self) -> dict[str, tuple[Array, Array]]:
        """Quantise all kernels once: name -> (kernel, exponent), or a tuple over groups of those."""

        def bank(kernel: Array, biases: Array, x: Fixed) -> tuple[Array, Array]:
            # A bank is shared by several slots and all qualities, so its exponent must suit their largest bias.
            bound = jax.lax.stop_gradient(jnp.max(jnp.abs(biases), axis=(0, 1)))
            exponent = exact.kernel_exponent(kernel, bound, x)
            return exact.quantize_kernel(kernel, exponent), exponent

        c = self.config
        layers = {"w1": bank(self.w1, self.b1, context.FEATURE), "w2": bank(self.w2, self.b2, HIDDEN)}
        for g in range(c.groups):
            # Only the rows of known groups take part; the others are zero and stay so.
            known = c.hidden + 2 * g * c.group_size
            layers[f"u{g}"] = bank(self.u[:, g, :known], self.bu[:, g], HIDDEN)
            layers[f"o{g}"] = bank(self.o[:, g], self.bo[:, g], HIDDEN)
        return layers

    def layers(self, position: Array) -> list[SlotLayers]:
        """Round the parameters to what coding uses, at qualities `position` `[B]` in anchor units."""
        c, kernels = self.config, self._quantized()

        def layer(name: str, biases: Array, slot: int, x: Fixed) -> tuple[Array, Array]:
            kernel, exponent = (a[SLOTS[slot].bank] for a in kernels[name])
            bias = interpolate(biases[slot], position)[:, None, None]
            return kernel, exact.quantize_bias(bias, exponent, x)

        slots = []
        for slot in range(len(SLOTS)):
            if SLOTS[slot].phase is None:
                first = None, interpolate(self.b1[slot], position)[:, None, None]
            else:
                first = layer("w1", self.b1, slot, context.FEATURE)
            second = layer("w2", self.b2, slot, HIDDEN)
            heads = tuple(
                Head(*layer(f"u{g}", self.bu[:, g], slot, HIDDEN), *layer(f"o{g}", self.bo[:, g], slot, HIDDEN))
                for g in range(c.groups)
            )
            taps = quantize_taps(self.taps_mu[slot]), quantize_taps(self.taps_log[slot])
            slots.append(SlotLayers(*first, *second, heads, *taps))
        return slots

    def __call__(
        self, y: Array, position: Array, key: Array | None = None, surrogate: Surrogate = ROUNDED
    ) -> tuple[Array, Array]:
        """Estimate the rate and quantise.

        Args:
          y: `[B, h, w, C]` latents in quantisation steps; h and w divisible by 4.
          position: `[B]` quality in anchor units, [0, anchors - 1].
          key: of the noise, if the surrogate needs one.
          surrogate: what stands for rounding. By default values and rate are those that the file will hold: the rate
            of noisy values is up to twice as large where most values are zero.

        Returns:
          Quantised latents `[B, h, w, C]` (straight-through) and bits `[B]`.
        """
        noise = pick = None
        if surrogate.random:
            assert key is not None
            noise_key, pick_key = jax.random.split(key)
            if surrogate.noisy:
                noise = jax.random.uniform(noise_key, y.shape, minval=-0.5, maxval=0.5)
            if surrogate.sample_phases:
                pick = jax.random.randint(pick_key, (), 0, len(PHASES))
        rounding = functools.partial(quantize, surrogate=surrogate)
        return code_latent(
            self.layers(position), y, rounding, noise=noise, pick=pick, options=Options(remat=self.remat)
        )


def gaussian_start(std_steps: np.ndarray, config: ProgressiveConfig) -> np.ndarray:
    """Biases of the output layer that start every scale at the channel's standard deviation.

    Args:
      std_steps: `[K, C]` standard deviation of each channel at each quality anchor, in quantisation steps.
      config: sizes.

    Returns:
      `[slots, G, K, 2*group]` values for the parameter `bo`.
    """
    log_scale = gaussian.index_of_scale(std_steps) / gaussian.SCALES_PER_NAT
    grouped = log_scale.reshape(config.anchors, config.groups, config.group_size).transpose(1, 0, 2)
    bo = np.concatenate([np.zeros_like(grouped), grouped], axis=-1)
    return np.broadcast_to(bo, (len(SLOTS), *bo.shape)).astype(np.float32)
