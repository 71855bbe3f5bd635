"""Resizing: against Pillow and plain interpolation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxicm.tasks.resizing import resize, resize_pixels, resize_pixels_opencv

SIZES = [(24, 40), (61, 83), (130, 77), (48, 64)]


def two_nearest(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Interpolate between the two nearest pixel centres, without antialiasing."""

    def axis(size: int, source: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        position = np.clip((np.arange(size) + 0.5) * source / size - 0.5, 0, source - 1)
        first = np.minimum(np.floor(position).astype(int), source - 1)
        return first, np.minimum(first + 1, source - 1), position - first

    (top, bottom, fy), (left, right, fx) = axis(height, pixels.shape[0]), axis(width, pixels.shape[1])
    x = pixels.astype(np.float64)
    rows = x[top] * (1 - fy)[:, None, None] + x[bottom] * fy[:, None, None]
    return rows[:, left] * (1 - fx)[:, None] + rows[:, right] * fx[:, None]


@pytest.mark.parametrize("size", SIZES)
def test_antialiased_it_is_pillows_bilinear(photograph, size):
    pixels = photograph(48, 64)
    expected = np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(resize_pixels(pixels, *size) - expected).max() <= 1
    in_jax = resize(jnp.asarray(pixels, jnp.float32)[None], *size, antialias=True)
    assert np.abs(np.asarray(in_jax[0]) - expected).max() <= 1.01


@pytest.mark.parametrize("size", SIZES)
def test_plain_it_interpolates_the_two_nearest(photograph, size):
    pixels = photograph(48, 64)
    expected = two_nearest(pixels, *size)
    assert (
        np.abs(resize_pixels_opencv(pixels, *size) - expected).max() <= 1.0
    )  # half a level of rounding, half of floors
    in_jax = resize(jnp.asarray(pixels, jnp.float32)[None], *size, antialias=False)
    np.testing.assert_allclose(in_jax[0], expected, atol=1e-3)


def test_fixed_point_agrees_with_an_integer_worked_out_by_hand():
    """Half-way between 10 and 21, weights 1024/2048: (10*1024 + 21*1024) >> 4 = 1984; (1984 * 2048) >> 16 = 62."""
    pixels = np.array([[[10], [21]]], np.uint8)
    assert resize_pixels_opencv(pixels, 1, 1).item() == (62 + 0 + 2) >> 2


def test_the_gradient_reaches_every_pixel():
    images = jnp.zeros((1, 20, 30, 3))
    gradient = jax.grad(lambda x: jnp.sum(resize(x, 10, 12, antialias=True)))(images)
    assert np.all(gradient > 0)
    assert float(gradient.sum()) == pytest.approx(10 * 12 * 3, rel=1e-5)
