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


def non_maximum_suppression(boxes: Array, scores: Array, *, overlap: float, count: int) -> tuple[Array, Array, Array]:
    """Keep the best box, drop those of its class that overlap it by more than `overlap`, and so on.

    One box may be kept for several classes. The result is exact: no candidate is left out beforehand.

    Args:
        boxes: float32 [N, 4], or [N, C, 4] where each class has its own.
        scores: float32 [N, C]; -inf marks what is no candidate. Among equal scores the lower class comes first, then
            the lower position.
        overlap: in [0, 1].
        count: how many to keep at most.

    Returns:
        int32 [count] positions of boxes, best score first, int32 [count] their classes, and bool [count]: whether the
        place is filled.
    """
    # the best of every class is kept up to date, so that a step looks at the candidates of one class only
    state = (scores.T, jnp.max(scores, 0), jnp.argmax(scores, 0).astype(jnp.int32))

    def keep_one(state: tuple[Array, Array, Array], _: None):
        alive, best_scores, best_places = state
        group = jnp.argmax(best_scores).astype(jnp.int32)
        place, filled = best_places[group], best_scores[group] > -jnp.inf
        candidates = boxes[:, group] if boxes.ndim == 3 else boxes
        near = intersection_over_union(candidates[place][None], candidates)[0] > overlap
        dropped = near | (jnp.arange(len(near), dtype=jnp.int32) == place)
        left = jnp.where(dropped, -jnp.inf, alive[group])
        best_scores = best_scores.at[group].set(jnp.max(left))
        best_places = best_places.at[group].set(jnp.argmax(left).astype(jnp.int32))
        return (alive.at[group].set(left), best_scores, best_places), (place, group, filled)

    return lax.scan(keep_one, state, None, length=count)[1]
