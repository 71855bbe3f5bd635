"""Sizes of the recurrent model, its network, and the way from scale to scale: pure functions of prepared layers."""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from jaxicm.entropy import context, gaussian
from jaxicm.entropy.schedule import PRESETS, Schedule
from jaxicm.nn import exact
from jaxicm.nn.exact import Fixed
from jaxicm.nn.exact_conv import ACTIVATION, Block, Conv, activate, conv, residual
from jaxicm.ops.quantize import clip_towards, floor_ste
from jaxicm.ops.space import depth_to_space, enlarge

MEAN = Fixed(context.VALUE_FRAC, -2047, 2047)
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
    return fit(enlarge(values, 2), height, width)


def fit(x: Array, height: int, width: int) -> Array:
    """Repeat the last row and column of `[B, h, w, C]` up to `height` x `width`, each at most one larger."""
    return jnp.pad(x, ((0, 0), (0, height - x.shape[1]), (0, width - x.shape[2]), (0, 0)), mode="edge")
