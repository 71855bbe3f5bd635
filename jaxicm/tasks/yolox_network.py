"""YOLOX-nano as a judge of decoded pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.tasks import yolox
from jaxicm.tasks.boxes import non_maximum_suppression
from jaxicm.tasks.importing import file_digest
from jaxicm.tasks.interface import Detections
from jaxicm.tasks.resizing import resize_pixels_opencv

OVERLAP = 0.65
LOWEST_SCORE = 0.001
MOST = 100
"""Detections of a picture, as COCO counts them."""


@dataclass(frozen=True, eq=False)
class Yolox:
    """YOLOX-nano on a canvas of 416x416: one compilation for pictures of all sizes.

    Attributes:
        params: parts "backbone" and "head".
        digest: sha256 of the weight file.
    """

    params: Mapping[str, Any]
    digest: str
    name: str = "yolox_nano"
    outputs: tuple[str, ...] = ("box",)

    @classmethod
    def load(cls, path: Path) -> "Yolox":
        """Read a weight file; see `yolox.load_parameters`."""
        return cls(jax.device_put(yolox.load_parameters(path)), file_digest(path))

    def predict(self, pixels: np.ndarray) -> Detections:
        """Find objects in uint8 [H, W, 3] RGB; as in the original, boxes may reach over the border."""
        canvas, _, ratio = letterbox(pixels)
        found = _detect(self.params, _pyramid(self.params, canvas[None]))
        boxes, scores, classes, filled = (np.asarray(a) for a in found)
        return Detections(boxes[filled] / np.float32(ratio), scores[filled], classes[filled])

    def features(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Return the pyramid of uint8 [H, W, 3] RGB, the part of the canvas that the picture covers."""
        canvas, (height, width), _ = letterbox(pixels)
        levels = _pyramid(self.params, canvas[None])
        return {
            name: np.asarray(levels[name][0, : -(-height // stride), : -(-width // stride)])
            for name, stride in zip(yolox.LEVELS, yolox.STRIDES, strict=True)
        }


def letterbox(pixels: np.ndarray, size: int = yolox.SIZE) -> tuple[np.ndarray, tuple[int, int], float]:
    """Put a picture on the canvas as the original program does, with OpenCV's rounding.

    Args:
        pixels: uint8 [H, W, 3] RGB.
        size: side of the canvas.

    Returns:
        uint8 [size, size, 3] BGR, the picture's height and width on it, and the factor by which it was scaled.
    """
    height, width, ratio = yolox.letterbox_size(pixels.shape[0], pixels.shape[1], size)
    canvas = np.full((size, size, 3), yolox.GREY, np.uint8)
    canvas[:height, :width] = resize_pixels_opencv(pixels, height, width)[..., ::-1]
    return canvas, (height, width), ratio


def canvas_pyramid(params: Mapping[str, Any], canvas: Array) -> dict[str, Array]:
    """Return the pyramid of canvases uint8 [B, S, S, 3]."""
    return yolox.pyramid(params, canvas.astype(jnp.float32))


def detect(params: Mapping[str, Any], levels: Mapping[str, Array]) -> tuple[Array, Array, Array, Array]:
    """Find objects in the pyramid of one canvas.

    Returns:
        Boxes [100, 4] in pixels of the canvas, scores [100], classes [100], and bool [100]: whether it is one.
    """
    height, width = (side * yolox.STRIDES[0] for side in levels["p3"].shape[1:3])
    boxes, objects, classes = yolox.decode(yolox.outputs(params, levels), (height, width))
    scores = jax.nn.sigmoid(objects[0])[:, None] * jax.nn.sigmoid(classes[0])
    candidates = jnp.where(scores > LOWEST_SCORE, scores, -jnp.inf)
    kept, kind, filled = non_maximum_suppression(boxes[0], candidates, overlap=OVERLAP, count=MOST)
    return boxes[0][kept], scores[kept, kind], kind, filled


_pyramid, _detect = jax.jit(canvas_pyramid), jax.jit(detect)
