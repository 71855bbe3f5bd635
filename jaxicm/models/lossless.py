"""The lossless codec's model as a pure function: reversible colours, then the pixel model.

Source: system S7, see `entropy.pixels`.
"""

from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from jaxicm.entropy.masked import Masked, MaskedConfig
from jaxicm.entropy.pixels import CHANNELS, PixelConfig, Pixels
from jaxicm.errors import ConfigError
from jaxicm.ops import colour

CHANNEL_RANGES = {
    "none": ((0, 255),) * 3,
    "ycocg": ((0, 255), (-255, 255), (-255, 255)),
    "green": ((0, 255), (-255, 255), (-255, 255)),
}
"""Bounds of 8-bit samples after each colour transform."""
CHROMA_ZERO = 128
"""Added to chroma in training."""


@dataclass(frozen=True)
class LosslessConfig:
    """Everything that fixes the codec's networks.

    Attributes:
      pixels: sizes of the pixel model.
      colour: the reversible transform it was trained with, a name of `ops.colour.COLOURS`.
      masked: use this network of the paper instead, on the colours as they are; `pixels` is without effect then.
    """

    pixels: PixelConfig = field(default_factory=PixelConfig)
    colour: str = "ycocg"
    masked: MaskedConfig | None = None

    def __post_init__(self):
        if self.colour not in colour.COLOURS:
            raise ConfigError(f"colour: found {self.colour!r}, must be one of {', '.join(colour.COLOURS)}")
        if self.masked is not None and self.colour != "none":
            raise ConfigError(f"colour: found {self.colour!r}, must be none with the network of the paper")

    @property
    def scales(self) -> int:
        """Most subsamplings."""
        return self.pixels.scales if self.masked is None else self.masked.scales

    @property
    def steps(self) -> int:
        """Sequential steps of coding a picture of any size: each channel of each phase of each scale."""
        phases = self.pixels.phases if self.masked is None else self.masked.order
        return self.scales * len(phases) * CHANNELS


class LosslessModel(nn.Module):
    """Code lengths of 8-bit pictures."""

    config: LosslessConfig

    def setup(self):
        low, high = zip(*CHANNEL_RANGES[self.config.colour], strict=True)
        masked = self.config.masked
        self.pixels = (
            Masked(masked) if masked is not None else Pixels(self.config.pixels, low, high, self.config.colour)
        )

    def __call__(self, x: Array, grey: Array, scales: int | None = None, ycc: Array | None = None) -> Array:
        """Compute code lengths.

        Args:
          x: uint8 `[B, H, W, 3]`.
          grey: bool `[B]`, pictures of which only the first channel after the colour transform is coded.
          scales: subsamplings; by default those of the config.
          ycc: bool `[B]`, pictures that hold luma and two chroma channels plus 128, which are coded as they are;
            without it there are none.

        Returns:
          Bits `[B, scales, 3]`; the coarsest grid is not counted.
        """
        samples = colour.forward(x.astype(jnp.int32), self.config.colour, jnp)
        coded = jnp.where(grey[:, None], jnp.arange(CHANNELS) == 0, True)
        if ycc is not None:
            plain = x.astype(jnp.int32) - jnp.array([0, CHROMA_ZERO, CHROMA_ZERO])
            samples = jnp.where(ycc[:, None, None, None], plain, samples)
        samples = jnp.where(coded[:, None, None], samples, 0)
        if isinstance(self.pixels, Masked):
            return self.pixels(samples, scales) * coded[:, None]
        return self.pixels(samples, scales, ycc) * coded[:, None]


def initial_parameters(config: LosslessConfig, seed: int) -> dict[str, Any]:
    """Draw parameters at random."""
    side = 64
    model = LosslessModel(config)
    x = jnp.zeros((1, side, side, CHANNELS), jnp.uint8)
    return jax.jit(model.init, static_argnums=3)(jax.random.key(seed), x, jnp.zeros(1, bool), 1)["params"]
