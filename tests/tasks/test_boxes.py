"""Boxes: against loops in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.tasks.boxes import apply_deltas, clip_boxes, intersection_over_union, non_maximum_suppression


def random_boxes(rng: np.random.Generator, count: int, side: float = 60.0) -> np.ndarray:
    corner, size = rng.uniform(0, 100, (count, 2)), rng.uniform(5, side, (count, 2))
    return np.concatenate([corner, corner + size], 1).astype(np.float32)


suppression = jax.jit(non_maximum_suppression, static_argnames=("overlap", "count"))


def overlap_of(a, b) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def suppress(boxes: np.ndarray, scores: np.ndarray, overlap: float, count: int) -> list[tuple[int, int]]:
    """Sort all candidates once, drop those that a better one of their class overlaps."""
    order = [(-scores[n, c], c, n) for n in range(scores.shape[0]) for c in range(scores.shape[1])]
    kept: list[tuple[int, int]] = []
    for score, c, n in sorted(o for o in order if np.isfinite(o[0])):
        del score
        own = boxes[n, c] if boxes.ndim == 3 else boxes[n]
        others = [boxes[m, c] if boxes.ndim == 3 else boxes[m] for m, k in kept if k == c]
        if all(overlap_of(own, other) <= overlap for other in others):
            kept.append((n, c))
    return kept[:count]


def test_overlap_is_that_of_every_pair():
    rng = np.random.default_rng(0)
    a, b = random_boxes(rng, 7), random_boxes(rng, 9)
    expected = [[overlap_of(x, y) for y in b] for x in a]
    np.testing.assert_allclose(intersection_over_union(jnp.asarray(a), jnp.asarray(b)), expected, atol=1e-6)


def test_empty_boxes_overlap_nothing():
    point = jnp.array([[3.0, 3.0, 3.0, 3.0]])
    assert intersection_over_union(point, point)[0, 0] == 0.0


def test_deltas_move_the_centre_and_scale_the_size():
    anchor, delta, weights = (
        np.array([10.0, 20.0, 30.0, 60.0]),
        np.array([1.0, -2.0, 0.5, 40.0]),
        (10.0, 10.0, 5.0, 5.0),
    )
    x, y = 20.0 + 20.0 * 0.1, 40.0 - 40.0 * 0.2
    w, h = 20.0 * np.exp(0.1), 40.0 * 1000 / 16  # the last is limited
    expected = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
    np.testing.assert_allclose(apply_deltas(jnp.asarray(anchor), jnp.asarray(delta), weights), expected, rtol=1e-6)


def test_clipping_keeps_boxes_in_the_picture():
    boxes = jnp.array([[-5.0, -1.0, 50.0, 70.0], [45.0, 3.0, 60.0, 4.0]])
    np.testing.assert_array_equal(clip_boxes(boxes, 64, 48), [[0, 0, 48, 64], [45, 3, 48, 4]])


@pytest.mark.parametrize("own_boxes", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_suppression_keeps_what_a_sorted_loop_keeps(seed, own_boxes):
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, 40 * 3).reshape(40, 3, 4) if own_boxes else random_boxes(rng, 40)
    scores = rng.uniform(size=(40, 3)).astype(np.float32)
    scores[rng.uniform(size=scores.shape) < 0.3] = -np.inf
    scores[5:10] = scores[5]  # ties
    for count in (10, 60):
        expected = suppress(boxes, scores, 0.3, count)
        places, classes, filled = suppression(boxes, scores, overlap=0.3, count=count)
        assert filled.sum() == len(expected)
        assert list(zip(places[filled].tolist(), classes[filled].tolist(), strict=True)) == expected
        assert places.shape == classes.shape == filled.shape == (count,)


def test_suppression_is_the_same_compiled():
    rng = np.random.default_rng(3)
    boxes, scores = random_boxes(rng, 9), rng.uniform(size=(9, 2)).astype(np.float32)
    eager = non_maximum_suppression(jnp.asarray(boxes), jnp.asarray(scores), overlap=0.5, count=3)
    for a, b in zip(eager, suppression(boxes, scores, overlap=0.5, count=3), strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_candidates_nothing_is_kept():
    boxes, scores = np.zeros((9, 4), np.float32), np.full((9, 2), -np.inf, np.float32)
    assert not suppression(boxes, scores, overlap=0.5, count=3)[2].any()
