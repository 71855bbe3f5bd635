"""The differentiable code length against the integer coder and against scipy-free float64 formulas."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxicm.bits.mixture import Mixture
from jaxicm.entropy.logistic_mixture import SCALE_MAX, WEIGHT_MAX, mixture_bits


def drawn(n: int = 4000, mixtures: int = 3, seed: int = 0):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, n)
    mean = np.clip(x * 16 + rng.normal(0, 60, (mixtures, n)), -500, 5000).astype(np.int32)
    return x, mean, rng.integers(20, 110, (mixtures, n)), rng.integers(40, WEIGHT_MAX + 1, (mixtures, n))


def test_the_model_estimates_what_the_coder_pays():
    x, mean, scale, weight = drawn()
    low, high = np.zeros(len(x), np.int32), np.full(len(x), 255, np.int32)
    paid = Mixture(mean, scale, weight, low, high).cost_bits(x)
    estimate = mixture_bits(*map(jnp.float32, (x, 0, 255, mean.T / 16, scale.T, weight.T))).sum()
    assert abs(float(estimate) - paid) < 0.002 * paid


def test_probabilities_of_all_symbols_sum_to_one():
    _, mean, scale, weight = drawn(50)
    x = np.arange(256)[:, None]
    bits = mixture_bits(*map(jnp.float32, (x, 0, 255, mean.T[None] / 16, scale.T[None], weight.T[None])))
    np.testing.assert_allclose(np.exp2(-np.asarray(bits, np.float64)).sum(axis=0), 1, atol=2e-4)


def test_gradients_are_finite_for_impossible_symbols():
    mean = jnp.array([[0.0, 1.0]])
    gradient = jax.grad(
        lambda m, s: mixture_bits(
            jnp.float32([200.0]), jnp.float32(0), jnp.float32(255), m, s, jnp.zeros((1, 2))
        ).sum(),
        argnums=(0, 1),
    )(mean, jnp.zeros((1, 2)))
    assert all(np.isfinite(g).all() for g in gradient)


def test_the_widest_scale_is_almost_uniform():
    bits = mixture_bits(
        jnp.arange(256.0), jnp.float32(0), jnp.float32(255), jnp.full((256, 1), 127.5),
        jnp.full((256, 1), float(SCALE_MAX)), jnp.zeros((256, 1)),
    )  # fmt: skip
    np.testing.assert_allclose(bits[1:-1], 8 + np.log2(65536 / 1024), atol=8)
    assert float(bits[0]) < 1.1
