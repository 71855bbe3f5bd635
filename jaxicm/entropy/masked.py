"""The paper's multi-scale progressive model of pixels: one recurrent network, with a mask of what is known.

The coarsest grid is coded without a model. Each finer grid starts from the nearest-neighbour upsampled coarser one; a
step evaluates the network on the whole grid (known samples, upsampled ones elsewhere, the mask, and the context z) and
codes one pixel of every cell, its channels one after the other. Which pixel that is follows a list, or the content: of
the pixels of a cell that are not known yet, the one with the largest (or smallest) predicted entropy. The decoder
finds the same one, as the network and the entropies are exact integers; nothing is signalled.

Source: system S7, Zhang et al., "Lossless image compression using a multi-scale progressive statistical model", ACCV
2020; network as in the successor's reference software (specification 2.5, A.6), mixture and coupling as in Salimans et
al., "PixelCNN++", arXiv 1701.05517. Deviations: all arithmetic is exact; means are relative to the upsampled samples;
coefficients are clipped to [-2, 2], not squashed by tanh; the mixture's weights are those of every channel, without a
posterior from the channels before.
"""

import itertools
import random
from dataclasses import dataclass
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.entropy.logistic_mixture import (
    MEAN_FRAC,
    SCALE_MAX,
    SCALE_ZERO,
    STEPS_PER_OCTAVE,
    WEIGHT_MAX,
    mixture_bits,
)
from jaxicm.entropy.pixel_order import CELLS
from jaxicm.entropy.recurrent import declare_layers, round_layers
from jaxicm.entropy.recurrent_network import Layers, next_context, upsample_context, upsample_values
from jaxicm.entropy.schedule import Position
from jaxicm.errors import ConfigError
from jaxicm.nn import exact
from jaxicm.nn.exact import Fixed
from jaxicm.nn.exact_conv import ACTIVATION, conv
from jaxicm.ops.quantize import clip_towards, floor_ste

CHANNELS = 3
"""Channels that the network is made for; grey pictures use the first alone and zeros for the others."""
COEFFICIENT = Fixed(6, -128, 128)
SHIFT = Fixed(8, -4095, 4095)
"""Format of means relative to the upsampled samples: sixteenths of a sample of 8 bits; one is 16 samples."""
OCTAVES = Fixed(3, -127, 127)
"""Format of scales and weights."""
START_OCTAVES = (0.0, 4.5)
"""Scales of the narrowest and the widest component before training, as logarithms of samples."""
START_COEFFICIENTS = (0.5, 0.25, 0.25)
"""Before training: of R in the mean of G, of R and of G in the mean of B."""
GUIDED = ("entropy", "inverse_entropy")


@dataclass(frozen=True)
class MaskedConfig:
    """Sizes and order of the model.

    Attributes:
      cell: repeated cell of pixels, a name of `pixel_order.CELLS`.
      kind: "fixed" (in the order of `CELLS`), "random" (the same positions, shuffled once), "entropy" (of each cell the
        least certain pixel first) or "inverse_entropy" (the most certain first).
      seed: of the shuffle.
      scales: most subsamplings; fewer where a side gets too short.
      features: of the network and of the context z.
      blocks: residual blocks.
      mixtures: logistics that make up a distribution.
      carry_z: whether z is carried from step to step; if not, each step of a scale gets the z of the coarser scale.
    """

    cell: str = "2x2"
    kind: Literal["fixed", "random", "entropy", "inverse_entropy"] = "fixed"
    seed: int = 0
    scales: int = 3
    features: int = 64
    blocks: int = 5
    mixtures: int = 10
    carry_z: bool = True

    def __post_init__(self):
        kinds = ("fixed", "random", *GUIDED)
        for key, holds, rule in (
            ("cell", self.cell in CELLS, f"must be one of {', '.join(CELLS)}"),
            ("kind", self.kind in kinds, f"must be one of {', '.join(kinds)}"),
            ("scales", 1 <= self.scales <= 5, "must be 1 to 5"),
            ("features", self.features >= 1, "must be at least 1"),
            ("blocks", self.blocks >= 0, "must not be negative"),
            ("mixtures", 1 <= self.mixtures <= 16, "must be 1 to 16"),
        ):
            if not holds:
                raise ConfigError(f"{key}: found {getattr(self, key)!r}, {rule}")

    @property
    def sides(self) -> Position:
        """Rows and columns of the cell."""
        return CELLS[self.cell][0]

    @property
    def order(self) -> tuple[int, ...]:
        """Positions of the cell in row-major order, as coded; a guided order has as many steps and ignores them."""
        positions = CELLS[self.cell][1]
        if self.kind == "random":
            positions = tuple(random.Random(self.seed).sample(positions, len(positions)))
        return tuple(row * self.sides[1] + column for row, column in positions)

    @property
    def convolutions(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of each 3x3 convolution."""
        f = self.features
        blocks = {f"block{i}{half}": (f, f) for i in range(self.blocks) for half in "ab"}
        outputs = (1 + 3 * CHANNELS) * self.mixtures
        return {"enter": (CHANNELS + 1 + f, f), **blocks, "context": (f, f), "head": (f, outputs),
                "upsample": (f, 4 * f)}  # fmt: skip

    @property
    def slopes(self) -> dict[str, int]:
        """Number of PReLU slopes after each convolution that has them."""
        return {"enter": 1} | {f"block{i}{half}": self.features for i in range(self.blocks) for half in "ab"}


class Parameters(NamedTuple):
    """Mixtures of K logistics for pixels, real values; with exact layers, integers in the units of `bits.mixture`.

    Attributes:
      weight: `[..., 1, K]` indices, the largest of a pixel is WEIGHT_MAX.
      shift: `[..., 3, K]` means relative to the upsampled samples, in sixteenths of a sample of 8 bits.
      scale: `[..., 3, K]` indices for samples of 8 bits.
      coefficient: `[..., 3, K]` in 1/64: of R for G, of R for B, of G for B.
    """

    weight: Array
    shift: Array
    scale: Array
    coefficient: Array


def network(layers: Layers, z: Array, samples: Array, known: Array, down: Array | float = 1.0) -> tuple[Array, Array]:
    """Evaluate the network of one step on a whole grid.

    Args:
      layers: weights.
      z: `[B, h, w, F]` context, real values of `ACTIVATION`.
      samples: int32 `[B, h, w, 3]`, known and upsampled ones.
      known: bool `[B, h, w]`.
      down: 2 to the power of 8 - depth, which brings samples to 8 bits.

    Returns:
      New context `[B, h, w, F]` and outputs `[B, h, w, 10 K]`, accumulators.
    """
    unit = 2.0**-ACTIVATION.frac
    # Samples of 8 bits are odd integers of the format, from -255 to 255, so none is rounded.
    centred = exact.requantize((samples.astype(jnp.float32) * (2 * down) - 255.0) * unit, ACTIVATION)
    z = next_context(layers, jnp.concatenate([centred, known.astype(jnp.float32)[..., None], z], axis=-1))
    return z, conv(z, layers.head)


def parameters(outputs: Array) -> Parameters:
    """Turn outputs `[..., 10 K]` of the network into mixtures."""
    count = outputs.shape[-1] // (1 + 3 * CHANNELS)
    split = outputs.reshape(*outputs.shape[:-1], 1 + 3 * CHANNELS, count)
    weight, shift, scale, coefficient = jnp.split(split, (1, 1 + CHANNELS, 1 + 2 * CHANNELS), axis=-2)
    weight = exact.requantize(weight, OCTAVES) * STEPS_PER_OCTAVE
    largest = jax.lax.stop_gradient(weight.max(axis=-1, keepdims=True))
    scale = exact.requantize(scale, OCTAVES) * STEPS_PER_OCTAVE + SCALE_ZERO
    return Parameters(
        clip_towards(weight - largest + WEIGHT_MAX, 0, WEIGHT_MAX),
        exact.requantize(shift, SHIFT) * 2.0**SHIFT.frac,
        clip_towards(scale, 0, SCALE_MAX),
        exact.requantize(coefficient, COEFFICIENT) * 2.0**COEFFICIENT.frac,
    )


def couple(coefficient: Array, distance: Array) -> Array:
    """Compute by how much the channels before move the means of a pixel.

    Args:
      coefficient: `[..., 3, K]` of `Parameters`.
      distance: real `[..., 3]`, how far the samples lie from the upsampled ones.

    Returns:
      `[..., 3, K]` in sixteenths of a sample, integers; zeros for the first channel.
    """
    red, green = distance[..., :1], distance[..., 1:2]
    of_green, of_blue = coefficient[..., 0, :] * red, coefficient[..., 1, :] * red + coefficient[..., 2, :] * green
    moved = jnp.stack([jnp.zeros_like(of_green), of_green, of_blue], axis=-2)
    return floor_ste(moved * 2.0 ** (MEAN_FRAC - COEFFICIENT.frac) + 0.5)


def predicted_entropy(found: Parameters) -> Array:
    """Measure the uncertainty of pixels by the scales of their mixtures, exactly.

    Args:
      found: mixtures `[...]`.

    Returns:
      int32 `[...]`: the weighted mean of the scale indices, summed over the channels, in quarters, rounded down. The
      weights are powers of two with straight lines in between.
    """
    index, scale = (jax.lax.stop_gradient(value).astype(jnp.int32) for value in (found.weight, found.scale))
    weight = jnp.left_shift(STEPS_PER_OCTAVE + index % STEPS_PER_OCTAVE, index // STEPS_PER_OCTAVE)[..., 0, :]
    # At most 16 * 2^15 * 3 * 167 * 4, so no integer overflows.
    return (weight * scale.sum(axis=-2)).sum(axis=-1) * 4 // weight.sum(axis=-1)


def to_cells(x: Array, sides: Position) -> Array:
    """Arrange a grid `[B, h, w, C]` as cells `[B, rows, columns, positions, C]`; zeros where the grid ends."""
    batch, height, width, channels = x.shape
    rows, columns = -(-height // sides[0]), -(-width // sides[1])
    x = jnp.pad(x, ((0, 0), (0, rows * sides[0] - height), (0, columns * sides[1] - width), (0, 0)))
    x = x.reshape(batch, rows, sides[0], columns, sides[1], channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, rows, columns, sides[0] * sides[1], channels)


def from_cells(x: Array, sides: Position, height: int, width: int) -> Array:
    """Undo `to_cells`."""
    batch, rows, columns, _, channels = x.shape
    x = x.reshape(batch, rows, columns, *sides, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, rows * sides[0], columns * sides[1], channels)[:, :height, :width]


def choose(config: MaskedConfig, outputs: Array, known: Array, position: Array) -> Array:
    """Choose the pixel of each cell that a step codes.

    Args:
      config: the order.
      outputs: `[B, h, w, 10 K]` of the network.
      known: bool `[B, h, w]`.
      position: int32 `[]`, the step's entry of `config.order`; guided orders do not use it.

    Returns:
      bool `[B, rows, columns, positions, 1]`, at most one of a cell's positions, and none that is known or outside.
    """
    unknown = to_cells(~known[..., None], config.sides)
    count = unknown.shape[3]
    if config.kind in GUIDED:
        entropy = to_cells(predicted_entropy(parameters(outputs))[..., None], config.sides)
        entropy = -entropy if config.kind == "inverse_entropy" else entropy
        # The first of equals wins, in row-major order.
        position = jnp.argmax(jnp.where(unknown, entropy, jnp.iinfo(jnp.int32).min), axis=3)[..., None]
    else:
        position = position.reshape(1, 1, 1, 1, 1)
    return (jnp.arange(count).reshape(1, 1, 1, -1, 1) == position) & unknown


def pick(x: Array, chosen: Array, sides: Position) -> Array:
    """Gather the values `[B, rows, columns, C]` of a grid `[B, h, w, C]` at the chosen pixels, zeros without one."""
    return jnp.where(chosen, to_cells(x, sides), 0).sum(axis=3)


class Masked(nn.Module):
    """The trainable model: code lengths of pictures of 8 bits.

    Attributes:
      config: sizes.
    """

    config: MaskedConfig

    def setup(self):
        self.trained = declare_layers(self, self.config.convolutions, self.config.slopes, _start_head)

    def __call__(self, x: Array, scales: int | None = None) -> Array:
        """Compute code lengths.

        Args:
          x: int32 `[B, H, W, 3]` samples in [0, 255]; sides of at least `2**scales`.
          scales: subsamplings; by default those of the config.

        Returns:
          Bits `[B, scales, 3]` of each scale and channel; the coarsest grid is not counted.
        """
        layers, grids = round_layers(self.trained), [x]
        for _ in range(self.config.scales if scales is None else scales):
            grids.append(grids[-1][:, 1::2, 1::2])
        z, found = None, []
        for target, coarser in reversed(list(itertools.pairwise(grids))):
            height, width = target.shape[1:3]
            if z is None:
                z = jnp.zeros((len(x), height, width, self.config.features))
            else:
                z = upsample_context(layers, z, height, width)
            z, bits = self._scale(layers, z, upsample_values(coarser, height, width), target)
            found.append(bits)
        return jnp.stack(found[::-1], axis=1)

    def _scale(self, layers: Layers, z: Array, start: Array, target: Array) -> tuple[Array, Array]:
        """Code the steps of one scale: last context, bits `[B, 3]`."""
        config = self.config
        batch, height, width, _ = target.shape
        distance = target - start

        # Only the carried state of each evaluation is kept; the backward pass runs them again.
        @jax.checkpoint
        def step(carry, position):
            given, _, known = carry
            samples = jnp.where(known[..., None], target, start)
            after, outputs = network(layers, given, samples, known)
            chosen = choose(config, outputs, known, position)
            at, away = pick(start, chosen, config.sides), pick(distance, chosen, config.sides)
            found = parameters(pick(outputs, chosen, config.sides))
            shift = found.shift + couple(found.coefficient, away.astype(jnp.float32))
            mean = at.astype(jnp.float32)[..., None] + shift * 2.0**-MEAN_FRAC
            value = (at + away).astype(jnp.float32)
            bits = mixture_bits(value, jnp.float32(0), jnp.float32(255), mean, found.scale, found.weight)
            bits = jnp.where(chosen.any(axis=3), bits, 0.0).sum(axis=(1, 2))
            known = known | from_cells(chosen, config.sides, height, width)[..., 0]
            return (after if config.carry_z else given, after, known), bits

        known = jnp.zeros((batch, height, width), bool).at[:, 1::2, 1::2].set(True)
        (_, z, _), bits = jax.lax.scan(step, (z, z, known), jnp.asarray(config.order, jnp.int32))
        return z, bits.sum(axis=0)


def _start_head(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    """Start with equal weights, the upsampled samples as means, and scales from narrow to wide."""
    del key
    count = shape[0] // (1 + 3 * CHANNELS)
    scales = np.linspace(*START_OCTAVES, count) if count > 1 else np.array([sum(START_OCTAVES) / 2])
    start = [np.zeros((1 + CHANNELS) * count), np.tile(scales, CHANNELS), np.repeat(START_COEFFICIENTS, count)]
    return jnp.asarray(np.concatenate(start), dtype)
