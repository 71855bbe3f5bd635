"""What stands for rounding: values, rates and gradients against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.entropy import gaussian
from jaxicm.entropy.progressive import Progressive, ProgressiveConfig
from jaxicm.entropy.surrogate import Surrogate, rounding_of, soft_round

RNG = np.random.default_rng(0)
Y = jnp.asarray(RNG.normal(0, 3, 500), jnp.float32)
MEAN = jnp.asarray(np.round(RNG.normal(0, 1, 500) * 16) / 16, jnp.float32)
INDEX = jnp.asarray(RNG.integers(0, 40, 500), jnp.float32)
NOISE = jnp.asarray(RNG.uniform(-0.5, 0.5, 500), jnp.float32)


def run(kind: str, sharpness: float = 5.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, bits, and the gradient of the summed bits with respect to y."""
    surrogate = Surrogate(kind, sharpness)  # type: ignore[arg-type]
    noise = NOISE if surrogate.noisy else None
    value, bits = rounding_of(surrogate)(Y, MEAN, INDEX, noise)
    slope = jax.grad(lambda y: rounding_of(surrogate)(y, MEAN, INDEX, noise)[1].sum())(Y)
    return np.asarray(value), np.asarray(bits), np.asarray(slope)


@pytest.mark.parametrize("kind", ["rounded", "straight_through", "mixed"])
def test_values_are_those_of_the_file(kind: str):
    value, bits, _ = run(kind)
    symbol = gaussian.round_with_cost(np.asarray(Y - MEAN), np.asarray(INDEX), np)
    np.testing.assert_array_equal(value, np.where(INDEX > 0, symbol, 0) + np.asarray(MEAN))
    coded = gaussian.gaussian_bits(jnp.asarray(symbol), gaussian.scale_of_index(INDEX))
    if kind == "mixed":
        assert np.mean(np.abs(bits - coded)) > 0.1
    else:
        np.testing.assert_allclose(bits, coded, rtol=1e-5)


def test_noisy_values_and_their_rate():
    value, bits, _ = run("noise")
    np.testing.assert_allclose(value, Y + NOISE)
    expected = gaussian.gaussian_bits(Y - MEAN + NOISE, gaussian.scale_of_index(INDEX))
    np.testing.assert_allclose(bits, expected, rtol=1e-4)
    np.testing.assert_allclose(run("mixed")[1], expected, rtol=1e-4)


def test_soft_rounding_goes_from_the_identity_to_rounding():
    x = np.linspace(-3.4, 3.4, 200)
    np.testing.assert_allclose(soft_round(jnp.asarray(x), 1e-3), x, atol=1e-3)
    away = x[np.abs(x - np.floor(x) - 0.5) > 0.05]
    np.testing.assert_allclose(soft_round(jnp.asarray(away), 200.0), np.round(away), atol=1e-3)
    middle = np.floor(x) + 0.5
    expected = middle + np.tanh(4 * (x - middle)) / (2 * np.tanh(2))
    np.testing.assert_allclose(soft_round(jnp.asarray(x), 4.0), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["rounded", "straight_through", "mixed", "noise", "soft"])
def test_values_follow_the_latent_and_gradients_are_finite(kind: str):
    surrogate = Surrogate(kind)  # type: ignore[arg-type]
    noise = NOISE if surrogate.noisy else None
    slope = jax.grad(lambda y: rounding_of(surrogate)(y, MEAN, INDEX, noise)[0].sum())(Y)
    assert np.isfinite(slope).all() and np.isfinite(run(kind)[2]).all()
    if kind != "soft":
        np.testing.assert_array_equal(slope, np.ones(500))


def test_the_gradient_of_the_rounded_rate_is_the_mean_of_the_noisy_one():
    """Averaged over noise; the limit on slopes and the floor of probabilities do not matter at these scales."""
    index = jnp.full(500, 30.0)
    rounded = jax.grad(lambda y: rounding_of(Surrogate())(y, MEAN, index, None)[1].sum())(Y)
    noises = np.linspace(-0.5, 0.5, 400, endpoint=False) + 1 / 800
    noisy = jax.vmap(
        lambda u: jax.grad(lambda y: rounding_of(Surrogate("noise"))(y, MEAN, index, jnp.full(500, u))[1].sum())(Y)
    )(jnp.asarray(noises, jnp.float32)).mean(axis=0)
    np.testing.assert_allclose(rounded, noisy, atol=0.02)


@pytest.mark.slow
def test_sampling_phases_estimates_the_rate_without_bias():
    config = ProgressiveConfig(channels=8, groups=1, hidden=16, anchors=1)
    model = Progressive(config)
    y = jnp.asarray(RNG.normal(0, 2, (1, 16, 16, 8)), jnp.float32)
    position = jnp.zeros(1)
    params = model.init(jax.random.key(0), y, position, None)
    _, whole = model.apply(params, y, position, None)

    @jax.jit
    def sampled(key):
        return model.apply(params, y, position, key, Surrogate(sample_phases=True))

    found = [sampled(key) for key in jax.random.split(jax.random.key(1), 24)]
    bits = {round(float(b[0]), 2) for _, b in found}
    assert len(bits) == 3  # one for each phase
    # Unsampled phases are rounded without their means, so the context differs a little.
    assert np.mean(sorted(bits)) == pytest.approx(float(whole[0]), rel=0.05)
