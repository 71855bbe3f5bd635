"""The papers' residual autoencoder "Res": stride 8, 128 channels, no normalisation.

Source: specification 2.1 (read in the VCM reference software; used by NN-VVC; default of systems S2, S4, S6, S8).
In its residual block the activation comes before the sum, unlike in the original ResNet. Pixel shuffles order channels
(row, column, channel); the order of PyTorch is (channel, row, column), so imported weights need a permutation.
"""

from dataclasses import dataclass

import flax.linen as nn
from jax import Array

from jaxicm.ops.space import depth_to_space

STRIDE = 8


@dataclass(frozen=True)
class Res8Config:
    """Sizes of a Res transform pair.

    Attributes:
      channels: of the latent.
      width: features of all blocks.
    """

    channels: int = 128
    width: int = 128

    @property
    def reach(self) -> int:
        """Latent positions by which the transforms look around (the synthesis: 6, of which 2 in the first block)."""
        return 6


class PReLU(nn.Module):
    """max(x, 0) + slope * min(x, 0) with one learned slope."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        slope = self.param("slope", nn.initializers.constant(0.25), (1,))
        return nn.relu(x) - slope.reshape((1,) * x.ndim) * nn.relu(-x)


def conv3x3(features: int, name: str, stride: int = 1) -> nn.Conv:
    """A 3x3 convolution with one zero on every side, at any stride ("SAME" pads stride 2 on one side only)."""
    start = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")
    return nn.Conv(features, (3, 3), stride, ((1, 1), (1, 1)), kernel_init=start, name=name)


class PSConv2d(nn.Module):
    """conv3x3 to four times the features, then a pixel shuffle: twice the size."""

    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return depth_to_space(conv3x3(4 * self.features, "conv")(x), 2)


class ResBlock(nn.Module):
    """conv3x3, PReLU, conv3x3, PReLU, plus the shortcut.

    The shortcut is a strided conv3x3 if `stride` > 1, a conv1x1 if only the width changes, else the identity.
    """

    features: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        h = PReLU(name="first_act")(conv3x3(self.features, "first", self.stride)(x))
        h = PReLU(name="second_act")(conv3x3(self.features, "second")(h))
        if self.stride > 1:
            x = conv3x3(self.features, "shortcut", self.stride)(x)
        elif x.shape[-1] != self.features:
            x = nn.Conv(self.features, (1, 1), name="shortcut")(x)
        return h + x


class ResBlockUp(nn.Module):
    """A residual block that doubles the size: its first convolution and its shortcut are `PSConv2d`."""

    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        h = PReLU(name="first_act")(PSConv2d(self.features, name="first")(x))
        h = PReLU(name="second_act")(conv3x3(self.features, "second")(h))
        return h + PSConv2d(self.features, name="shortcut")(x)


class Analysis(nn.Module):
    """Pictures to latents."""

    config: Res8Config

    @nn.compact
    def __call__(self, x: Array, position: Array | None = None) -> Array:
        """Transform pictures.

        Args:
          x: `[B, H, W, 3]` in [-0.5, 0.5], H and W divisible by 8.
          position: not used; one pair of transforms serves one rate, as in the papers.

        Returns:
          `[B, H/8, W/8, channels]`.
        """
        del position
        width = self.config.width
        for i, stride in enumerate((2, 1, 2, 1)):
            x = ResBlock(width, stride, name=f"block{i}")(x)
        return conv3x3(self.config.channels, "latent", 2)(x)


class Synthesis(nn.Module):
    """Latents to pictures."""

    config: Res8Config

    @nn.compact
    def __call__(self, y: Array, position: Array | None = None) -> Array:
        """Transform latents `[B, h, w, channels]` to pictures `[B, 8h, 8w, 3]`, nominally in [-0.5, 0.5]."""
        del position
        width = self.config.width
        x = y
        for i in range(2):
            x = ResBlock(width, name=f"block{i}")(x)
            x = ResBlockUp(width, name=f"up{i}")(x)
        x = ResBlock(width, name="block2")(x)
        return PSConv2d(3, name="pixels")(x)
