"""Adapting the latent of a picture before it is coded: windows of a few fixed shapes, each by `adapt.latents`.

Neighbouring windows overlap by the reach of the networks, and of each the middle is kept. What a window assumes of its
neighbours is not quite what they become, so the whole picture is coded with and without the adaptation, and the cheaper
file is taken.
"""

import time
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.adapt.image import ImageArrays, ImageNetworks
from jaxicm.adapt.latents import Distortion, Problem, adapt, distortion_bits
from jaxicm.adapt.rounding import costs
from jaxicm.adapt.stage import Progress, Stage
from jaxicm.bits.tables import Tables
from jaxicm.codecs import importance, tiling
from jaxicm.codecs.adaptation import Objective
from jaxicm.codecs.image_file import as_rgb
from jaxicm.codecs.tiling import Span
from jaxicm.codecs.transforms import Transforms
from jaxicm.entropy.phases import SCALES
from jaxicm.entropy.progressive_frozen import FrozenProgressive
from jaxicm.entropy.recurrent_coder import FrozenRecurrent
from jaxicm.models.image import QUALITY_MAX, QUALITY_MIN, ImageConfig, lambda_of_quality
from jaxicm.objectives.rate_distortion import PEAK_SQUARED

WINDOWS = ((256, 256), (512, 768), (768, 512), (1152, 1152))
"""Shapes of the windows in pixels; sides are multiples of 64."""
CELL = 2**SCALES
"""Latent positions between two of the coarsest grid."""
CONTEXT_REACH = 6
"""Latent positions beyond which values matter little to a probability."""


class _Window(NamedTuple):
    row: Span
    column: Span


def _scaled(span: Span) -> Span:
    return Span(*(CELL * value for value in (span.start, span.size, span.first, span.last)))


class LatentAdapter:
    """Adapts latents of one codec.

    Attributes:
      config: of the model.
    """

    def __init__(
        self, config: ImageConfig, transform: Transforms, entropy: FrozenProgressive | FrozenRecurrent, tables: Tables
    ):
        self.config, self._transform, self._entropy, self._tables = config, transform, entropy, tables

    @cached_property
    def _cost(self) -> Array:
        return jax.device_put(costs(self._tables))

    def _plan(self, rows: int, columns: int) -> list[_Window]:
        """Cover a latent; the papers' probability model sees the whole grid and gets it whole."""
        if self.config.recurrent is not None:
            return [_Window(Span(0, rows, 0, rows), Span(0, columns, 0, columns))]
        # In units of the coarsest grid: what is coded when depends on a position's remainder by it.
        beyond = self._beyond(rows, columns)
        height, width = (-(-(side + more) // CELL) for side, more in zip((rows, columns), beyond, strict=True))
        unit, reach = CELL * self.config.stride, -(-max(self.config.reach, CONTEXT_REACH) // CELL)
        shapes = [(a // unit, b // unit) for a, b in WINDOWS]
        usable = [s for s in shapes if min(s) > 2 * reach or (height <= s[0] and width <= s[1])]
        return [_Window(*(_scaled(span) for span in spans)) for spans in tiling.plan(height, width, usable, reach)]

    def _beyond(self, rows: int, columns: int) -> tuple[int, int]:
        """Return how many rows and columns beyond the latent's end the synthesis sees: repeated ones, up to its reach.

        There are some where a window of the synthesis is larger than the latent.
        """
        reach = self._transform.reach
        row, column = tiling.plan(rows, columns, self._transform.windows, reach)[-1]
        return min(row.start + row.size - rows, reach), min(column.start + column.size - columns, reach)

    def _networks(self, rows: int, columns: int) -> ImageNetworks:
        """Return the networks for the windows of a latent, which show it as the decoder will."""
        beyond = self._beyond(rows, columns)
        if self.config.recurrent is not None:
            return ImageNetworks(self.config, margin=beyond)
        return ImageNetworks(self.config, fill=any(beyond))

    def adapt(
        self,
        image: np.ndarray,
        y: np.ndarray,
        quality_q4: int,
        stages: Sequence[Stage],
        objective: Objective,
        *,
        weights: np.ndarray | None = None,
        limit_s: float | None = None,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, int]:
        """Find a latent that costs less.

        Args:
          image: uint8 `[H, W, 3]` or `[H, W]`.
          y: float32 `[h, w, C]` of the analysis.
          quality_q4: 16 times the quality.
          stages: of the adaptation.
          objective: the distortion.
          weights: float32 `[h, w]`, of squared errors at each latent position; for that objective and the method
            "coordinate" alone.
          limit_s: seconds for all of it; a window gets its share.
          progress: told iterations done, in all, and the true cost as a share of the start's.

        Returns:
          The latent, and iterations done.
        """
        rgb = as_rgb(image)
        windows = self._plan(*y.shape[:2])
        together = 1 if jax.default_backend() == "cpu" else 8
        arrays, networks = self._arrays(quality_q4), self._networks(*y.shape[:2])
        began, result, iterations = time.monotonic(), y.copy(), 0
        planned = sum(stage.iterations for stage in stages)
        batches = [windows[i : i + together] for i in range(0, len(windows), together)]
        for number, batch in enumerate(batches):
            left = None
            if limit_s is not None:
                left = max(limit_s - (time.monotonic() - began), 0.0) / (len(batches) - number)
            told = None
            if progress is not None:
                told = partial(_tell, progress, number * planned, len(batches) * planned)
            # A batch that is not full repeats its last window, so that nothing is compiled for it.
            filled = batch + [batch[-1]] * (min(together, len(windows)) - len(batch))
            problem = self._problem(rgb, filled, y.shape[:2], quality_q4, arrays, objective, weights)
            latents = np.stack([tiling.cut(y, *window) for window in filled])
            found = adapt(latents, problem, networks, objective.function, stages, limit_s=left, progress=told)
            for window, values in zip(batch, found.values, strict=False):
                tiling.paste(result, values, *window)
            iterations += found.iterations
        return result, iterations

    def importance(self, image: np.ndarray, quality_q4: int, function: Distortion, arrays: Any) -> np.ndarray:
        """Weigh squared errors so that they follow a distortion, see `codecs.importance`.

        Args:
          image: uint8 `[H, W, 3]` or `[H, W]`.
          quality_q4: 16 times the quality, whose errors and those of its neighbours are looked at.
          function: the distortion.
          arrays: of it.

        Returns:
          float32 `[h, w]`, for `adapt`.
        """
        rgb, stride = as_rgb(image), self.config.stride
        rows, columns = (-(-side // stride) for side in rgb.shape[:2])
        costs, errors = np.zeros((2, len(importance.QUALITIES), rows, columns, 1), np.float32)
        for number, factor in enumerate(importance.QUALITIES):
            quality = min(max(factor * quality_q4 / 16, QUALITY_MIN), QUALITY_MAX)
            values_q4 = (16 * np.round(self._transform.analyze(image, quality))).astype(np.int16)
            decoded = self._transform.synthesize(values_q4, quality, (rgb.shape[0], rgb.shape[1]))
            for window in self._plan(rows, columns):
                x, x_hat = (tiling.cut(p, *window, stride)[None] / np.float32(255) for p in (rgb, decoded))
                x_hat = np.where(_inside(window, rgb.shape[:2], stride), x_hat, x)
                found = importance.costs_and_errors(arrays, x, x_hat, function, stride)
                for planes, values in zip((costs, errors), found, strict=True):
                    tiling.paste(planes[number], np.asarray(values)[0, ..., None], *window)
        return importance.weights(costs[..., 0], errors[..., 0])

    def distortion(
        self,
        image: np.ndarray,
        decoded: np.ndarray,
        quality_q4: int,
        objective: Objective,
        weights: np.ndarray | None = None,
    ) -> float:
        """Return lambda times the distortion of a decoded picture, in bits per pixel; `weights` as of `adapt`."""
        rgb, shown = as_rgb(image), as_rgb(decoded)
        stride = self.config.stride
        rows, columns = (-(-side // stride) for side in image.shape[:2])
        bits = 0.0
        for window in self._plan(rows, columns):
            problem = self._problem(rgb, [window], (rows, columns), quality_q4, None, objective, weights, kept=True)
            x_hat = tiling.cut(shown, *window, stride)[None]
            bits += float(_distortion(x_hat, problem, objective.function)[0])
        return bits / (image.shape[0] * image.shape[1])

    def _arrays(self, quality_q4: int) -> ImageArrays:
        quality = np.float32(quality_q4 / 16)
        entropy = self._entropy
        layers = entropy.layers() if isinstance(entropy, FrozenRecurrent) else entropy.layers(quality_q4)
        return ImageArrays(self._transform.parameters, layers, jnp.asarray(quality))

    def _problem(
        self,
        rgb: np.ndarray,
        windows: Sequence[_Window],
        size: tuple[int, int],
        quality_q4: int,
        arrays: Any,
        objective: Objective,
        weights: np.ndarray | None,
        *,
        kept: bool = False,
    ) -> Problem:
        """Cut windows out of a picture; with `kept` only what is kept of them counts."""
        stride = self.config.stride
        cut = np.stack([tiling.cut(rgb, *window, stride) for window in windows])
        inside = np.stack([_inside(window, size, 1) for window in windows])
        shown = np.stack([_inside(window, rgb.shape[:2], stride, kept=kept) for window in windows])
        weight = lambda_of_quality(self.config, jnp.float32(quality_q4 / 16)) * PEAK_SQUARED
        problem = Problem(arrays, cut, shown, inside, weight, self._cost, objective.arrays)
        if weights is None:
            return problem
        return problem._replace(importance=np.stack([tiling.cut(weights[..., None], *window) for window in windows]))


def _tell(progress: Progress, before: int, total: int, done: int, planned: int, share: float) -> None:
    del planned
    progress(before + done, total, share)


def _inside(window: _Window, size: tuple[int, ...], unit: int, *, kept: bool = False) -> np.ndarray:
    """Tell which entries of a window exist in (and are kept for) an array of `size`: bool `[rows, columns, 1]`."""
    axes = []
    for span, length in zip(window, size, strict=True):
        at = np.arange(span.start * unit, (span.start + span.size) * unit)
        low, high = (span.first * unit, span.last * unit) if kept else (0, length)
        axes.append((at >= low) & (at < min(high, length)))
    return (axes[0][:, None] & axes[1])[..., None]


@partial(jax.jit, static_argnames="function")
def _distortion(x_hat: Array, problem: Problem, function: Distortion) -> Array:
    return distortion_bits(x_hat.astype(jnp.float32) / 255.0, problem, function)
