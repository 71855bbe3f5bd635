"""Weights of squared errors: what they say of a known distortion, and where the bits go with them."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.adapt.stage import Stage
from jaxicm.codecs import importance, latent_adapter
from jaxicm.codecs.adaptation import OBJECTIVES, Objective
from jaxicm.codecs.importance import CEILING, FLOOR, costs_and_errors, weights

SEARCH = (
    Stage(method="coordinate", iterations=8, learning_rate=0.3, optimizer="sgd", check_every=4, context_gradient=False),
)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(latent_adapter, "WINDOWS", ((128, 128), (320, 320)))


def left_counts(arrays, x, x_hat):
    """Return the squared error, a hundredth of it in the right half."""
    factor = jnp.where(jnp.arange(x.shape[2]) < x.shape[2] // 2, 1.0, 0.01)[:, None]
    return arrays * jnp.mean(factor * jnp.square(x - x_hat), axis=(1, 2, 3))


def left_but_slow(arrays, x, x_hat):
    return left_counts(1.0 if arrays is None else arrays, x, x_hat)


def test_costs_and_errors_of_a_quadratic_distortion():
    rng = np.random.default_rng(0)
    x, error = rng.uniform(0, 1, (2, 32, 64, 3)), 0.1 * rng.normal(size=(2, 32, 64, 3))
    cost, squared = costs_and_errors(jnp.float32(3.0), jnp.float32(x), jnp.float32(x + error), left_counts, 16)
    assert cost.shape == squared.shape == (2, 2, 4)
    np.testing.assert_allclose(squared.sum(axis=(1, 2)), 1.0, rtol=1e-5)
    ratio = np.asarray(cost / squared) * 32 * 64 * 3 / (2 * 3.0)
    np.testing.assert_allclose(ratio[:, :, :2], 1.0, rtol=1e-3)
    np.testing.assert_allclose(ratio[:, :, 2:], 0.01, rtol=1e-2)


def test_weights_are_about_one_where_it_matters_and_have_a_floor(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importance, "SPREAD", 0.3)
    found = weights(np.array([[[4.0, 4.0, 1.0, 1.0, 0.0, -3.0]] * 4]), np.ones((1, 4, 6)))
    assert found.dtype == np.float32 and found.shape == (4, 6)
    assert found[0, 0] / found[0, 3] == pytest.approx(2.0, rel=0.05), "square roots of 4 and 1"
    assert found[0, 0] == pytest.approx(1.0, abs=0.2)
    assert (found[:, 4:] == np.float32(FLOOR)).all()
    peak = weights(np.eye(8)[None], np.ones((1, 8, 8)))
    assert peak.max() <= CEILING


def test_where_nothing_matters_all_weights_are_one():
    np.testing.assert_array_equal(weights(np.zeros((2, 3, 4)), np.zeros((2, 3, 4))), np.ones((3, 4)))


def test_bits_go_where_errors_cost(tiny_codec, photograph):
    image = photograph(128, 256)
    objective = Objective("left", left_but_slow, seen=left_but_slow)
    made = tiny_codec.encode_detail(image, quality=50, effort=SEARCH, tune=objective, verify=True)
    even = tiny_codec.encode_detail(image, quality=50, effort=SEARCH, tune=OBJECTIVES["mse"])
    assert made.adapted is not None and made.adapted.cost < made.adapted.start

    def error(result, half):
        return np.square(result.reconstruction.astype(float) - image)[:, half].mean()

    left, right = slice(0, 96), slice(160, 256)
    assert error(made, left) / error(even, left) < error(made, right) / error(even, right)


@pytest.mark.slow
def test_other_methods_follow_the_distortion_itself(tiny_codec, photograph, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_):
        raise AssertionError("weights are for the method coordinate alone")

    monkeypatch.setattr(latent_adapter.LatentAdapter, "importance", refuse)
    noisy = (Stage(method="noise", iterations=2, check_every=2),)
    objective = Objective("left", left_but_slow, seen=left_but_slow)
    assert tiny_codec.encode_detail(photograph(64, 64), quality=50, effort=noisy, tune=objective).adapted is not None
