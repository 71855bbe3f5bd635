"""Mask R-CNN as a judge of decoded pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.tasks import mask_rcnn
from jaxicm.tasks.boxes import non_maximum_suppression
from jaxicm.tasks.convolution import Extent
from jaxicm.tasks.importing import file_digest
from jaxicm.tasks.interface import Detections
from jaxicm.tasks.masks import paste_masks
from jaxicm.tasks.resizing import resize_pixels

OVERLAP = 0.5
LOWEST_SCORE = 0.05
MOST = 100
"""Detections of a picture."""
MASKS_AT_ONCE = 16
"""Regions that go through the mask head together: the last batch is filled up, so there is one compilation."""
CANVAS = (-(-mask_rcnn.SHORT_SIDE // 16) * 16, mask_rcnn.LONG_SIDE)
"""Sides of the canvas that holds every resized picture, lying or standing: two compilations in all."""


@dataclass(frozen=True, eq=False)
class MaskRCNN:
    """D2Go's Mask R-CNN; the canvas around a picture changes no result.

    Attributes:
        params: the parts of `mask_rcnn.PREFIXES`.
        digest: sha256 of the weight file.
    """

    params: Mapping[str, Any]
    digest: str
    name: str = "mask_rcnn"
    outputs: tuple[str, ...] = ("box", "mask")

    @classmethod
    def load(cls, path: Path) -> "MaskRCNN":
        """Read a weight file; see `mask_rcnn.load_parameters`."""
        return cls(jax.device_put(mask_rcnn.load_parameters(path)), file_digest(path))

    def predict(self, pixels: np.ndarray) -> Detections:
        """Find objects and their masks in uint8 [H, W, 3] RGB."""
        height, width = pixels.shape[:2]
        canvas, size = on_canvas(pixels)
        c4, extent = _features(self.params, canvas, size)
        found = _detect(self.params, c4, size, extent)
        boxes, scores, classes, filled = (np.asarray(a) for a in found)
        masks = self._masks(c4, extent, boxes[filled], classes[filled])
        scale = np.array([width / size[1], height / size[0]] * 2, np.float32)
        inside = np.clip(boxes[filled] * scale, 0, np.array([width, height] * 2, np.float32))
        return Detections(inside, scores[filled], classes[filled], paste_masks(masks, inside, height, width))

    def features(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Return C4 of uint8 [H, W, 3] RGB."""
        c4, extent = _features(self.params, *on_canvas(pixels))
        return {"c4": np.asarray(c4)[: int(extent[0]), : int(extent[1])]}

    def _masks(self, c4: Array, extent: tuple[Array, Array], boxes: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return the masks' probabilities [N, 28, 28]."""
        count = len(boxes)
        room = -count % MASKS_AT_ONCE
        boxes, classes = np.pad(boxes, ((0, room), (0, 0))), np.pad(classes, (0, room))
        parts = [
            _mask(self.params, c4, boxes[i : i + MASKS_AT_ONCE], classes[i : i + MASKS_AT_ONCE], extent)
            for i in range(0, count, MASKS_AT_ONCE)
        ]
        side = 28
        return np.concatenate([np.asarray(p) for p in parts] or [np.zeros((0, side, side), np.float32)])[:count]


def on_canvas(pixels: np.ndarray) -> tuple[np.ndarray, tuple[np.int32, np.int32]]:
    """Resize a picture as the network was tuned for and put it on the canvas.

    Args:
        pixels: uint8 [H, W, 3] RGB.

    Returns:
        uint8 [288, 400, 3] or [400, 288, 3] BGR, and the picture's height and width on it.
    """
    height, width = mask_rcnn.resized_size(*pixels.shape[:2])
    canvas = np.zeros((*(CANVAS if height <= width else CANVAS[::-1]), 3), np.uint8)
    canvas[:height, :width] = resize_pixels(pixels, height, width)[..., ::-1]
    return canvas, (np.int32(height), np.int32(width))


def canvas_features(params: Mapping[str, Any], canvas: Array, size: Extent) -> tuple[Array, Extent]:
    """Return C4 `[h, w, 112]` of a canvas uint8 [H, W, 3] and its extent."""
    c4, extent = mask_rcnn.backbone(params, mask_rcnn.normalise(canvas.astype(jnp.float32))[None], size)
    return c4[0], extent


def detect(
    params: Mapping[str, Any], c4: Array, size: tuple[Array, Array], extent: Extent
) -> tuple[Array, Array, Array, Array]:
    """Find objects.

    Args:
        params: of all parts.
        c4: float32 [h, w, 112].
        size: of the resized picture, height and width.
        extent: part of the features that is real.

    Returns:
        Boxes [100, 4] in pixels of the resized picture, scores [100], classes [100], and bool [100]: whether it is one.
    """
    logits, deltas = mask_rcnn.proposal_outputs(params, c4[None], extent)
    regions, real = mask_rcnn.propose(logits[0], deltas[0], size, extent)
    class_logits, class_deltas = mask_rcnn.box_outputs(params, c4, regions, extent)
    boxes = mask_rcnn.refine(regions, class_deltas, size)
    scores = jax.nn.softmax(class_logits)[:, :-1]
    candidates = jnp.where(real[:, None] & (scores > LOWEST_SCORE), scores, -jnp.inf)
    kept, classes, filled = non_maximum_suppression(boxes, candidates, overlap=OVERLAP, count=MOST)
    return boxes[kept, classes], scores[kept, classes], classes, filled


def mask_probabilities(params: Mapping[str, Any], c4: Array, boxes: Array, classes: Array, extent: Extent) -> Array:
    """Return the masks `[N, 28, 28]` of boxes for their classes."""
    return jax.nn.sigmoid(mask_rcnn.mask_outputs(params, c4, boxes, classes, extent))


_features, _detect, _mask = jax.jit(canvas_features), jax.jit(detect), jax.jit(mask_probabilities)
