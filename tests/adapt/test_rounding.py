"""What stands for rounding: values, bits and gradients against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.adapt import rounding
from jaxicm.adapt.rounding import SYMBOL_MAX, coded, kumaraswamy, relaxed, relaxed_rate
from jaxicm.bits.tables import gaussian_tables, tables_from_pmfs
from jaxicm.entropy import gaussian

ARANGE = np.linspace(-3.3, 3.3, 67).astype(np.float32)


@pytest.fixture(scope="module")
def cost() -> np.ndarray:
    return rounding.costs(gaussian_tables(gaussian.scale_table()))


def quantizer(method, cost, temperature=0.1, done=0.5, weight=gaussian.DISTORTION_BITS):
    offsets = jnp.asarray(gaussian.offset_rows(weight))
    return relaxed(method, cost, offsets, jnp.float32(temperature), jnp.float32(done))


def test_costs_are_those_of_the_coder(cost):
    tables = gaussian_tables(gaussian.scale_table())
    rng = np.random.default_rng(0)
    symbols, index = rng.integers(-40, 41, 500).astype(np.int32), rng.integers(0, 64, 500)
    ours = cost[index, symbols + SYMBOL_MAX].astype(np.float64).sum()
    assert ours == pytest.approx(tables.cost_bits(symbols, index), rel=1e-6)


def test_the_coders_rounding_counts_no_bits_where_nothing_is_coded(cost):
    y, index = jnp.asarray([0.9, 0.9, 2.2]), jnp.asarray([0.0, 30.0, 30.0])
    values, bits = coded(jnp.asarray(cost), jnp.asarray(gaussian.offset_rows()))(y, jnp.zeros(3), index, None)
    assert values.tolist() == [0.0, 1.0, 2.0]
    assert bits[0] == 0
    np.testing.assert_allclose(bits[1:], [cost[30, SYMBOL_MAX + 1], cost[30, SYMBOL_MAX + 2]])


def test_a_smaller_weight_of_errors_rounds_more_symbols_to_zero(cost):
    y = jnp.linspace(-1.5, 1.5, 301)
    index = jnp.full(y.shape, 16.0)
    zeros = [
        int((coded(jnp.asarray(cost), jnp.asarray(gaussian.offset_rows(w)))(y, 0 * y, index, None)[0] == 0).sum())
        for w in (30.0, 12.0, 5.0)
    ]
    assert zeros[0] < zeros[1] < zeros[2]


@pytest.mark.parametrize("method", ["coordinate", "straight_through"])
def test_where_weights_are_given_symbols_are_those_of_least_cost(method, cost):
    rng = np.random.default_rng(2)
    y, weight = rng.uniform(-3, 3, 400).astype(np.float32), rng.choice([0.3, 3.0, 12.0, 40.0], 400).astype(np.float32)
    index = rng.integers(1, 40, 400)
    candidates = np.arange(-4, 5)
    prices = cost[index][:, SYMBOL_MAX + candidates] + weight[:, None] * np.square(candidates - y[:, None])
    for quantize in (quantizer(method, jnp.asarray(cost)), coded(jnp.asarray(cost), gaussian.offset_rows())):
        values, _ = quantize(jnp.asarray(y), jnp.zeros(400), jnp.asarray(index, jnp.float32), jnp.asarray(weight))
        found = prices[np.arange(400), np.asarray(values).astype(int) + 4]
        # Only the nearest, the next one towards zero, and zero are looked at.
        assert (found <= prices.min(axis=1) + 1e-4).mean() > 0.97
        assert (np.abs(values) <= np.abs(np.round(y))).all()


@pytest.mark.parametrize("method", ["coordinate", "straight_through"])
def test_methods_that_round_give_the_coders_values_and_nearly_its_bits(method, cost):
    y, mean, index = jnp.asarray(ARANGE), jnp.full(67, 0.25), jnp.full(67, 20.0)
    values, bits = quantizer(method, cost)(y, mean, index, None)
    expected, exact = coded(jnp.asarray(cost), jnp.asarray(gaussian.offset_rows()))(y, mean, index, None)
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_allclose(bits, exact, atol=0.2)


def test_only_straight_through_has_a_gradient_of_a_latents_own_bits(cost):
    def slope(method):
        index = jnp.full(67, 20.0)
        return jax.grad(lambda y: quantizer(method, cost)(y, 0 * y, index, None)[1].sum())(jnp.asarray(ARANGE))

    assert not np.asarray(slope("coordinate")).any()
    assert np.asarray(slope("straight_through")).any()


@pytest.mark.parametrize("method", ["sga", "sga+"])
def test_annealing_ends_at_integers_and_mostly_at_the_nearest(method, cost):
    y = jnp.asarray(np.random.default_rng(0).uniform(-3, 3, 4000).astype(np.float32))
    noise = jnp.asarray(np.random.default_rng(1).uniform(-0.5, 0.5, 4000).astype(np.float32))
    cold, _ = quantizer(method, cost, temperature=0.02)(y, 0 * y, 0 * y + 20, noise)
    warm, _ = quantizer(method, cost, temperature=0.5)(y, 0 * y, 0 * y + 20, noise)

    def distance(v):
        return float(jnp.abs(v - jnp.round(v)).mean())

    assert distance(cold) < 0.02 < distance(warm)
    nearest = float((jnp.round(cold) == jnp.round(y)).mean())
    assert nearest > (0.98 if method == "sga" else 0.7)
    assert float(jnp.abs(warm - y).max()) <= 1.0


def test_sga_draws_the_ceiling_as_often_as_published(cost):
    # Yang et al. 2020, section 3.3: probabilities proportional to exp(-atanh(distance) / temperature).
    temperature, part = 0.4, 0.3
    y = jnp.full(40_000, part)
    noise = jnp.asarray(np.random.default_rng(2).uniform(-0.5, 0.5, 40_000).astype(np.float32))
    values, _ = quantizer("sga", cost, temperature)(y, 0 * y, 0 * y + 20, noise)
    up, down = (np.exp(-np.arctanh(d) / temperature) for d in (1 - part, part))
    assert float((values > 0.5).mean()) == pytest.approx(up / (up + down), abs=0.01)


def test_soft_rounding_nears_rounding_as_its_temperature_falls(cost):
    y, index = jnp.asarray(ARANGE), jnp.full(67, 20.0)
    far = [
        float(jnp.abs(quantizer("soft", cost, t)(y, 0 * y, index, jnp.zeros(67))[0] - jnp.round(y)).mean())
        for t in (1.0, 0.3, 0.1)
    ]
    assert far[0] > far[1] > far[2]


def test_kumaraswamy_noise_has_its_mode_in_the_middle_and_is_uniform_at_one():
    uniform = jnp.asarray((np.arange(20_000) + 0.5) / 20_000)
    np.testing.assert_allclose(kumaraswamy(uniform, jnp.float32(1.0)), uniform - 0.5, atol=1e-5)
    counts, edges = np.histogram(kumaraswamy(uniform, jnp.float32(2.0)), 25, (-0.5, 0.5))
    assert abs(edges[counts.argmax()] + 0.02) < 0.05


def test_tables_that_are_no_gaussians_are_interpolated_between_symbols():
    pmf = np.array([0.1, 0.2, 0.4, 0.2, 0.1])
    gaussians = gaussian_tables(gaussian.scale_table())
    other = rounding.costs(tables_from_pmfs([(pmf, -2, 1e-3)]))
    cost = jnp.asarray(np.concatenate([rounding.costs(gaussians), other]))
    rate = relaxed_rate(cost)
    at = jnp.asarray([0.0, 0.5, 1.0])
    bits = np.asarray(rate(at, jnp.full(3, 64.0)))
    assert bits[0] == pytest.approx(-np.log2(0.4), abs=0.02)
    assert bits[2] == pytest.approx(-np.log2(0.2), abs=0.02)
    assert bits[1] == pytest.approx((bits[0] + bits[2]) / 2, abs=1e-4)
    slope = jax.grad(lambda x: rate(x, jnp.full(1, 64.0)).sum())(jnp.asarray([0.5]))
    assert slope[0] == pytest.approx(bits[2] - bits[0], abs=1e-4)
