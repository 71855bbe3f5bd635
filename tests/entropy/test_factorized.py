"""The factorised prior against numpy and against distributions that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import expit

from jaxicm.bits.tables import tables_from_pmfs
from jaxicm.entropy import factorized
from jaxicm.entropy.factorized import Factorized

CHANNELS = 3


def cumulative(params: dict, channel: int, x: float) -> float:
    """P(X <= x), written out as in the paper, one number at a time."""
    h = np.array([x])
    for k in range(5):
        h = np.log1p(np.exp(np.array(params[f"matrix{k}"][channel], np.float64))) @ h + params[f"bias{k}"][channel]
        if k < 4:
            h = h + np.tanh(params[f"factor{k}"][channel]) * np.tanh(h)
    return float(expit(h[0]))


@pytest.fixture(scope="module")
def params():
    model = Factorized(CHANNELS)
    start = model.init(jax.random.key(0), jnp.zeros((1, CHANNELS)))["params"]
    leaves, tree = jax.tree.flatten(start)
    rng = np.random.default_rng(1)
    return jax.tree.unflatten(tree, [a + rng.normal(0, 0.3, a.shape).astype(np.float32) for a in leaves])


def test_bits_are_those_of_the_distribution_function(params):
    host = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    x = np.random.default_rng(2).uniform(-20, 20, (2, 4, CHANNELS)).astype(np.float32)
    bits = Factorized(CHANNELS).apply({"params": params}, jnp.asarray(x))
    expected = [[[-np.log2(cumulative(host, c, v + 0.5) - cumulative(host, c, v - 0.5))
                  for c, v in enumerate(row)] for row in plane] for plane in x.astype(np.float64)]  # fmt: skip
    np.testing.assert_allclose(bits, expected, rtol=2e-3)


def test_it_has_58_parameters_a_channel(params):
    assert sum(a.size for a in jax.tree.leaves(params)) == 58 * CHANNELS


def test_tables_hold_the_distribution_and_leave_the_tail_out(params):
    host = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    for tail in (2.0**-11, 0.1):
        for c, (pmf, offset, outside) in enumerate(factorized.freeze_pmfs(host, tail)):
            expected = [
                cumulative(host, c, offset + i + 0.5) - cumulative(host, c, offset + i - 0.5) for i in range(len(pmf))
            ]
            np.testing.assert_allclose(pmf, expected, atol=1e-9)
            assert outside == pytest.approx(1 - sum(expected), abs=1e-9)
            assert outside <= tail
            # Without its first or last entry it would leave out more than half of the tail on that side.
            assert cumulative(host, c, offset + 0.5) > tail / 2
            assert 1 - cumulative(host, c, offset + len(pmf) - 1.5) > tail / 2


def test_a_very_wide_distribution_keeps_its_middle(params):
    host = jax.tree.map(np.array, params)
    host["matrix0"] = host["matrix0"] - 6.0
    for pmf, _, outside in factorized.freeze_pmfs(host):
        assert len(pmf) == factorized.MAX_ENTRIES
        assert pmf.sum() + outside == pytest.approx(1, abs=1e-6)
    assert len(tables_from_pmfs(factorized.freeze_pmfs(host))) == CHANNELS


def test_training_finds_the_entropy_of_known_distributions():
    rng = np.random.default_rng(3)
    data = np.stack(
        [rng.laplace(2.0, 3.0, 4096), rng.normal(-1.0, 0.8, 4096), np.where(rng.random(4096) < 0.3, 6.0, -6.0)], axis=1
    ).round()
    model = Factorized(CHANNELS)
    x = jnp.asarray(data, jnp.float32)
    weights = model.init(jax.random.key(0), x)["params"]
    optimizer = optax.adam(optax.cosine_decay_schedule(0.03, 500))

    @jax.jit
    def train(weights):
        def step(carry, key):
            weights, state = carry

            def rate(w):
                return model.apply(
                    {"params": w}, x[:1024] + jax.random.uniform(key, (1024, 3), minval=-0.5, maxval=0.5)
                ).mean()

            update, state = optimizer.update(jax.grad(rate)(weights), state, weights)
            return (optax.apply_updates(weights, update), state), None

        return jax.lax.scan(step, (weights, optimizer.init(weights)), jax.random.split(jax.random.key(1), 500))[0][0]

    tables = tables_from_pmfs(factorized.freeze_pmfs(jax.tree.map(np.asarray, train(weights))))
    for c in range(CHANNELS):
        symbols = data[:, c].astype(np.int32)
        share = np.unique(symbols, return_counts=True)[1] / len(symbols)
        entropy = -(share * np.log2(share)).sum()
        assert tables.cost_bits(symbols, np.full(len(symbols), c)) / len(symbols) < entropy * 1.03 + 0.05
