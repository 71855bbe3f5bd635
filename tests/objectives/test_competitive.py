"""Competitive learning: the limits of the soft minimum, its gradient, who learns what, networks that nobody uses."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxicm.errors import ConfigError
from jaxicm.objectives.competitive import Annealing, revive, soft_minimum

D = jnp.asarray([[1.0, 4.0, 2.0], [3.0, 0.5, 2.5], [2.0, 1.0, 9.0]])


def test_the_soft_minimum_lies_between_the_mean_and_the_least():
    np.testing.assert_allclose(soft_minimum(D, 1e3), D.mean(axis=0), rtol=1e-2)
    np.testing.assert_allclose(soft_minimum(D, 1e-3), D.min(axis=0), atol=2e-3)
    middle = soft_minimum(D, 1.0)
    assert (middle > D.min(axis=0)).all() and (middle < D.mean(axis=0)).all()


@pytest.mark.parametrize("temperature", [0.1, 1.0, 10.0])
def test_its_gradient_is_the_fuzzy_assignment(temperature):
    slope = jax.grad(lambda d: soft_minimum(d, temperature).sum())(D)
    np.testing.assert_allclose(slope, jax.nn.softmax(-D / temperature, axis=0), atol=1e-6)


def test_the_temperature_falls_geometrically_and_then_stays():
    annealing = Annealing(first=1.0, last=0.01, share=0.5)
    found = [float(annealing.temperature(done)) for done in (0.0, 0.25, 0.5, 1.0)]
    assert found == pytest.approx([1.0, 0.1, 0.01, 0.01], rel=1e-5)


@pytest.mark.parametrize(
    "change", [{"last": 0.0}, {"first": 0.001}, {"share": 0.0}, {"least_usage": 0.5}, {"noise": -1}]
)
def test_settings_that_make_no_sense_are_refused(change):
    with pytest.raises(ConfigError, match="competition"):
        Annealing(**change)


def blurred(rng, count):
    x = rng.normal(size=(count, 32)).astype(np.float32)
    return x, (0.5 * x + 0.25 * np.roll(x, 1, 1) + 0.25 * np.roll(x, -1, 1)).astype(np.float32)


def ringing(rng, count):
    x = rng.normal(size=(count, 32)).astype(np.float32)
    return x, (1.5 * x - 0.25 * np.roll(x, 1, 1) - 0.25 * np.roll(x, -1, 1)).astype(np.float32)


def filtered(taps, y):
    return sum(taps[2 + k] * jnp.roll(y, k, axis=1) for k in range(-2, 3))


def test_two_filters_split_two_kinds_of_artefacts():
    rng, annealing, steps = np.random.default_rng(0), Annealing(), 400
    optimizer = optax.adam(0.02)
    start = jnp.zeros((2, 5)).at[:, 2].set(1.0) + 0.01 * jax.random.normal(jax.random.key(0), (2, 5))

    def distortions(params, x, y):
        return jnp.stack([jnp.mean(jnp.square(filtered(taps, y) - x), axis=1) for taps in params])

    @jax.jit
    def step(params, state, x, y, done):
        def loss(params):
            found = distortions(params, x, y)
            return soft_minimum(found, annealing.temperature(done) * jax.lax.stop_gradient(found.mean())).mean()

        change, state = optimizer.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, change), state

    params, state = start, optimizer.init(start)
    for number in range(steps):
        (a, b), (c, d) = blurred(rng, 16), ringing(rng, 16)
        params, state = step(params, state, np.concatenate([a, c]), np.concatenate([b, d]), number / steps)
    winners = [np.asarray(jnp.argmin(distortions(params, *kind(rng, 200)), axis=0)) for kind in (blurred, ringing)]
    first = round(float(np.mean(winners[0])))
    assert np.mean(winners[0] == first) >= 0.95 and np.mean(winners[1] != first) >= 0.95


def test_idle_networks_become_copies_of_the_busiest():
    params = {"kernel": jnp.arange(12.0).reshape(3, 4) + 1, "bias": jnp.asarray([[0.5], [1.5], [2.5]])}
    used = jnp.asarray([0.3, 0.7, 0.0])
    renewed, shares = revive(params, used, Annealing(noise=0.01), jax.random.key(0))
    np.testing.assert_array_equal(renewed["kernel"][:2], params["kernel"][:2])
    assert 0 < np.abs(renewed["kernel"][2] - params["kernel"][1]).max() < 0.5
    np.testing.assert_allclose(shares, [0.3, 0.35, 0.35])
    same, shares = revive(params, jnp.asarray([0.3, 0.6, 0.1]), Annealing(), jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, same, params)
    np.testing.assert_allclose(shares, [0.3, 0.6, 0.1])
