"""Gaussian rate, its gradients, and the encoder's rounding, against plain mathematics."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.entropy import gaussian


def bits(value: float, scale: float) -> float:
    """-log2 of the mass of a normal distribution in a unit interval, by math.erf."""
    root = scale * math.sqrt(2)
    mass = 0.5 * (math.erf((abs(value) + 0.5) / root) - math.erf((abs(value) - 0.5) / root))
    return -math.log2(max(mass, 1e-6))


def test_the_scales_are_the_documented_ones():
    table = gaussian.scale_table()
    assert table.shape == (64,)
    assert table[0] == pytest.approx(0.11)
    assert table[63] == pytest.approx(0.11 * math.exp(63 / 8))
    np.testing.assert_allclose(gaussian.index_of_scale(table), np.arange(64), atol=1e-9)
    np.testing.assert_allclose(gaussian.scale_of_index(jnp.arange(64.0)), table, rtol=1e-5)


@pytest.mark.parametrize("scale", [0.11, 0.4, 1.0, 7.0, 200.0])
def test_bits_equal_the_normal_distribution(scale):
    values = np.array([0.0, 0.3, -1.0, 2.0, 5.0])
    found = gaussian.gaussian_bits(jnp.asarray(values, jnp.float32), jnp.full(5, scale, jnp.float32))
    np.testing.assert_allclose(found, [bits(v, scale) for v in values], rtol=1e-3, atol=1e-4)


def test_the_gradient_of_a_residual_is_that_of_the_rate_averaged_over_noise():
    noise = (np.arange(2000) + 0.5) / 2000 - 0.5
    for residual, scale in ((0.2, 0.5), (0.9, 0.8), (-1.6, 2.0), (3.2, 1.5)):

        def rate(r: jax.Array, scale=scale) -> jax.Array:
            return gaussian.rounded_bits(jnp.round(r), r, jnp.float32(scale))

        def average(r: float, scale=scale) -> float:
            return float(np.mean([bits(r + u, scale) for u in noise]))

        found = float(jax.grad(rate)(jnp.float32(residual)))
        assert found == pytest.approx((average(residual + 1e-3) - average(residual - 1e-3)) / 2e-3, rel=0.02)
        assert float(rate(jnp.float32(residual))) == pytest.approx(bits(round(residual), scale), rel=1e-3)


def test_rounding_takes_the_symbol_of_least_cost():
    weight, residuals = gaussian.DISTORTION_BITS, np.linspace(-4.49, 4.49, 400)
    for index in (24, 30, 40, 50):  # where no symbol of the range is beyond the floor of probabilities
        scale = gaussian.scale_table()[index]
        found = gaussian.round_with_cost(residuals, np.full(residuals.shape, index), np)
        for residual, symbol in zip(residuals, found, strict=True):
            nearest = round(residual)
            candidates = {nearest, nearest - int(np.sign(nearest))}
            cost = {v: bits(v, scale) + weight * (residual - v) ** 2 for v in candidates}
            assert cost[int(symbol)] <= min(cost.values()) + 0.02, (index, residual)


def test_both_array_modules_round_alike_and_other_tables_round_plainly():
    rng = np.random.default_rng(0)
    residual = (3 * rng.standard_normal(500)).astype(np.float32)
    index = rng.integers(0, 64, 500)
    on_host = gaussian.round_with_cost(residual, index, np)
    np.testing.assert_array_equal(gaussian.round_with_cost(jnp.asarray(residual), jnp.asarray(index)), on_host)
    np.testing.assert_array_equal(gaussian.round_with_cost(residual, index + 64, np), np.round(residual))
