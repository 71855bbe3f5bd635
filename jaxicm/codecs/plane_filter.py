"""Running a filter of planes on frames of any size, window by window, with its own parameters or changed ones."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.codecs import tiling
from jaxicm.media.yuv import PlanarFormat, Planes
from jaxicm.models.filter import PlaneFilter, PlaneFilterConfig

WINDOWS = ((320, 320), (320, 576), (576, 960))
"""Shapes of the windows in luma samples."""
UNIT = 16
"""Windows begin at multiples of it."""


class PlaneFilterRunner:
    """Filters frames with one network.

    Attributes:
      config: of the network.
    """

    def __init__(self, config: PlaneFilterConfig):
        self.config = config
        self._reach = -(-config.reach // UNIT)

    def apply(
        self, params: Mapping[str, Any], frames: Sequence[Planes], form: PlanarFormat, qps: Sequence[float]
    ) -> list[Planes]:
        """Filter frames.

        Args:
          params: of `models.filter.PlaneFilter`.
          frames: planes of `form`.
          form: 4:2:0.
          qps: of each frame.

        Returns:
          Planes of the same format, rounded and clipped.
        """
        return [self._frame(params, planes, form, qp) for planes, qp in zip(frames, qps, strict=True)]

    def _frame(self, params: Mapping[str, Any], planes: Planes, form: PlanarFormat, qp: float) -> Planes:
        luma, chroma, edge = planes[0][..., None], np.stack(planes[1:], axis=-1), UNIT * self._reach
        # Beyond its edges a frame is repeated, so that no sample that is kept sees the zeros around a window.
        height, width = (-(-(side + 2 * edge) // UNIT) for side in form.shapes[0])
        luma = _extended(luma, edge, UNIT * height, UNIT * width)
        chroma = _extended(chroma, edge // 2, UNIT // 2 * height, UNIT // 2 * width)
        out = np.empty_like(luma), np.empty_like(chroma)
        shapes = [(rows // UNIT, columns // UNIT) for rows, columns in WINDOWS]
        for window in tiling.plan(height, width, shapes, self._reach):
            cut = [tiling.cut(plane, *window, unit)[None] for plane, unit in ((luma, UNIT), (chroma, UNIT // 2))]
            found = _filtered(params, *cut, np.float32(qp), self.config, (1 << form.bits) - 1)
            for plane, values, unit in zip(out, found, (UNIT, UNIT // 2), strict=True):
                tiling.paste(plane, np.asarray(values)[0].astype(form.dtype), *window, unit)
        shown = []
        parts = (out[0][..., 0], *np.moveaxis(out[1], -1, 0))
        for plane, (rows, columns), start in zip(parts, form.shapes, (edge, edge // 2, edge // 2), strict=True):
            shown.append(np.ascontiguousarray(plane[start : start + rows, start : start + columns]))
        return tuple(shown)


def _extended(plane: np.ndarray, edge: int, height: int, width: int) -> np.ndarray:
    rows, columns = plane.shape[:2]
    around = ((edge, height - rows - edge), (edge, width - columns - edge), (0, 0))
    return np.pad(plane, around, mode="edge")


@partial(jax.jit, static_argnames=("config", "peak"))
def _filtered(
    params: Mapping[str, Any], luma: Array, chroma: Array, qp: Array, config: PlaneFilterConfig, peak: int
) -> tuple[Array, Array]:
    scaled = (plane.astype(jnp.float32) / peak for plane in (luma, chroma))
    found = cast(tuple[Array, Array], PlaneFilter(config).apply({"params": params}, *scaled, qp[None]))
    return cast(tuple[Array, Array], tuple(jnp.round(jnp.clip(plane, 0, 1) * peak) for plane in found))
