"""Boxes in JAX: overlap, the offsets that detectors predict, and non-maximum suppression of fixed shape.

A box is x0, y0, x1, y1 in pixels; pixel i covers [i, i + 1].
"""

import math

import jax.numpy as jnp
from jax import Array, lax

LOG_SIZE_LIMIT = math.log(1000 / 16)
"""Largest logarithm of a predicted size over its anchor's (Detectron)."""


def intersection_over_union(a: Array, b: Array) -> Array:
    """Return the overlap of all pairs.

    Args:
        a: float32 [..., N, 4].
        b: float32 [..., M, 4].

    Returns:
        float32 [..., N, M] in [0, 1]; 0 for two empty boxes.
    """
    a, b = a[..., :, None, :], b[..., None, :, :]
    sides = jnp.minimum(a[..., 2:], b[..., 2:]) - jnp.maximum(a[..., :2], b[..., :2])
    shared = jnp.prod(jnp.maximum(sides, 0.0), -1)
    union = area(a) + area(b) - shared
    return jnp.where(union > 0, shared / jnp.where(union > 0, union, 1.0), 0.0)


def area(boxes: Array) -> Array:
    """Return the area of `[..., 4]`."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def apply_deltas(anchors: Array, deltas: Array, weights: tuple[float, float, float, float]) -> Array:
    """Move and scale anchors (Girshick et al., R-CNN, appendix C).

    Args:
        anchors: float32 [..., 4].
        deltas: float32 [..., 4]: shift of the centre in units of the anchor's size, logarithm of the size's ratio.
        weights: what the deltas are divided by.

    Returns:
        float32 [..., 4].
    """
    dx, dy, dw, dh = jnp.moveaxis(deltas / jnp.asarray(weights, deltas.dtype), -1, 0)
    x0, y0, x1, y1 = jnp.moveaxis(anchors, -1, 0)
    width, height = x1 - x0, y1 - y0
    x, y = x0 + 0.5 * width + dx * width, y0 + 0.5 * height + dy * height
    half_width = 0.5 * width * jnp.exp(jnp.minimum(dw, LOG_SIZE_LIMIT))
    half_height = 0.5 * height * jnp.exp(jnp.minimum(dh, LOG_SIZE_LIMIT))
    return jnp.stack([x - half_width, y - half_height, x + half_width, y + half_height], -1)


def clip_boxes(boxes: Array, height: Array | float, width: Array | float) -> Array:
    """Cut `[..., 4]` at the picture's border."""
    limit = jnp.stack([jnp.asarray(side, boxes.dtype) for side in (width, height, width, height)])
    return jnp.clip(boxes, 0.0, limit)


def non_maximum_suppression(
    boxes: Array, scores: Array, groups: Array, *, overlap: float, count: int
) -> tuple[Array, Array]:
    """Keep the best box, drop those of its group that overlap it by more than `overlap`, and so on.

    Args:
        boxes: float32 [N, 4].
        scores: float32 [N]; -inf marks what is no candidate. Among equal scores the first comes first.
        groups: int32 [N]; boxes of different groups (classes) do not drop each other.
        overlap: in [0, 1].
        count: how many to keep at most.

    Returns:
        int32 [count] positions, best score first, and bool [count]: whether the place is filled.
    """

    def keep_one(alive: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        best = jnp.argmax(alive).astype(jnp.int32)
        filled = alive[best] > -jnp.inf
        near = intersection_over_union(boxes[best][None], boxes)[0] > overlap
        dropped = (near & (groups == groups[best])) | (jnp.arange(alive.shape[0], dtype=jnp.int32) == best)
        return jnp.where(dropped, -jnp.inf, alive), (best, filled)

    return lax.scan(keep_one, scores, None, length=count)[1]
