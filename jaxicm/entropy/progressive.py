"""The multi-scale progressive (MSP) probability model of jaxicm, without recurrent context.

The latent is subsampled twice; the coarsest grid (one position of sixteen) is coded first. At each finer scale the
three unknown positions of every 2x2 cell follow in three phases, each in groups of channels: with four groups 28 steps
whatever the size of the picture. Every step is a small exact network of the decoded values around the position (its
taps) and of the lower channel groups at the position itself, and it runs only at the positions that are coded, so a
latent position costs one evaluation in all. The weights of a phase are shared by both scales; biases are not, and they
depend on the quality.

Source: the progressive order of system S4 (Zhang et al., arXiv 2210.04112); evaluation on coded positions only, dense
taps instead of a recurrent state, channel groups and integer arithmetic are ours.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.entropy import context, gaussian
from jaxicm.entropy.phases import PHASES, SIGNED_TAPS, SLOTS, TAPS, bank_of
from jaxicm.entropy.progressive_network import FREE_BIAS_FRAC, HIDDEN, quantize_taps
from jaxicm.entropy.progressive_parallel import code_latent_at_once
from jaxicm.entropy.progressive_rate import Head, Options, SlotLayers, code_latent
from jaxicm.entropy.surrogate import ROUNDED, Surrogate, rounding_of
from jaxicm.errors import ConfigError
from jaxicm.nn import exact
from jaxicm.nn.exact import Fixed

HEAD = ("u", "bu", "o", "bo")
"""Names of a head's parameters: kernel and bias of its first and of its second layer."""


@dataclass(frozen=True)
class ProgressiveConfig:
    """Sizes of the progressive model.

    Attributes:
      channels: of the latent.
      groups: of channels, all of one size, coded one after the other; divides `channels`.
      group_channels: sizes of the groups instead; without any there are `groups` of one size. Where the first ones are
        small, most channels are coded with those that say most already known.
      context_channels: the networks see this many of the first channels of decoded positions, which say most; the
        linear terms always see their own channel. 0 is all.
      hidden: width of the exact networks.
      anchors: number of quality anchors between which biases are interpolated.
    """

    channels: int = 320
    groups: int = 4
    hidden: int = 128
    anchors: int = 8
    group_channels: tuple[int, ...] = ()
    context_channels: int = 0

    def __post_init__(self):
        sizes = self.group_channels
        if sizes and (min(sizes) < 1 or sum(sizes) != self.channels):
            raise ConfigError(f"entropy.group_channels must be above 0 and make {self.channels} together, got {sizes}")
        if not sizes and self.channels % self.groups:
            raise ConfigError(f"channels must be divisible by groups, got {self.channels} and {self.groups}")
        if not 0 <= self.context_channels <= self.channels:
            raise ConfigError(f"entropy.context_channels must be in [0, {self.channels}], got {self.context_channels}")

    @property
    def seen(self) -> int:
        """Channels of decoded positions that the networks see."""
        return self.context_channels or self.channels

    @property
    def parts(self) -> tuple[slice, ...]:
        """Channels of each group, in the order of coding."""
        sizes = self.group_channels or (self.channels // self.groups,) * self.groups
        ends = list(itertools.accumulate(sizes))
        return tuple(slice(end - size, end) for end, size in zip(ends, sizes, strict=True))

    @property
    def most_known(self) -> int:
        """Channels that the last group knows."""
        return self.parts[-1].start

    @property
    def steps(self) -> int:
        """Sequential steps of coding a picture of any size."""
        return len(SLOTS) * len(self.parts)


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
    # In full precision on every device: of what is rounded next the coder knows the exact value.
    return jnp.einsum("bk,...kc->b...c", weights, anchors, precision=jax.lax.Precision.HIGHEST)


class Progressive(nn.Module):
    """The trainable model: the rate of a latent and its quantised values.

    Attributes:
      config: sizes.
      remat: keep only the values between the phases (or passes) for the backward pass, and compute the rest again.
    """

    config: ProgressiveConfig
    remat: bool = False

    def setup(self):
        c = self.config
        m, h, k, slots = c.channels, c.hidden, c.anchors, len(SLOTS)
        lecun = nn.initializers.variance_scaling(1.0, "fan_in", "normal", in_axis=-2, out_axis=-1)

        def centre_free(key, shape):
            # Rows of the lower groups start at zero: those of groups that are not decoded yet stay there.
            kernel = lecun(key, (*shape[:-2], h, shape[-1]))
            return jnp.concatenate([kernel, jnp.zeros((*shape[:-2], shape[-2] - h, shape[-1]))], axis=-2)

        zeros = nn.initializers.zeros
        self.w1 = self.param("w1", lecun, (3, (SIGNED_TAPS + TAPS) * c.seen, h))
        self.b1 = self.param("b1", nn.initializers.constant(0.1), (slots, k, h))
        self.w2 = self.param("w2", lecun, (4, h, h))
        self.b2 = self.param("b2", nn.initializers.constant(0.1), (slots, k, h))
        starts = {"u": centre_free, "bu": nn.initializers.constant(0.1), "o": nn.initializers.normal(0.02), "bo": zeros}
        shapes = head_shapes(c)
        self.heads = {name: self.param(name, starts[name.rstrip("0123456789")], shapes[name]) for name in shapes}
        self.taps_mu = self.param("taps_mu", zeros, (slots, SIGNED_TAPS, m))
        self.taps_log = self.param("taps_log", zeros, (slots, TAPS, m))

    def declare(self, y: Array) -> None:
        """Create the parameters; `setup` does, and `y` is not used."""
        del y

    def layers(self, position: Array) -> list[SlotLayers]:
        """Round the parameters to what coding uses, at qualities `position` `[B]` in anchor units."""
        kernels: dict[str, list[Array]] = {}
        exponents = []
        params = {"w1": self.w1, "b1": self.b1, "w2": self.w2, "b2": self.b2, **self.heads}
        for name, (kernel, biases, x) in (layers := exact_layers(params, self.config)).items():
            # A bank is shared by several slots and all qualities, so its exponent must suit their largest bias.
            bound = jax.lax.stop_gradient(jnp.max(jnp.abs(biases), axis=(0, 1)))
            exponent = exact.kernel_exponent(kernel, bound, x)
            kernels[name] = _unstack(exact.quantize_kernel(kernel, exponent))
            exponent = exponent[np.array([bank_of(name, slot) for slot in range(len(SLOTS))])] + (x.frac - HIDDEN.frac)
            # Where nothing is multiplied a bias has a unit of its own.
            exponents.append(exponent.at[0].set(FREE_BIAS_FRAC - HIDDEN.frac) if name == "w1" else exponent)
        # All biases at once: a product for each would be many for an accelerator, and small ones.
        biases = jnp.concatenate([biases for _, biases, _ in layers.values()], axis=-1)
        biases = exact.quantize_bias(interpolate(biases, position), jnp.concatenate(exponents, axis=-1), HIDDEN)
        sizes = [biases.shape[-1] for _, biases, _ in layers.values()]
        slots = []
        for slot, of_slot in enumerate(jax.lax.split(biases, (1,) * len(SLOTS), 1)):
            bias = dict(zip(layers, jax.lax.split(of_slot[:, None], sizes, -1), strict=True))

            def layer(name: str, slot: int = slot, bias: dict[str, Array] = bias) -> tuple[Array, Array]:
                return kernels[name][bank_of(name, slot)], bias[name]

            first = (None, bias["w1"]) if SLOTS[slot].phase is None else layer("w1")
            heads = tuple(Head(*layer(f"u{g}"), *layer(f"o{g}")) for g in range(len(self.config.parts)))
            taps = quantize_taps(self.taps_mu[slot]), quantize_taps(self.taps_log[slot])
            slots.append(SlotLayers(*first, *layer("w2"), heads, *taps))
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
        layers, rounding = self.layers(position), rounding_of(surrogate)
        if surrogate.passes:
            return code_latent_at_once(layers, y, rounding, passes=surrogate.passes, noise=noise, remat=self.remat)
        return code_latent(layers, y, rounding, noise=noise, pick=pick, options=Options(remat=self.remat))


def _unstack(banks: Array) -> list[Array]:
    """Take the matrices of `[banks, inputs, outputs]` apart; their gradients are joined in one go."""
    return [bank[0] for bank in jax.lax.split(banks, (1,) * len(banks), 0)]


def head_shapes(config: ProgressiveConfig) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the heads' parameters: stacked over groups of one size, else one for each group."""
    h, k, slots, groups = config.hidden, config.anchors, len(SLOTS), len(config.parts)
    if not config.group_channels:
        outputs = 2 * config.channels // groups
        sizes = {"u": (4, groups, h + 2 * config.channels, h), "bu": (slots, groups, k, h)}
        return {**sizes, "o": (4, groups, h, outputs), "bo": (slots, groups, k, outputs)}
    shapes: dict[str, tuple[int, ...]] = {}
    for g, part in enumerate(config.parts):
        outputs = 2 * (part.stop - part.start)
        shapes |= {f"u{g}": (4, h + 2 * part.start, h), f"bu{g}": (slots, k, h)}
        shapes |= {f"o{g}": (4, h, outputs), f"bo{g}": (slots, k, outputs)}
    return shapes


def head_parameters(params: Mapping[str, Any], config: ProgressiveConfig, group: int) -> tuple[Any, Any, Any, Any]:
    """Return kernel and bias of both layers of a group's head.

    Args:
      params: named as in `head_shapes`.
      config: sizes.
      group: its number.

    Returns:
      u `[4, H + known, H]`, bu `[slots, K, H]`, o `[4, H, 2 * size]` and bo `[slots, K, 2 * size]`.
    """
    if config.group_channels:
        u, bu, o, bo = (params[f"{name}{group}"] for name in HEAD)
        return u, bu, o, bo
    # Only the rows of known groups take part; the others are zero and stay so.
    known = config.hidden + 2 * config.parts[group].start
    u, bu, o, bo = (params[name][:, group] for name in HEAD)
    return u[:, :known], bu, o, bo


def exact_layers(params: Mapping[str, Any], config: ProgressiveConfig) -> dict[str, tuple[Any, Any, Fixed]]:
    """Return kernels of all banks, biases of all slots `[slots, K, outputs]` and the input's format of every layer."""
    layers = {"w1": (params["w1"], params["b1"], context.FEATURE), "w2": (params["w2"], params["b2"], HIDDEN)}
    for g in range(len(config.parts)):
        u, bu, o, bo = head_parameters(params, config, g)
        layers[f"u{g}"], layers[f"o{g}"] = (u, bu, HIDDEN), (o, bo, HIDDEN)
    return layers


def gaussian_start(std_steps: np.ndarray, config: ProgressiveConfig) -> dict[str, np.ndarray]:
    """Biases of the output layer that start every scale at the channel's standard deviation.

    Args:
      std_steps: `[K, C]` standard deviation of each channel at each quality anchor, in quantisation steps.
      config: sizes.

    Returns:
      Values for the parameters `bo`, named as in `head_shapes`.
    """
    log_scale = gaussian.index_of_scale(std_steps) / gaussian.SCALES_PER_NAT
    biases = []
    for part in config.parts:
        scales = log_scale[:, part]
        bo = np.concatenate([np.zeros_like(scales), scales], axis=-1)
        biases.append(np.broadcast_to(bo, (len(SLOTS), *bo.shape)).astype(np.float32))
    return {f"bo{g}": bo for g, bo in enumerate(biases)} if config.group_channels else {"bo": np.stack(biases, axis=1)}
