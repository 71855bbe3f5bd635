"""Running the transforms of the image codec on pictures of any size, window by window."""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxicm.codecs import tiling, transform_arrays
from jaxicm.codecs.image_file import as_rgb
from jaxicm.models.image import ImageConfig, ImageModel
from jaxicm.ops.quantize import levels_of

WINDOWS = ((512, 768), (768, 512), (1120, 1120))
"""Shapes of the windows in pixels: few, so that at most eight functions are ever compiled for a model."""


class Transforms:
    """Analysis and synthesis with fixed parameters.

    Attributes:
      config: of the model.
      windows: shapes to choose from, in latent positions.
      reach: latent positions that windows must see beyond what is kept of them.
    """

    def __init__(self, config: ImageConfig, arrays: dict[str, np.ndarray]):
        self.config, self._arrays = config, arrays
        self.windows = [(rows // config.stride, columns // config.stride) for rows, columns in WINDOWS]
        self.reach = config.reach

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """Parameters of `ImageModel` without the probability model, on the device."""
        return jax.device_put(transform_arrays.from_arrays(self._arrays))

    @cached_property
    def _analysis(self) -> Callable[..., jax.Array]:
        model = ImageModel(self.config)

        @jax.jit
        def analysis(params, window, quality):
            x = window.astype(jnp.float32)[None] / 255.0
            return model.apply({"params": params}, x, quality[None], method="encode")[0]

        return partial(analysis, self.parameters)

    @cached_property
    def _synthesis(self) -> Callable[..., jax.Array]:
        model = ImageModel(self.config)

        @jax.jit
        def synthesis(params, window, quality):
            y_hat = window.astype(jnp.float32)[None] * (1 / 16)
            x = model.apply({"params": params}, y_hat, quality[None], method="decode")[0]
            return levels_of(x).astype(jnp.uint8)

        return partial(synthesis, self.parameters)

    def analyze(self, image: np.ndarray, quality: float) -> np.ndarray:
        """Transform a picture.

        Args:
          image: uint8 `[H, W, 3]` or `[H, W]`.
          quality: in 1..100.

        Returns:
          float32 `[h, w, C]` latents in quantisation steps, h and w the sides over the stride, rounded up.
        """
        rgb = as_rgb(image)
        stride = self.config.stride
        rows, columns = (-(-side // stride) for side in image.shape[:2])
        y = np.empty((rows, columns, self.config.channels), np.float32)
        for row, column in tiling.plan(rows, columns, self.windows, self.reach):
            window = self._analysis(tiling.cut(rgb, row, column, stride), np.float32(quality))
            tiling.paste(y, np.asarray(window), row, column)
        return y

    def synthesize(self, values_q4: np.ndarray, quality: float, size: tuple[int, int]) -> np.ndarray:
        """Transform quantised latents back.

        Args:
          values_q4: int16 `[h, w, C]`, 16 times the latents.
          quality: in 1..100.
          size: height and width of the picture.

        Returns:
          uint8 `[H, W, 3]`.
        """
        pixels = np.empty((*size, 3), np.uint8)
        rows, columns, _ = values_q4.shape
        for row, column in tiling.plan(rows, columns, self.windows, self.reach):
            window = self._synthesis(tiling.cut(values_q4, row, column), np.float32(quality))
            tiling.paste(pixels, np.asarray(window), row, column, self.config.stride)
        return pixels
