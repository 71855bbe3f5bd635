"""The differentiable MS-SSIM against the measure of decoded pictures, an implementation of its own in numpy."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.evaluate import metrics
from jaxicm.objectives.ms_ssim import WEIGHTS, ms_ssim


def test_the_weights_are_those_of_the_measure():
    assert WEIGHTS == metrics.MS_SSIM_WEIGHTS


@pytest.mark.parametrize("side", [(176, 192), (161, 170), (64, 50), (11, 13)])
def test_it_equals_the_measure(photograph: Callable[..., np.ndarray], side: tuple[int, int]):
    rng = np.random.default_rng(1)
    originals = [photograph(*side, seed) for seed in range(2)]
    decoded = [np.clip(a + rng.normal(0, 12, a.shape), 0, 255).astype(np.uint8) for a in originals]
    expected = [metrics.ms_ssim(a, b) for a, b in zip(originals, decoded, strict=True)]
    x, y = (jnp.asarray(np.stack(pictures), jnp.float32) / 255 for pictures in (originals, decoded))
    np.testing.assert_allclose(ms_ssim(x, y), expected, atol=2e-5)


def test_equal_pictures_have_one_and_no_gradient(photograph: Callable[..., np.ndarray]):
    x = jnp.asarray(photograph(44, 48)[None], jnp.float32) / 255
    value, gradient = jax.value_and_grad(lambda y: ms_ssim(x, y).sum())(x)
    assert float(value) == pytest.approx(1.0, abs=1e-5)
    assert float(jnp.max(jnp.abs(gradient))) < 1e-4


def test_the_gradient_is_that_of_finite_differences_and_is_finite_for_opposite_pictures(
    photograph: Callable[..., np.ndarray],
):
    rng = np.random.default_rng(0)
    x = photograph(32, 32)[None] / 255
    y = np.clip(x + rng.normal(0, 0.1, x.shape), 0, 1)
    direction = rng.normal(0, 1, x.shape)
    value = lambda y: float(ms_ssim(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))[0])  # noqa: E731
    slope = (value(y + 2e-3 * direction) - value(y - 2e-3 * direction)) / 4e-3
    gradient = jax.grad(lambda y: ms_ssim(jnp.asarray(x, jnp.float32), y).sum())(jnp.asarray(y, jnp.float32))
    assert float(jnp.sum(gradient * direction)) == pytest.approx(slope, rel=0.02)
    opposite = jax.grad(lambda y: ms_ssim(jnp.asarray(x, jnp.float32), y).sum())(jnp.asarray(1 - x, jnp.float32))
    assert np.isfinite(opposite).all()


def test_a_picture_smaller_than_the_window_is_an_error():
    with pytest.raises(ValueError, match="11 or more, got 10x40"):
        ms_ssim(jnp.zeros((1, 10, 40, 3)), jnp.zeros((1, 10, 40, 3)))
