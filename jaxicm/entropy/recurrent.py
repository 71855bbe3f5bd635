"""The paper's multi-scale progressive (MSP) probability model: one network for all steps, with recurrent context.

The coarsest grid is coded with the factorised prior. Each finer grid starts from the nearest-neighbour upsampled
coarser one; a step evaluates the network on the whole grid (known values, predictions of the unknown ones, a mask of
what is known, and the context z), codes its entries and writes them back. z is carried from step to step and, through
an upsampling convolution, from scale to scale. The number of evaluations depends on the schedule only, 27 for profile
base and 120 for extra, but each covers the whole grid: extra costs about 1.5 MMAC a pixel.

Source: system S4, Zhang et al., arXiv 2210.04112; network and order as read in the VCM reference software
(specification 2.5). Deviations: all arithmetic is exact (`nn.exact_conv`); decoded values enter as companded bytes
(`entropy.context`) and activations are clipped to [-8, 8]; means are multiples of 1/16 and scales one of 64; an entry
whose scale is the smallest is not coded; the last convolution reads the clipped z.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.entropy import context, gaussian
from jaxicm.entropy.factorized import Factorized
from jaxicm.entropy.schedule import PRESETS, Schedule, effective_scales
from jaxicm.nn import exact
from jaxicm.nn.exact import Fixed
from jaxicm.nn.exact_conv import (
    ACTIVATION,
    Block,
    Conv,
    activate,
    conv,
    quantize_conv,
    quantize_slope,
    residual,
)
from jaxicm.ops.quantize import clip_towards, floor_ste, round_ste, straight_through
from jaxicm.ops.space import depth_to_space

MEAN = Fixed(context.VALUE_FRAC, -2047, 2047)
VALUE_MIN, VALUE_MAX = context.VALUE.low / 16, context.VALUE.high / 16
START_SCALE = 1.0
"""Standard deviation that an untrained network predicts, in quantisation steps."""
MAX_CHANNELS = 256 - gaussian.SCALE_COUNT
"""Table indices are bytes: 64 Gaussians, then one table a channel."""


@dataclass(frozen=True)
class RecurrentConfig:
    """Sizes of the recurrent model; the defaults are the paper's profile base.

    Attributes:
      channels: of the latent, at most `MAX_CHANNELS`.
      features: of the network and of the context z.
      blocks: residual blocks.
      order: name of a preset in `entropy.schedule.PRESETS`.
      carry_z: whether z is carried from step to step; if not, each step of a scale gets the z of the coarser scale.
    """

    channels: int = 128
    features: int = 64
    blocks: int = 5
    order: str = "msp_base"
    carry_z: bool = True

    def __post_init__(self):
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise ValueError(f"channels must be in [1, {MAX_CHANNELS}], got {self.channels}")
        if self.order not in PRESETS:
            raise ValueError(f"order must be one of {', '.join(PRESETS)}, got {self.order!r}")

    @property
    def schedule(self) -> Schedule:
        """The coding order of a latent that has all scales."""
        return PRESETS[self.order](self.channels)

    @property
    def convolutions(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of each 3x3 convolution."""
        c, f = self.channels, self.features
        blocks = {f"block{i}{half}": (f, f) for i in range(self.blocks) for half in "ab"}
        return {"enter": (2 * c + f, f), **blocks, "context": (f, f), "head": (f, 2 * c), "upsample": (f, 4 * f)}

    @property
    def slopes(self) -> dict[str, int]:
        """Number of PReLU slopes after each convolution that has them."""
        return {"enter": 1} | {f"block{i}{half}": self.features for i in range(self.blocks) for half in "ab"}


BASE = RecurrentConfig()
"""Profile "base": 27 network evaluations, 0.89 M parameters."""
EXTRA = RecurrentConfig(features=128, order="msp_extra")
"""Profile "extra": 120 network evaluations, 2.96 M parameters."""


class Layers(NamedTuple):
    """Real values of all layers, from training (`Recurrent`) or frozen weights alike."""

    enter: Conv
    enter_slope: Array
    blocks: tuple[Block, ...]
    context: Conv
    head: Conv
    upsample: Conv

    @classmethod
    def assemble(cls, convolutions: dict[str, Conv], slopes: dict[str, Array]) -> "Layers":
        """Arrange layers that are given by the names of `RecurrentConfig`."""
        names = [(f"block{i}a", f"block{i}b") for i in range((len(slopes) - 1) // 2)]
        blocks = tuple(Block(convolutions[a], slopes[a], convolutions[b], slopes[b]) for a, b in names)
        enter, context_, head, upsample = (convolutions[n] for n in ("enter", "context", "head", "upsample"))
        return cls(enter, slopes["enter"], blocks, context_, head, upsample)


def network(layers: Layers, z: Array, y: Array, known: Array) -> tuple[Array, Array, Array]:
    """Evaluate the network of one step on a whole grid.

    Args:
      layers: weights.
      z: `[B, h, w, F]` context, real values of `ACTIVATION`.
      y: `[B, h, w, C]` decoded values in steps, predictions where unknown; multiples of 1/16.
      known: bool `[B, h, w, C]`.

    Returns:
      New context `[B, h, w, F]`, mean `[B, h, w, C]` in steps (a multiple of 1/16), scale index `[B, h, w, C]` (an
      integer in [0, 63], real-valued).
    """
    unit = 2.0**-ACTIVATION.frac
    z = next_context(layers, jnp.concatenate([context.compand_ste(y) * unit, known.astype(jnp.float32), z], axis=-1))
    mean, log_scale = jnp.split(conv(z, layers.head), 2, axis=-1)
    index = floor_ste(log_scale * gaussian.SCALES_PER_NAT + 0.5)
    return z, exact.requantize(mean, MEAN), clip_towards(index, 0, gaussian.SCALE_COUNT - 1)


def next_context(layers: Layers, x: Array) -> Array:
    """Compute the new context `[B, h, w, F]` from all inputs `[B, h, w, inputs]`, real values of `ACTIVATION`."""
    x = activate(conv(x, layers.enter), layers.enter_slope)
    for block in layers.blocks:
        x = residual(x, block)
    return exact.requantize(conv(x, layers.context), ACTIVATION)


def upsample_context(layers: Layers, z: Array, height: int, width: int) -> Array:
    """Bring the context `[B, h, w, F]` to the next finer grid of `height` x `width`."""
    z = depth_to_space(exact.requantize(conv(z, layers.upsample), ACTIVATION), 2)
    return fit(z, height, width)


def upsample_values(values: Array, height: int, width: int) -> Array:
    """Repeat the values `[B, h, w, C]` of the coarser grid; position (2i+1, 2j+1) is exactly value (i, j)."""
    return fit(jnp.repeat(jnp.repeat(values, 2, axis=1), 2, axis=2), height, width)


def fit(x: Array, height: int, width: int) -> Array:
    """Repeat the last row and column of `[B, h, w, C]` up to `height` x `width`, each at most one larger."""
    return jnp.pad(x, ((0, 0), (0, height - x.shape[1]), (0, width - x.shape[2]), (0, 0)), mode="edge")


class Trained(NamedTuple):
    """Trainable parameters of all layers, by the names of the configuration."""

    kernels: dict[str, Array]
    biases: dict[str, Array]
    slopes: dict[str, Array]


def declare_layers(
    module: nn.Module,
    convolutions: Mapping[str, tuple[int, int]],
    slopes: Mapping[str, int],
    start_head: nn.initializers.Initializer,
) -> Trained:
    """Declare the parameters of a network in the `setup` of its module.

    Args:
      module: that holds them.
      convolutions: inputs and outputs by name.
      slopes: counts by name.
      start_head: first values of the bias of "head"; its kernel starts small, all other biases at zero.

    Returns:
      The parameters.
    """
    kernels, biases = {}, {}
    for name, (inputs, outputs) in convolutions.items():
        kernel, bias = nn.initializers.lecun_normal(), nn.initializers.zeros
        if name == "head":  # the first predictions are nearly those of the bias
            kernel, bias = nn.initializers.normal(0.01), start_head
        kernels[name] = module.param(f"{name}_kernel", kernel, (3, 3, inputs, outputs))
        biases[name] = module.param(f"{name}_bias", bias, (outputs,))
    start = nn.initializers.constant(0.25)
    return Trained(kernels, biases, {n: module.param(f"{n}_slope", start, (count,)) for n, count in slopes.items()})


def round_layers(trained: Trained) -> Layers:
    """Round trainable parameters to what coding uses, with straight-through gradients."""
    convolutions = {name: quantize_conv(kernel, trained.biases[name]) for name, kernel in trained.kernels.items()}
    return Layers.assemble(convolutions, {name: quantize_slope(slope) for name, slope in trained.slopes.items()})


class Recurrent(nn.Module):
    """The trainable model: the rate of a latent and its quantised values.

    Attributes:
      config: sizes.
    """

    config: RecurrentConfig

    def setup(self):
        self.trained = declare_layers(self, self.config.convolutions, self.config.slopes, _start_bias)
        self.prior = Factorized(self.config.channels)

    def layers(self) -> Layers:
        """Round the weights to what coding uses."""
        return round_layers(self.trained)

    def declare(self, y: Array) -> None:
        """Create the parameters without running the steps; `y` is a latent `[B, h, w, C]`."""
        self.prior(y)

    def __call__(self, y: Array, position: Array | None, key: Array) -> tuple[Array, Array]:
        """Estimate the rate and quantise.

        Args:
          y: `[B, h, w, C]` latents in quantisation steps, of any size.
          position: not used; one model serves one rate, as in the paper.
          key: of the uniform noise that stands for rounding in the rate.

        Returns:
          Quantised latents `[B, h, w, C]` (straight-through) and bits `[B]`.
        """
        del position
        layers, schedule = self.layers(), self.config.schedule
        noise = jax.random.uniform(key, y.shape, minval=-0.5, maxval=0.5)
        scales = effective_scales(schedule.scales, *y.shape[1:3])
        grids = [(y, noise)]
        for _ in range(scales):
            grids.append((grids[-1][0][:, 1::2, 1::2], grids[-1][1][:, 1::2, 1::2]))
        steps = schedule.for_size(*y.shape[1:3]).steps
        bits = self.prior(grids[-1][0] + grids[-1][1]).sum(axis=(1, 2, 3))  # also makes its parameters
        values, z = jnp.zeros_like(grids[-1][0]), jnp.zeros((*grids[-1][0].shape[:3], self.config.features))
        known = jnp.zeros(values.shape, bool)
        if steps[0].prior:
            values = clip_towards(round_ste(grids[-1][0]), VALUE_MIN, VALUE_MAX)
        else:
            bits = jnp.zeros_like(bits)
        for scale in reversed(range(scales + 1)):
            target, target_noise = grids[scale]
            height, width, channels = target.shape[1:]
            if scale < scales:
                values, z = upsample_values(values, height, width), upsample_context(layers, z, height, width)
                known = jnp.zeros(values.shape, bool).at[:, 1::2, 1::2].set(True)
            masks = [s.grid_mask(height, width, channels) for s in steps if s.scale == scale and not s.prior]
            if masks:
                values, z, more = self._scale(layers, z, values, known, target, target_noise, np.stack(masks))
                bits += more
        return values, bits

    def _scale(
        self, layers: Layers, z: Array, values: Array, known: Array, target: Array, noise: Array, masks: np.ndarray
    ) -> tuple[Array, Array, Array]:
        """Code the steps of one scale: decoded values, last context, bits `[B]`."""

        # Only the carried state of each of the up to 120 evaluations is kept; the backward pass runs them again.
        @jax.checkpoint
        def step(carry, mask):
            given, _, y, seen = carry
            after, mean, index = network(layers, given, y, seen)
            distance = target - mean
            symbol = round_ste(distance)
            symbol = jnp.where(index > 0, symbol, straight_through(jnp.zeros_like(symbol), symbol))
            value = clip_towards(symbol + mean, VALUE_MIN, VALUE_MAX)
            bits = gaussian.gaussian_bits(distance + noise, gaussian.scale_of_index(index))
            seen, y = seen | mask[None], jnp.where(mask[None], value, y)
            given = after if self.config.carry_z else given
            return (given, after, y, seen), jnp.where(mask[None], bits, 0.0).sum(axis=(1, 2, 3))

        (_, z, values, _), bits = jax.lax.scan(step, (z, z, values, known), jnp.asarray(masks))
        return values, z, bits.sum(axis=0)


def _start_bias(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    """Start with means of zero and scales of START_SCALE."""
    del key
    log_scale = float(gaussian.index_of_scale(np.array(START_SCALE))) / gaussian.SCALES_PER_NAT
    half = shape[0] // 2
    return jnp.concatenate([jnp.zeros(half, dtype), jnp.full(half, log_scale, dtype)])
