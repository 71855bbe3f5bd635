"""Filters behind a conventional decoder: networks that add what coding took away, told the QP of the picture.

`PlaneFilter` works on the planes of 4:2:0 video as the decoder leaves them. Ours packs each 2x2 luma samples and their
two chroma samples into one position, so that a convolution costs a quarter and sees twice as far; it is shown detail in
units of the quantiser's step, and what it finds is in that unit too, because what coding takes away has about that
size: so it learns in a few hundred steps. The papers' small filter (system S9: features at full size, chroma repeated,
planes as they are) is the same network without packing. `LateralFilter` is the
papers' autoencoder with lateral connections for RGB (systems S1 and S3; specification 2.9, read in the VCM reference
software). All begin as the identity.
"""

from dataclasses import dataclass
from typing import Any, Literal, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from jaxicm.models.res8 import PReLU, conv3x3
from jaxicm.ops.space import depth_to_space, enlarge, space_to_depth

QP_MIDDLE, QP_SPAN = 37.0, 10.0
"""Networks see (QP - QP_MIDDLE) / QP_SPAN."""
QP_DOUBLING = 6.0
"""QPs that double the quantiser's step."""
DETAIL = 4 / 255
"""Unit of detail at QP_MIDDLE, about the error that is left there."""
RESTORED = 0.25
"""Units of detail that an output of 1 is: first steps of the training move samples by less than a level."""


@dataclass(frozen=True)
class PlaneFilterConfig:
    """Sizes of a filter of planes.

    Attributes:
      width: features.
      blocks: 3x3 convolutions between the first and the last one.
      packing: luma samples along each side of a position: 2, or 1 as in the papers.
      residual: each block adds to its input what a 3x3 and a 1x1 convolution find; without, it is a 3x3 convolution.
    """

    width: int = 48
    blocks: int = 6
    packing: Literal[1, 2] = 2
    residual: bool = True

    @property
    def reach(self) -> int:
        """Luma samples by which the filter looks around; even."""
        layers = self.blocks + 2
        return 2 * (layers + 1) if self.packing == 2 else layers + layers % 2

    @property
    def macs_per_pixel(self) -> int:
        """Multiply-adds a luma sample, of the convolutions."""
        inputs, outputs = (10, 6) if self.packing == 2 else (4, 3)
        block = self.width**2 * (10 if self.residual else 9)
        return (9 * self.width * (inputs + outputs) + self.blocks * block) // self.packing**2


PAPER_PLANES = PlaneFilterConfig(width=32, blocks=8, packing=1, residual=False)
"""The small filter of system S9, with the sizes that the specification chose (K): they are not known."""


class PlaneFilter(nn.Module):
    """Filter the planes of 4:2:0 pictures."""

    config: PlaneFilterConfig

    @nn.compact
    def __call__(self, luma: Array, chroma: Array, qp: Array) -> tuple[Array, Array]:
        """Filter pictures.

        Args:
          luma: `[B, H, W, 1]` in [0, 1], even sides.
          chroma: `[B, H/2, W/2, 2]` in [0, 1].
          qp: `[B]`.

        Returns:
          Luma and chroma, not clipped.
        """
        c = self.config
        packed = c.packing == 2
        unit = (DETAIL * 2 ** ((qp - QP_MIDDLE) / QP_DOUBLING))[:, None, None, None]
        x = _details(luma, chroma, unit) if packed else jnp.concatenate([luma, enlarge(chroma, 2)], axis=-1) - 0.5
        level = jnp.broadcast_to(((qp - QP_MIDDLE) / QP_SPAN)[:, None, None, None], (*x.shape[:-1], 1))
        h = PReLU(name="first_act")(_conv(c.width, 3, "first")(jnp.concatenate([x, level], axis=-1)))
        for number in range(c.blocks):
            found = PReLU(name=f"act{number}")(_conv(c.width, 3, f"block{number}")(h))
            h = h + _conv(c.width, 1, f"mix{number}", 0.1)(found) if c.residual else found
        more = _conv(6 if packed else 3, 3, "last", 0.0)(h)
        if packed:
            more = RESTORED * unit * more
            return luma + depth_to_space(more[..., :4], 2), chroma + more[..., 4:]
        halved = nn.avg_pool(more[..., 1:], (2, 2), (2, 2))
        return luma + more[..., :1], chroma + halved


def _details(luma: Array, chroma: Array, unit: Array) -> Array:
    """Split packed planes into detail and the rest.

    Args:
      luma: `[B, H, W, 1]`.
      chroma: `[B, H/2, W/2, 2]`.
      unit: of detail, `[B, 1, 1, 1]`.

    Returns:
      `[B, H/2, W/2, 9]`: three differences within each 2x2 luma samples and what luma's mean and chroma have beyond
      the mean of 3x3 positions, in units and companded; luma's mean and chroma.
    """
    a, b, c, d = jnp.split(space_to_depth(luma, 2), 4, axis=-1)
    low = jnp.concatenate([(a + b + c + d) / 4, chroma], axis=-1)
    around = nn.avg_pool(low, (3, 3), padding="SAME")
    detail = jnp.concatenate([a - b + c - d, a + b - c - d, a - b - c + d, 4 * (low - around)], axis=-1) / 4
    return jnp.concatenate([jnp.arcsinh(detail / unit), low - 0.5], axis=-1)


def initial_parameters(config: PlaneFilterConfig, seed: int) -> dict[str, Any]:
    """Draw the parameters of a `PlaneFilter` at random; it is the identity."""
    luma, chroma = jnp.zeros((1, 8, 8, 1)), jnp.zeros((1, 4, 4, 2))
    # The hardware generator: see `models.image.initial_parameters`.
    key = jax.random.key(seed, impl="rbg")
    variables = jax.jit(PlaneFilter(config).init)(key, luma, chroma, jnp.full(1, QP_MIDDLE))
    return cast(dict[str, Any], variables["params"])


def _conv(features: int, size: int, name: str, scale: float = 2.0) -> nn.Conv:
    start = nn.initializers.variance_scaling(scale, "fan_in", "truncated_normal") if scale else nn.initializers.zeros
    return nn.Conv(features, (size, size), padding="SAME", kernel_init=start, name=name)


@dataclass(frozen=True)
class LateralFilterConfig:
    """Sizes of the autoencoder with lateral connections.

    Attributes:
      width: features of all stages.
      stages: each halves the size; a picture's sides must be divisible by 2**stages.
      inject: features that QP and resolution become in every stage; 0 tells the network neither.
    """

    width: int = 64
    stages: int = 3
    inject: int = 4

    @property
    def reach(self) -> int:
        """Pixels beyond which a pixel has no influence: 7 convolutions of each way at every size between the ends."""
        between = sum(2**stage * 2 * 7 for stage in range(1, self.stages))
        return 1 + between + 2**self.stages


LEAST_PIXELS, MOST_PIXELS = 99_840, 8_355_840
"""416x240 and 3840x2176: pictures between which the resolution that the papers' network is told goes from 0 to 1."""


class LateralFilter(nn.Module):
    """Filter RGB pictures: x + autoencoder(x)."""

    config: LateralFilterConfig

    @nn.compact
    def __call__(self, x: Array, qp: Array, pixels: Array | float = LEAST_PIXELS) -> Array:
        """Filter pictures.

        Args:
          x: `[B, H, W, 3]` in [0, 1], sides divisible by 2**stages.
          qp: `[B]`.
          pixels: of the whole picture, of which x may be a part.

        Returns:
          The same shape, not clipped.
        """
        c = self.config
        resolution = (jnp.asarray(pixels, jnp.float32) - LEAST_PIXELS) / (MOST_PIXELS - LEAST_PIXELS)
        known = jnp.stack([(qp - QP_MIDDLE) / QP_SPAN, jnp.broadcast_to(resolution, qp.shape)], axis=-1)
        h, taps = x, []
        for stage in range(c.stages):
            h = conv3x3(c.width, f"down{stage}", stride=2)(self._injected(h, known, f"inject_down{stage}"))
            if stage < c.stages - 1:
                h = PReLU(name=f"act_down{stage}")(h)
                taps.append(h)
                h = NestedBlocks(c.width, name=f"blocks_down{stage}")(h)
        for stage in reversed(range(c.stages)):
            last = stage == 0
            h = self._injected(h, known, f"inject_up{stage}")
            h = Enlarge(3 if last else c.width, zero=last, name=f"up{stage}")(h)
            if not last:
                h = PReLU(name=f"act_up{stage}")(h) + nn.Conv(c.width, (1, 1), name=f"lateral{stage}")(taps[stage - 1])
                h = NestedBlocks(c.width, name=f"blocks_up{stage}")(h)
        return x + h

    def _injected(self, h: Array, known: Array, name: str) -> Array:
        if not self.config.inject:
            return h
        told = PReLU(name=f"{name}_act")(nn.Dense(self.config.inject, name=name)(known))
        return jnp.concatenate([h, jnp.broadcast_to(told[:, None, None], (*h.shape[:3], told.shape[-1]))], axis=-1)


class Enlarge(nn.Module):
    """A transposed 3x3 convolution of stride 2, as a convolution and a pixel shuffle: XLA's own runs slowly on CPUs.

    An output at (2 i + a, 2 j + b) sees inputs (i, j) to (i + a, j + b); a 2x2 convolution to four times the features
    has all of these taps and a few more.
    """

    features: int
    zero: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        start = nn.initializers.zeros if self.zero else nn.initializers.variance_scaling(1.0, "fan_in", "normal")
        conv = nn.Conv(4 * self.features, (2, 2), padding=((0, 1), (0, 1)), kernel_init=start, name="conv")
        return depth_to_space(conv(x), 2)


class NestedBlocks(nn.Module):
    """ReLU(group(x) + conv1x1(x)) around a group of three residual blocks, the first two of which are the same one.

    The first two form a group of their own, wrapped alike. Both tied uses are how the reference software has it.
    """

    width: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        tied, last = BasicBlock(self.width, name="tied"), BasicBlock(self.width, name="last")
        inner = jax.nn.relu(tied(tied(x)) + nn.Conv(self.width, (1, 1), name="inner_skip")(x))
        return jax.nn.relu(last(inner) + nn.Conv(self.width, (1, 1), name="outer_skip")(x))


class BasicBlock(nn.Module):
    """ReLU(x + conv3x3(ReLU(conv3x3(x)))), without biases."""

    width: int

    def setup(self):
        start = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")
        self.first = nn.Conv(self.width, (3, 3), padding="SAME", use_bias=False, kernel_init=start)
        self.second = nn.Conv(self.width, (3, 3), padding="SAME", use_bias=False, kernel_init=start)

    def __call__(self, x: Array) -> Array:
        """Transform `[B, H, W, width]`."""
        return jax.nn.relu(x + self.second(jax.nn.relu(self.first(x))))
