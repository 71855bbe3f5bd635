"""The stride-16 transforms of jaxicm: a linear block transform with a convolutional network beside it.

Both directions keep a 16x16 block KLT (a matrix product, or two: of 8x8 blocks, then of what four of them keep) and add
what the network finds. The networks work on a grid of 1/8 and 1/16 of the picture with plain 3x3 and 1x1 convolutions,
which run near the peak of CPUs and GPUs alike; and, if asked to, on 1/4 and 1/2, where an edge looks the same wherever
it lies, so that fewer pictures teach what edges are.
"""

import math
from dataclasses import dataclass

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from jaxicm.entropy.progressive import interpolate
from jaxicm.errors import ConfigError
from jaxicm.ops.space import depth_to_space, space_to_depth

STRIDE = 16
PATCH = 8
KLT = ("klt_block", "klt")
"""Names of the matrices of the block transform: of 8x8 blocks, and next to the latent."""


@dataclass(frozen=True)
class TransformConfig:
    """Sizes of a stage-16 transform pair.

    Attributes:
      channels: of the latent.
      block_channels: values that the KLT of an 8x8 block keeps, of 192; a second KLT, of four such blocks, makes the
        latent of them. With 80 both together have half of the parameters of one of 256 channels, and need 0.3 to 1.4 %
        more bits for the same squared error by the variances of photographs. 0 transforms blocks of 16x16 at once.
      fine_width: features on the 1/8 grid.
      coarse_width: features on the 1/16 grid.
      analysis_fine: residual blocks of the analysis on the 1/8 grid; analysis_coarse: on the 1/16 grid.
      synthesis_fine, synthesis_coarse: likewise.
      quarter_width: features on the 1/4 grid; 0 has none.
      half_width: features on the 1/2 grid, which needs the 1/4 grid; 0 has none.
      analysis_quarter, analysis_half, synthesis_quarter, synthesis_half: residual blocks there.
      fine_pixels: whether features on the 1/8 grid make pixels too where there is a finer grid, so that the finer one
        adds what it finds; a model can then grow to a finer grid without a change of what it computes.
      anchors: quality anchors of the feature modulation.
    """

    channels: int = 320
    block_channels: int = 0
    fine_width: int = 96
    coarse_width: int = 192
    analysis_fine: int = 3
    analysis_coarse: int = 1
    synthesis_fine: int = 4
    synthesis_coarse: int = 1
    quarter_width: int = 0
    half_width: int = 0
    analysis_quarter: int = 0
    analysis_half: int = 0
    synthesis_quarter: int = 0
    synthesis_half: int = 0
    fine_pixels: bool = False
    anchors: int = 8

    def __post_init__(self):
        if self.block_channels and not self.channels <= 4 * self.block_channels <= 4 * PATCH**2 * 3:
            raise ConfigError(
                f"transform.block_channels must be in [{-(-self.channels // 4)}, {PATCH**2 * 3}] for {self.channels} "
                f"channels, or 0; got {self.block_channels}"
            )
        if self.half_width and not self.quarter_width:
            raise ConfigError("transform.half_width needs features on the 1/4 grid too; set transform.quarter_width")
        if self.fine_pixels and not self.synthesis_quarter:  # with a block there `reach` holds for both ways to pixels
            raise ConfigError("transform.fine_pixels is for models with a finer grid; set transform.synthesis_quarter")
        for grid in ("quarter", "half"):
            blocks = getattr(self, f"analysis_{grid}") + getattr(self, f"synthesis_{grid}")
            if blocks and not getattr(self, f"{grid}_width"):
                raise ConfigError(f"transform: residual blocks without features; set transform.{grid}_width")

    @property
    def reach(self) -> int:
        """Latent positions by which the transforms look around: one for each 3x3 layer, half that on the 1/8 grid."""
        finer = [[self.analysis_half, self.synthesis_half, 8]] if self.half_width else []
        finer += [[self.analysis_quarter, self.synthesis_quarter, 4]] if self.quarter_width else []
        finer += [[self.analysis_fine, self.synthesis_fine, 2]]
        # where pixels come in and go out there is one layer more; on the 1/8 grid they come in by a 1x1 convolution
        finer[0][:2] = finer[0][0] + bool(self.quarter_width), finer[0][1] + 1
        layers = sum(max(blocks) / share for *blocks, share in finer)
        return math.ceil(max(self.analysis_coarse, self.synthesis_coarse) + layers)

    @property
    def klt_sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows and columns of the analysis' matrices named in `KLT`; without the first one it has no columns."""
        first = PATCH * PATCH * 3, self.block_channels
        return first, (4 * self.block_channels or STRIDE * STRIDE * 3, self.channels)

    @property
    def patch(self) -> int:
        """Pixels along a position of the finest grid."""
        return 2 if self.half_width else 4 if self.quarter_width else PATCH


PIXEL_SCALE = 0.05
"""Unit of the synthesis network's output: its first steps move pixels by a few levels, not by the whole range."""
BRANCH_LIMIT = 0.2
"""Largest unit of the analysis network's output, for the same reason."""


def conv(features: int, size: int, name: str, scale: float = 1.0) -> nn.Conv:
    """A zero-padded convolution with variance-preserving start, scaled by `scale`."""
    start = nn.initializers.variance_scaling(scale, "fan_in", "truncated_normal") if scale else nn.initializers.zeros
    return nn.Conv(features, (size, size), padding="SAME", kernel_init=start, name=name)


def _klt(module: "Analysis | Synthesis", which: int, backward: bool = False) -> Array:
    """Declare a matrix of the block transform, as numbered in `KLT`; that of the synthesis goes backward."""
    size = module.config.klt_sizes[which]
    return module.param(KLT[which], nn.initializers.orthogonal(), size[::-1] if backward else size)


class ResBlock(nn.Module):
    """x + conv1x1(act(conv3x3(x))), the residual branch starting small."""

    width: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        h = nn.leaky_relu(conv(self.width, 3, "spatial", 2.0)(x), 0.1)
        return x + conv(self.width, 1, "mix", 0.1)(h)


class Modulation(nn.Module):
    """Scale features by a factor of each channel that depends on the quality."""

    anchors: int

    @nn.compact
    def __call__(self, x: Array, position: Array) -> Array:
        log_gain = self.param("log_gain", nn.initializers.zeros, (self.anchors, x.shape[-1]))
        return (x * jnp.exp(interpolate(log_gain, position))[:, None, None]).astype(x.dtype)


class Analysis(nn.Module):
    """Pictures to latents in the signal's own unit (before the gain); `remat` recomputes blocks when going backward."""

    config: TransformConfig
    remat: bool = False

    @nn.compact
    def __call__(self, x: Array, position: Array) -> Array:
        """Transform `[B, H, W, 3]` in [-0.5, 0.5] (H, W divisible by 16) to `[B, H/16, W/16, C]`."""
        c = self.config
        std = self.param("std", nn.initializers.ones, (c.channels,))
        if c.block_channels:
            linear = space_to_depth(space_to_depth(x, PATCH) @ _klt(self, 0), 2) @ _klt(self, 1)
        else:
            linear = space_to_depth(x, STRIDE) @ _klt(self, 1)
        block = nn.remat(ResBlock) if self.remat else ResBlock
        h = conv(c.fine_width, 1, "embed", 1.0)(space_to_depth(x, PATCH) * 4.0)
        if c.quarter_width:
            h += conv(c.fine_width, 1, "quarter_down")(space_to_depth(self._quarter(x), 2))
        for i in range(c.analysis_fine):
            h = block(c.fine_width, name=f"fine{i}")(h)
        h = Modulation(c.anchors, name="modulate_fine")(h, position)
        h = conv(c.coarse_width, 1, "down")(space_to_depth(h, 2))
        for i in range(c.analysis_coarse):
            h = block(c.coarse_width, name=f"coarse{i}")(h)
        h = Modulation(c.anchors, name="modulate_coarse")(h, position)
        return linear + conv(c.channels, 1, "latent", 0.0)(h) * jnp.minimum(std, BRANCH_LIMIT)

    def _quarter(self, x: Array) -> Array:
        c, block = self.config, nn.remat(ResBlock) if self.remat else ResBlock
        finest = c.half_width or c.quarter_width
        h = conv(finest, 3, "pixels", 1.0)(space_to_depth(x, c.patch) * 4.0)
        if c.half_width:
            for i in range(c.analysis_half):
                h = block(c.half_width, name=f"half{i}")(h)
            h = conv(c.quarter_width, 1, "half_down")(space_to_depth(h, 2))
        for i in range(c.analysis_quarter):
            h = block(c.quarter_width, name=f"quarter{i}")(h)
        return h


class Synthesis(nn.Module):
    """Latents in the signal's own unit to pictures; `remat` as in `Analysis`."""

    config: TransformConfig
    remat: bool = False

    @nn.compact
    def __call__(self, y: Array, position: Array) -> Array:
        """Transform `[B, h, w, C]` to `[B, 16h, 16w, 3]` around [-0.5, 0.5]."""
        c = self.config
        std = self.param("std", nn.initializers.ones, (c.channels,))
        if c.block_channels:
            linear = depth_to_space(depth_to_space(y @ _klt(self, 1, True), 2) @ _klt(self, 0, True), PATCH)
        else:
            linear = depth_to_space(y @ _klt(self, 1, True), STRIDE)
        block = nn.remat(ResBlock) if self.remat else ResBlock
        h = conv(c.coarse_width, 1, "latent", 1.0)(y / std)
        h = Modulation(c.anchors, name="modulate_coarse")(h, position)
        for i in range(c.synthesis_coarse):
            h = block(c.coarse_width, name=f"coarse{i}")(h)
        h = depth_to_space(conv(4 * c.fine_width, 1, "up")(h), 2)
        h = Modulation(c.anchors, name="modulate_fine")(h, position)
        finer = (("quarter", c.quarter_width, c.synthesis_quarter), ("half", c.half_width, c.synthesis_half))
        for i in range(c.synthesis_fine):
            h = block(c.fine_width, name=f"fine{i}")(h)
        fine = h
        for grid, width, blocks in finer:
            if width:
                h = depth_to_space(conv(4 * width, 1, f"{grid}_up")(h), 2)
            for i in range(blocks):
                h = block(width, name=f"{grid}{i}")(h)
        pixels = depth_to_space(conv(3 * c.patch**2, 3, "pixels", 0.0)(h), c.patch)
        if c.fine_pixels:
            pixels += depth_to_space(conv(3 * PATCH**2, 3, "fine_pixels", 0.0)(fine), PATCH)
        return linear + PIXEL_SCALE * pixels
