"""The FBNetV3-A trunk and its inverted residuals, as D2Go's Mask R-CNN has them, in Flax.

Dai et al., "FBNetV3", https://arxiv.org/abs/2006.02049; names of layers from D2Go and mobile-vision (Apache-2.0).
"""

from typing import NamedTuple

import flax.linen as nn
from jax import Array

from jaxicm.tasks.convolution import Conv, Extent, clear_outside, halved, upsample


class Block(NamedTuple):
    """Sizes of an inverted residual: kernel, expanded channels (0: none), stride (UP doubles), output channels."""

    kernel: int
    expansion: int
    stride: int
    features: int


UP = -2


class InvertedResidual(nn.Module):
    """1x1 to more channels and ReLU, depthwise, 1x1 to fewer; the input is added where the shape stays."""

    block: Block

    @nn.compact
    def __call__(self, x: Array, extent: Extent = None) -> tuple[Array, Extent]:
        """Map `[B, H, W, C]` and the extent of the picture on it; see `convolution.Extent`."""
        kernel, expansion, stride, features = self.block
        y = nn.relu(Conv(expansion, name="pw.conv")(x)) if expansion else x
        if stride == UP:
            y = upsample(y)
        y = Conv(y.shape[-1], kernel, max(stride, 1), depthwise=True, name="dw.conv")(clear_outside(y, extent))
        y = Conv(features, name="pwl.conv")(y)
        if stride == 2:
            extent = halved(extent)
        return (x + y if stride == 1 and x.shape[-1] == features else y), extent


class Trunk(nn.Module):
    """Pictures to C4: 112 features at stride 16."""

    stages: tuple[tuple[Block, ...], ...]

    @nn.compact
    def __call__(self, x: Array, extent: Extent = None) -> tuple[Array, Extent]:
        """Map normalised pictures; the first convolution stands in front of the first stage's blocks."""
        x = nn.relu(Conv(16, 3, 2, name="trunk0.fbnetv2_0_0.conv")(clear_outside(x, extent)))
        extent = halved(extent)
        for s, stage in enumerate(self.stages):
            for i, block in enumerate(stage, start=1 if s == 0 else 0):
                x, extent = InvertedResidual(block, name=f"trunk{s}.fbnetv2_{s}_{i}")(x, extent)
        return clear_outside(x, extent), extent


class Sequence(nn.Module):
    """Inverted residuals in a row, each under the name that D2Go gives a head's layers."""

    blocks: tuple[Block, ...]

    @nn.compact
    def __call__(self, x: Array, extent: Extent = None) -> Array:
        for i, block in enumerate(self.blocks):
            x, extent = InvertedResidual(block, name=f"0.fbnetv2_0_{i}")(x, extent)
        return x


STAGES = (
    (Block(3, 0, 1, 16),),
    (Block(5, 64, 2, 32), Block(5, 64, 1, 32)),
    (Block(5, 128, 2, 40), *(Block(3, 120, 1, 40),) * 3),
    (
        Block(5, 160, 2, 72),
        *(Block(3, 216, 1, 72),) * 3,
        Block(5, 288, 1, 112),
        *(Block(5, 448, 1, 112),) * 3,
    ),
)
"""Of FBNetV3-A up to stride 16."""
