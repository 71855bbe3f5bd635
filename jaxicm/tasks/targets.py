"""The objects that a picture is known to hold, in arrays of fixed shape: what the detectors' losses compare with.

Needs no JAX.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jax import Array

MASK_SIDE = 56
"""Cells a side of an object's mask: twice those of Mask R-CNN's masks."""


class Objects(NamedTuple):
    """The objects of one picture.

    Attributes:
        boxes: float32 [n, 4], as of `Targets`.
        classes: int32 [n].
        masks: float32 [n, M, M].
    """

    boxes: np.ndarray
    classes: np.ndarray
    masks: np.ndarray


class Targets(NamedTuple):
    """The objects of a batch of pictures, padded to N a picture; arrays of numpy or JAX.

    Attributes:
        boxes: float32 [B, N, 4], x0, y0, x1, y1 in pixels of the picture; pixel i covers [i, i + 1].
        classes: int32 [B, N], 0 to 79, positions in `interface.COCO_CLASSES`.
        real: bool [B, N], whether the place holds an object.
        masks: float32 [B, N, M, M], the share of each cell that the object covers, where its box is divided into
            M x M cells, rows first; M is `MASK_SIDE`.
        known: bool [B], whether the objects of a picture are known; None: all are.
    """

    boxes: "np.ndarray | Array"
    classes: "np.ndarray | Array"
    real: "np.ndarray | Array"
    masks: "np.ndarray | Array"
    known: "np.ndarray | Array | None" = None


def pad_objects(pictures: Sequence[Objects | None], count: int) -> Targets:
    """Put the objects of pictures into a batch, largest boxes first.

    Objects whose box is empty are left out, and the smallest where a picture has more than `count`.

    Args:
        pictures: the objects of each, None where they are not known.
        count: places a picture, at least 1.

    Returns:
        Arrays of numpy.

    Raises:
        ValueError: there is no picture or no place, or the arrays of a picture do not belong together.
    """
    if not pictures or count < 1:
        raise ValueError(f"targets need a picture and a place, got {len(pictures)} pictures and {count} places")
    side = next((np.shape(objects.masks)[-1] for objects in pictures if objects is not None), MASK_SIDE)
    batch = len(pictures)
    targets = Targets(
        np.zeros((batch, count, 4), np.float32),
        np.zeros((batch, count), np.int32),
        np.zeros((batch, count), bool),
        np.zeros((batch, count, side, side), np.float32),
        np.array([objects is not None for objects in pictures]),
    )
    for b, objects in enumerate(pictures):
        if objects is None:
            continue
        boxes, classes, masks = objects
        found = len(classes)
        if boxes.shape != (found, 4) or masks.shape != (found, side, side):
            raise ValueError(
                f"picture {b} has {found} classes and needs boxes [{found}, 4] and masks [{found}, {side}, {side}], "
                f"got {boxes.shape}, {masks.shape}"
            )
        sides = boxes[:, 2:] - boxes[:, :2]
        order = np.argsort(-np.prod(sides, 1), kind="stable")
        order = order[np.all(sides[order] > 0, 1)][:count]
        kept = len(order)
        targets.boxes[b, :kept] = boxes[order]  # pyright: ignore[reportIndexIssue]
        targets.classes[b, :kept] = classes[order]  # pyright: ignore[reportIndexIssue]
        targets.real[b, :kept] = True  # pyright: ignore[reportIndexIssue]
        targets.masks[b, :kept] = masks[order]  # pyright: ignore[reportIndexIssue]
    return targets
