"""The training loss of YOLOX as a function of the pictures: of fixed shape, differentiable, the network frozen.

Ge et al., "YOLOX: Exceeding YOLO Series in 2021", https://arxiv.org/abs/2107.08430, with the assignment (SimOTA) of the
official code, `yolox/models/yolo_head.py`. Two things deviate: sums are divided by the assigned cells of a picture, not
of the batch, so that the pictures of a batch do not depend on each other; and the logarithm of a predicted size is
limited to `LOG_SIZE_LIMIT`, so that no gradient is infinite. The original's L1 term of the last epochs is left out.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxicm.tasks import yolox
from jaxicm.tasks.boxes import intersection_over_union
from jaxicm.tasks.resizing import resize
from jaxicm.tasks.targets import Targets

BOX_WEIGHT = 5.0
CENTRE_RADIUS = 1.5
"""How far from an object's centre a cell's may lie, in strides."""
CANDIDATES = 10
"""Cells of an object at most."""
OVERLAP_COST, FAR_COST = 3.0, 1e6
LOG_SIZE_LIMIT = 10.0
"""Largest logarithm of a predicted size over the cell's."""
LARGEST_STRIDE = max(yolox.STRIDES)


class Assignment(NamedTuple):
    """Which cells answer for which object, in one picture.

    Attributes:
        foreground: bool [cells], whether the cell answers for an object.
        objects: int32 [cells], the object's place.
        overlaps: float32 [cells], of the cell's box and the object's.
    """

    foreground: Array
    objects: Array
    overlaps: Array


def outputs(
    params: Mapping[str, Any], images: Array, targets: Targets, *, scale: float | None = None
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the features and the losses of pictures, the network computed once.

    Args:
        params: parts "backbone" and "head".
        images: float32 [B, H, W, 3], RGB in [0, 1].
        targets: their objects.
        scale: as of `prepare`.

    Returns:
        The pyramid "p3", "p4", "p5" of the canvas, and the terms "box" (weighted with 5, as in the original),
        "object" and "class", float32 [B]. Without objects "box" and "class" are 0.
    """
    canvas = prepare(images, scale)
    levels = yolox.pyramid(params, canvas)
    return levels, losses_of(yolox.outputs(params, levels), canvas, images, targets, scale)


def losses(
    params: Mapping[str, Any], images: Array, targets: Targets, *, scale: float | None = None
) -> dict[str, Array]:
    """Return the losses alone; see `outputs`."""
    return outputs(params, images, targets, scale=scale)[1]


def losses_of(
    raw: Array, canvas: Array, images: Array, targets: Targets, scale: float | None = None
) -> dict[str, Array]:
    """Return the losses of raw outputs that are at hand.

    Args:
        raw: float32 [B, cells, 85], see `yolox.Head`.
        canvas: what the network saw, of which only the size counts.
        images: of which `prepare` made it; again only the size.
        targets: as of `outputs`.
        scale: as of `prepare`.
    """
    height, width = _inside(images.shape[1], images.shape[2], scale)
    factor = np.array([width / images.shape[2], height / images.shape[1]] * 2, np.float32)
    size = (canvas.shape[1], canvas.shape[2])
    boxes, classes, real = (jnp.asarray(a) for a in (targets.boxes, targets.classes, targets.real))
    return jax.vmap(lambda *one: raw_losses(*one, size=size))(raw, boxes * factor, classes, real)


def features(params: Mapping[str, Any], images: Array, scale: float | None = None) -> dict[str, Array]:
    """Return the pyramid alone; see `outputs`."""
    return yolox.pyramid(params, prepare(images, scale))


def prepare(images: Array, scale: float | None = None) -> Array:
    """Put pictures, or crops of larger ones, on the canvas that the network sees, differentiably.

    Args:
        images: float32 [B, H, W, 3], RGB in [0, 1].
        scale: pixels of the canvas a pixel of the picture, for crops: that of the picture they are cut from. The
            canvas is then the next larger of sides divisible by 32. None: the canvas of 416x416 for whole pictures.

    Returns:
        float32 [B, h, w, 3], BGR in [0, 255], the picture at the top left, grey beside it.
    """
    if scale is None:
        return yolox.prepare(images)
    height, width = _inside(images.shape[1], images.shape[2], scale)
    inside = resize(images[..., ::-1] * 255.0, height, width, antialias=False)
    room = ((0, 0), (0, -height % LARGEST_STRIDE), (0, -width % LARGEST_STRIDE), (0, 0))
    return jnp.pad(inside, room, constant_values=yolox.GREY)


def _inside(height: int, width: int, scale: float | None) -> tuple[int, int]:
    """Return height and width of the picture on the canvas."""
    if scale is None:
        return yolox.letterbox_size(height, width)[:2]
    return max(1, round(height * scale)), max(1, round(width * scale))


def raw_losses(raw: Array, boxes: Array, classes: Array, real: Array, *, size: tuple[int, int]) -> dict[str, Array]:
    """Compare the raw outputs for one picture with its objects.

    Args:
        raw: float32 [cells, 85], see `yolox.Head`.
        boxes: float32 [N, 4] in pixels of the canvas.
        classes: int32 [N].
        real: bool [N], whether the place holds an object.
        size: height and width of the canvas.

    Returns:
        The terms "box", "object" and "class", each a scalar.
    """
    predicted = decode(raw, size)
    objects, kinds = raw[:, 4], raw[:, 5:]
    frozen = lax.stop_gradient((predicted, objects, kinds))
    assigned = assign(*frozen, boxes, classes, real, size=size)
    count = jnp.maximum(jnp.sum(assigned.foreground.astype(jnp.float32)), 1.0)
    overlaps = intersection_over_union(predicted[:, None], boxes[assigned.objects][:, None])[:, 0, 0]
    wanted = jax.nn.one_hot(classes[assigned.objects], yolox.CLASSES) * assigned.overlaps[:, None]
    by_class = jnp.sum(_cross_entropy(kinds, wanted), -1)
    return {
        "box": BOX_WEIGHT * jnp.sum(jnp.where(assigned.foreground, 1.0 - overlaps**2, 0.0)) / count,
        "object": jnp.sum(_cross_entropy(objects, assigned.foreground.astype(jnp.float32))) / count,
        "class": jnp.sum(jnp.where(assigned.foreground, by_class, 0.0)) / count,
    }


def assign(
    predicted: Array,
    objects: Array,
    kinds: Array,
    boxes: Array,
    classes: Array,
    real: Array,
    *,
    size: tuple[int, int],
) -> Assignment:
    """Choose the cells of every object by the cost of what they predict ("SimOTA").

    An object gets as many cells as the ten best overlaps sum up to, those of lowest cost; a cell that several objects
    want goes to the one it costs least. Cells far from all objects' centres are no candidates.

    Args:
        predicted: float32 [cells, 4], boxes in pixels of the canvas.
        objects: float32 [cells], logits.
        kinds: float32 [cells, 80], logits.
        boxes: as of `raw_losses`, so are the others.
        classes: int32 [N].
        real: bool [N].
        size: height and width of the canvas.
    """
    grid, stride = yolox.cells(*size)
    centres = (boxes[:, :2] + boxes[:, 2:]) * 0.5
    away = jnp.abs((grid + 0.5) * stride - centres[:, None])  # [N, cells, 2]
    near = jnp.all(away < CENTRE_RADIUS * stride, -1) & real[:, None]
    possible = jnp.any(near, 0) & real[:, None]
    overlaps = jnp.where(possible, intersection_over_union(boxes, predicted), 0.0)
    chance = jnp.sqrt(jax.nn.sigmoid(kinds) * jax.nn.sigmoid(objects)[:, None])
    yes, no = (jnp.maximum(logarithm, -100.0) for logarithm in (jnp.log(chance), jnp.log1p(-chance)))
    class_cost = (no - yes)[:, classes].T - jnp.sum(no, -1)
    cost = class_cost - OVERLAP_COST * jnp.log(overlaps + 1e-8) + jnp.where(near, 0.0, FAR_COST)
    cost = jnp.where(possible, cost, jnp.inf)

    count = jnp.maximum(jnp.sum(lax.top_k(overlaps, CANDIDATES)[0], -1).astype(jnp.int32), 1)
    negated, places = lax.top_k(-cost, CANDIDATES)
    chosen = (jnp.arange(CANDIDATES) < count[:, None]) & (negated > -jnp.inf)
    rows = jnp.arange(len(boxes))[:, None]
    wanted = jnp.zeros(cost.shape, bool).at[rows, places].set(chosen)
    wanting = jnp.sum(wanted.astype(jnp.int32), 0)
    first, cheapest = jnp.argmax(wanted, 0).astype(jnp.int32), jnp.argmin(cost, 0).astype(jnp.int32)
    owner = jnp.where(wanting > 1, cheapest, first)
    return Assignment(wanting > 0, owner, jnp.take_along_axis(overlaps, owner[None], 0)[0])


def decode(raw: Array, size: tuple[int, int]) -> Array:
    """Return the boxes `[..., cells, 4]`, in pixels of a canvas, of raw outputs; no gradient is infinite."""
    return yolox.boxes_of(raw[..., :4], size, LOG_SIZE_LIMIT)


def _cross_entropy(logits: Array, wanted: Array) -> Array:
    return jax.nn.softplus(logits) - logits * wanted
