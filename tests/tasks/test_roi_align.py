"""RoIAlign: against loops over bins, samples and neighbours, as the original programs are written."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.tasks.roi_align import roi_align

BOXES = np.array(
    [[3, 5, 40, 33], [-20, -9, 70, 20], [30, 30, 31, 31.5], [0, 0, 96, 64], [90, 60, 99, 80]],
    np.float32,
)  # fmt: skip
"""In a picture of 96x64: inside, over the border, tiny, all of it, over the far corner."""


def sample(features: np.ndarray, y: float, x: float) -> np.ndarray:
    height, width, channels = features.shape
    if y < -1 or y > height or x < -1 or x > width:
        return np.zeros(channels)
    y, x = max(y, 0.0), max(x, 0.0)
    y0, x0 = min(int(y), height - 1), min(int(x), width - 1)
    y, x = (float(y0) if y0 == height - 1 else y), (float(x0) if x0 == width - 1 else x)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    fy, fx = y - y0, x - x0
    top = features[y0, x0] * (1 - fx) + features[y0, x1] * fx
    return top * (1 - fy) + (features[y1, x0] * (1 - fx) + features[y1, x1] * fx) * fy


def slow_roi_align(features: np.ndarray, boxes: np.ndarray, size: int, scale: float, samples: int | None) -> np.ndarray:
    out = np.zeros((len(boxes), size, size, features.shape[2]))
    for n, box in enumerate(boxes.astype(np.float64) * scale - 0.5):
        x0, y0, x1, y1 = box
        high, wide = (y1 - y0) / size, (x1 - x0) / size
        rows = math.ceil((y1 - y0) / size) if samples is None else samples
        columns = math.ceil((x1 - x0) / size) if samples is None else samples
        for p in range(size):
            for q in range(size):
                for i in range(rows):
                    for j in range(columns):
                        y, x = y0 + high * (p + (i + 0.5) / rows), x0 + wide * (q + (j + 0.5) / columns)
                        out[n, p, q] += sample(features, y, x) / (rows * columns)
    return out


compiled = jax.jit(roi_align, static_argnames=("size", "scale", "samples"))


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(16, 24, 3)).astype(np.float32)


@pytest.mark.parametrize("size", [6, 14])
@pytest.mark.parametrize("samples", [2, None])
def test_it_is_the_mean_of_bilinear_samples(features, size, samples):
    found = compiled(features, BOXES, size=size, scale=0.25, samples=samples)
    np.testing.assert_allclose(found, slow_roi_align(features, BOXES, size, 0.25, samples), atol=2e-5)


@pytest.mark.parametrize("samples", [2, None])
def test_a_canvas_around_the_features_changes_nothing(features, samples):
    canvas = np.pad(features, ((0, 5), (0, 9), (0, 0)), constant_values=7.0)
    alone = compiled(features, BOXES, size=6, scale=0.25, samples=samples)
    extent = (np.int32(16), np.int32(24))
    padded = compiled(canvas, BOXES, size=6, scale=0.25, samples=samples, extent=extent)
    np.testing.assert_allclose(padded, alone, atol=1e-6)


def test_compiled_it_is_the_same(features):
    eager = roi_align(jnp.asarray(features), jnp.asarray(BOXES), size=6, scale=0.25, samples=None)
    np.testing.assert_allclose(compiled(features, BOXES, size=6, scale=0.25, samples=None), eager, atol=1e-5)


def test_the_gradient_is_the_transpose(features):
    """RoIAlign is linear: d<g, A x>/dx is A^T g, tested with a second vector as <A u, g> = <u, A^T g>."""
    rng = np.random.default_rng(1)
    g = rng.normal(size=(len(BOXES), 6, 6, 3)).astype(np.float32)
    u = rng.normal(size=features.shape).astype(np.float32)
    gradient = jax.grad(lambda x: jnp.sum(roi_align(x, jnp.asarray(BOXES), size=6, scale=0.25) * g))(
        jnp.asarray(features)
    )
    expected = np.sum(slow_roi_align(u, BOXES, 6, 0.25, 2) * g)
    assert np.sum(np.asarray(gradient, np.float64) * u) == pytest.approx(expected, rel=1e-4)


def test_boxes_get_no_gradient(features):
    def total(boxes):
        return jnp.sum(compiled(features, boxes, size=6, scale=0.25))

    assert not np.any(jax.grad(total)(jnp.asarray(BOXES)))
