"""All steps of the probability model at once: enough passes give what coding gives, and two come near."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.entropy.progressive import Progressive, ProgressiveConfig, gaussian_start
from jaxicm.entropy.progressive_rate import Options, code_latent
from jaxicm.entropy.surrogate import ROUNDED, Surrogate, rounding_of
from jaxicm.errors import ConfigError
from jaxicm.train.objective_config import ObjectiveConfig

EVEN = ProgressiveConfig(channels=16, groups=2, hidden=16, anchors=2)
UNEVEN = dataclasses.replace(EVEN, group_channels=(5, 11), context_channels=3)
SPREAD = {"taps_mu": 0.1, "taps_log": 0.004, "b1": 0.2, "b2": 0.2, "bu": 0.2, "bo": 0.1, "o": 0.06}
SHAPE = (2, 8, 12, 16)


@pytest.fixture(scope="module", params=[pytest.param(EVEN, marks=pytest.mark.slow), UNEVEN], ids=["even", "uneven"])
def config(request) -> ProgressiveConfig:
    return request.param


@pytest.fixture(scope="module")
def params(config) -> dict[str, np.ndarray]:
    shapes = jax.eval_shape(Progressive(config).init, jax.random.key(0), jnp.zeros(SHAPE), jnp.zeros(2))["params"]
    rng = np.random.default_rng(0)
    drawn = {
        name: rng.normal(0, SPREAD.get(name, SPREAD.get(name.rstrip("0123456789"), 0.2)), leaf.shape).astype(np.float32)
        for name, leaf in shapes.items()
    }
    start = gaussian_start(np.broadcast_to(np.linspace(8, 0.3, 16), (2, 16)), config)
    return drawn | {name: drawn[name] + biases for name, biases in start.items()}


@pytest.fixture(scope="module")
def y() -> np.ndarray:
    return np.random.default_rng(1).normal(0, np.linspace(8, 0.3, 16), SHAPE).astype(np.float32)


POSITION = np.array([0.0, 0.7], np.float32)


def run(config, params, y, surrogate, key=None):
    model = Progressive(config)
    done = jax.jit(lambda y: model.apply({"params": params}, y, POSITION, key, surrogate))(y)
    return [np.asarray(part) for part in done]


def test_enough_passes_find_the_values_and_the_rate_of_coding(config, params, y):
    values, bits = run(config, params, y, Surrogate())
    again, same = run(config, params, y, Surrogate(passes=config.steps + 1))
    np.testing.assert_array_equal(again, values)
    np.testing.assert_allclose(same, bits, rtol=1e-5)


def test_every_pass_comes_nearer(config, params, y):
    values, bits = run(config, params, y, Surrogate())
    off = []
    for passes in (1, 2, 4):
        guessed, rate = run(config, params, y, Surrogate(passes=passes))
        off.append(float(np.mean(guessed != values)))
        np.testing.assert_allclose(rate, bits, rtol=0.1)
    assert 0.9 * off[0] > off[1] > 2 * off[2], off


@pytest.mark.parametrize("kind", ["rounded", "mixed", "noise"])
def test_the_gradient_is_finite_and_reaches_everything(config, params, y, kind):
    model, surrogate = Progressive(config), Surrogate(kind, passes=2)

    def loss(params, y):
        values, bits = model.apply({"params": params}, y, POSITION, jax.random.key(0), surrogate)
        return bits.mean() + (jnp.asarray(values) ** 2).mean()

    of_params, of_y = jax.jit(jax.grad(loss, argnums=(0, 1)))(params, y)
    assert np.isfinite(of_y).all() and np.abs(of_y).max() > 0
    for name, gradient in of_params.items():
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, name


@pytest.mark.slow
def test_the_gradient_of_the_parameters_is_that_of_coding_with_its_contexts_given(config, params, y):
    model, converged = Progressive(config), Surrogate(passes=config.steps + 1)
    options = Options(context_gradient=False)

    def all_at_once(params):
        return model.apply({"params": params}, y, POSITION, None, converged)[1].sum()

    def step_by_step(params):
        layers = model.apply({"params": params}, POSITION, method="layers")
        return code_latent(layers, y, rounding_of(ROUNDED), options=options)[1].sum()

    found, expected = (jax.jit(jax.grad(loss))(params) for loss in (all_at_once, step_by_step))
    for name, gradient in expected.items():  # products of gradients have operands of 8 bits
        assert np.linalg.norm(found[name] - gradient) <= 0.01 * np.linalg.norm(gradient), name


def test_a_pass_that_is_computed_again_has_the_same_gradient(params, y, config):
    def loss(y, remat):
        values, bits = Progressive(config, remat).apply({"params": params}, y, POSITION, None, Surrogate(passes=1))
        return bits.sum() + (jnp.asarray(values) ** 2).sum()

    kept, again = (np.asarray(jax.jit(jax.grad(loss), static_argnums=1)(y, remat)) for remat in (False, True))
    np.testing.assert_allclose(again, kept, rtol=1e-4, atol=1e-4 * np.abs(kept).max())


def test_passes_are_refused_where_they_make_no_sense():
    with pytest.raises(ConfigError, match=r"objective\.passes: found -1"):
        ObjectiveConfig(passes=-1)
    with pytest.raises(ConfigError, match=r"objective\.phases=all"):
        ObjectiveConfig(passes=2, phases="sampled")
