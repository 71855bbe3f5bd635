"""The transforms of the image codec on the windows of several pictures together."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.codecs import tiling
from jaxicm.codecs.image_file import as_rgb
from jaxicm.codecs.tiling import Span
from jaxicm.codecs.transforms import Transforms
from jaxicm.models.image import ImageModel
from jaxicm.ops.quantize import levels_of


class _Window(NamedTuple):
    """A window of a picture of the batch."""

    picture: int
    row: Span
    column: Span


class WindowBatches:
    """Runs transforms on `at_once` windows at a time; windows are those of `Transforms`.

    Args:
      transforms: of the codec.
      at_once: windows in a call.
    """

    def __init__(self, transforms: Transforms, at_once: int):
        self._transforms, self._at_once = transforms, at_once

    @cached_property
    def _analysis(self) -> Callable[..., Array]:
        model = ImageModel(self._transforms.config)

        @jax.jit
        def analysis(params, y, windows, quality, picture, rows, columns):
            x = windows.astype(jnp.float32) / 255.0
            found = model.apply({"params": params}, x, quality, method="encode")
            # What is not kept of a window has places beyond the grid.
            return y.at[picture[:, None, None], rows[:, :, None], columns[:, None, :]].set(found, mode="drop")

        return analysis

    @cached_property
    def _synthesis(self) -> Callable[..., Array]:
        model = ImageModel(self._transforms.config)

        @jax.jit
        def synthesis(params, values, quality, picture, rows, columns):
            y_hat = values[picture[:, None, None], rows[:, :, None], columns[:, None, :]]
            x = model.apply({"params": params}, y_hat, quality, method="decode")
            assert isinstance(x, Array)
            return levels_of(x).astype(jnp.uint8)

        return synthesis

    def analyze(self, pictures: Sequence[np.ndarray], qualities: Sequence[float], shape: tuple[int, int, int]) -> Array:
        """Transform pictures, as `Transforms.analyze` does.

        Args:
          pictures: uint8 `[H, W, 3]` or `[H, W]`.
          qualities: of each.
          shape: number, rows and columns of the grids, of which there may be more than pictures.

        Returns:
          float32 `[*shape, C]` on the device, zero beyond the latents.
        """
        config = self._transforms.config
        y = jnp.zeros((*shape, config.channels), jnp.float32)
        sizes = [(picture.shape[0], picture.shape[1]) for picture in pictures]
        rgb = [as_rgb(picture) for picture in pictures]
        for windows in self._plan(sizes):
            stack = np.stack([tiling.cut(rgb[w.picture], w.row, w.column, config.stride) for w in windows])
            rows = np.stack([_kept(w.row, shape[1]) for w in windows])
            columns = np.stack([_kept(w.column, shape[2]) for w in windows])
            picture = np.array([w.picture for w in windows], np.int32)
            quality = np.array([qualities[w.picture] for w in windows], np.float32)
            y = self._analysis(self._transforms.parameters, y, stack, quality, picture, rows, columns)
        return y

    def synthesize(
        self, values: Array, qualities: Sequence[float], sizes: Sequence[tuple[int, int]]
    ) -> list[np.ndarray]:
        """Transform latents back, as `Transforms.synthesize` does.

        Args:
          values: float32 `[B, rows, columns, C]` on the device, in quantisation steps.
          qualities: of each picture.
          sizes: height and width of each.

        Returns:
          uint8 `[H, W, 3]` of each.
        """
        stride = self._transforms.config.stride
        pixels = [np.empty((*size, 3), np.uint8) for size in sizes]
        started = []
        for windows in self._plan(sizes):
            latents = [[-(-side // stride) for side in sizes[w.picture]] for w in windows]
            rows = np.stack([_read(w.row, size[0]) for w, size in zip(windows, latents, strict=True)])
            columns = np.stack([_read(w.column, size[1]) for w, size in zip(windows, latents, strict=True)])
            picture = np.array([w.picture for w in windows], np.int32)
            quality = np.array([qualities[w.picture] for w in windows], np.float32)
            found = self._synthesis(self._transforms.parameters, values, quality, picture, rows, columns)
            started.append((windows, found))
        for windows, found in started:
            for window, of_window in zip(windows, np.asarray(found), strict=True):
                tiling.paste(pixels[window.picture], of_window, window.row, window.column, stride)
        return pixels

    def _plan(self, sizes: Sequence[tuple[int, int]]) -> list[list[_Window]]:
        """Divide the windows of pictures into batches of one shape; the last one of a shape is repeated to fill it."""
        by_shape: dict[tuple[int, int], list[_Window]] = {}
        stride = self._transforms.config.stride
        for picture, size in enumerate(sizes):
            rows, columns = (-(-side // stride) for side in size)
            for row, column in tiling.plan(rows, columns, self._transforms.windows, self._transforms.reach):
                by_shape.setdefault((row.size, column.size), []).append(_Window(picture, row, column))
        batches = []
        for windows in by_shape.values():
            for start in range(0, len(windows), self._at_once):
                batch = windows[start : start + self._at_once]
                batches.append(batch + (self._at_once - len(batch)) * batch[-1:])
        return batches


def _read(span: Span, length: int) -> np.ndarray:
    """Return the places that a window reads along an axis of so many positions, the last one repeated."""
    return np.minimum(np.arange(span.start, span.start + span.size, dtype=np.int32), length - 1)


def _kept(span: Span, beyond: int) -> np.ndarray:
    """Return the places of what is kept of a window, and `beyond` for the rest."""
    places = np.arange(span.start, span.start + span.size, dtype=np.int32)
    return np.where((places >= span.first) & (places < span.last), places, beyond)
