"""The image codec's networks as latent overfitting wants them."""

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import jax.numpy as jnp
from jax import Array

from jaxicm.entropy.progressive_rate import Options, code_latent
from jaxicm.entropy.recurrent_rate import code_grid
from jaxicm.entropy.surrogate import Rounding
from jaxicm.models.image import ImageConfig, ImageModel


class ImageArrays(NamedTuple):
    """Parameters at one quality.

    Attributes:
      transform: of `ImageModel`, without the probability model.
      layers: of the frozen probability model, `FrozenProgressive.layers` or `FrozenRecurrent.layers`.
      quality: scalar, 1..100.
    """

    transform: Any
    layers: Any
    quality: Array


@dataclass(frozen=True)
class ImageNetworks:
    """Probability model and synthesis of an image codec (see `adapt.latents.Networks`).

    Attributes:
      config: of the model.
      margin: how often the synthesis sees the last row and the last column of a whole latent again beyond them.
      fill: repeat the last row and column that exist at positions that do not, as the decoder does at the end of a
        picture that is smaller than its window.
    """

    config: ImageConfig
    margin: tuple[int, int] = (0, 0)
    fill: bool = False

    def code(
        self,
        arrays: ImageArrays,
        y: Array,
        rounding: Rounding,
        noise: Array | None,
        inside: Array,
        context_gradient: bool,
    ) -> tuple[Array, Array]:
        """Quantise latents `[B, h, w, C]`: values and bits `[B]`.

        The recurrent model sees whole latents only, so that all of its positions are `inside`.
        """
        if (sizes := self.config.recurrent) is not None:
            return code_grid(arrays.layers, sizes, y, rounding, noise=noise, context_gradient=context_gradient)
        options = Options(context_gradient=context_gradient)
        values, bits = code_latent(arrays.layers, y, rounding, noise=noise, inside=inside, options=options)
        return (_filled(values, inside) if self.fill else values), bits

    def decode(self, arrays: ImageArrays, values: Array) -> Array:
        """Compute pictures `[B, H, W, 3]`."""
        quality = jnp.broadcast_to(arrays.quality, values.shape[:1])
        model, (rows, columns) = ImageModel(self.config), self.margin
        height, width = (side * self.config.stride for side in values.shape[1:3])
        values = jnp.pad(values, ((0, 0), (0, rows), (0, columns), (0, 0)), mode="edge")
        pictures = model.apply({"params": arrays.transform}, values, quality, method="decode")
        return cast(Array, pictures)[:, :height, :width]


def _filled(values: Array, inside: Array) -> Array:
    """Repeat the last existing row and column of `[B, h, w, C]`; those that exist are the first ones."""
    for axis, exists in ((1, inside[:, :, :1]), (2, inside[:, :1])):
        at = jnp.cumsum(exists, axis=axis) - 1
        values = jnp.take_along_axis(values, jnp.maximum(at, 0), axis=axis)
    return values
