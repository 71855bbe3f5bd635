"""The image codec's networks as latent overfitting wants them."""

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import jax.numpy as jnp
from jax import Array

from jaxicm.entropy.progressive_rate import Options, Quantize, code_latent
from jaxicm.models.image import ImageConfig, ImageModel


class ImageArrays(NamedTuple):
    """Parameters at one quality.

    Attributes:
      transform: of `ImageModel`, without the probability model.
      layers: of the frozen probability model, `FrozenProgressive.layers`.
      quality: scalar, 1..100.
    """

    transform: Any
    layers: Any
    quality: Array


@dataclass(frozen=True)
class ImageNetworks:
    """Probability model and synthesis of an image codec (see `adapt.latents.Networks`)."""

    config: ImageConfig

    def code(
        self,
        arrays: ImageArrays,
        y: Array,
        quantize: Quantize,
        noise: Array | None,
        inside: Array,
        context_gradient: bool,
    ) -> tuple[Array, Array]:
        """Quantise latents `[B, h, w, C]`: values and bits `[B]`."""
        options = Options(context_gradient=context_gradient)
        return code_latent(arrays.layers, y, quantize, noise=noise, inside=inside, options=options)

    def decode(self, arrays: ImageArrays, values: Array) -> Array:
        """Compute pictures `[B, H, W, 3]`."""
        quality = jnp.broadcast_to(arrays.quality, values.shape[:1])
        model = ImageModel(self.config)
        return cast(Array, model.apply({"params": arrays.transform}, values, quality, method="decode"))
