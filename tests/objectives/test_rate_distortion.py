"""The loss against the same sums in numpy."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.objectives.rate_distortion import rate_distortion


@pytest.mark.parametrize("exponent", [0.0, 0.45])
def test_the_loss_is_the_weighted_sum_of_rate_and_distortion(exponent: float):
    rng = np.random.default_rng(0)
    x, x_hat = rng.random((2, 3, 4, 5, 3))
    bits, trade_off = np.array([40.0, 10.0, 0.0]), np.array([0.02, 0.002, 0.5])
    terms = rate_distortion(
        jnp.asarray(x, jnp.float32),
        jnp.asarray(x_hat, jnp.float32),
        jnp.asarray(bits, jnp.float32),
        jnp.asarray(trade_off, jnp.float32),
        weight_exponent=exponent,
    )
    mse = np.array([np.mean((a - b) ** 2) for a, b in zip(x, x_hat, strict=True)])
    bpp = bits / 20
    weight = (trade_off / 0.02) ** -exponent
    np.testing.assert_allclose(terms.bpp, bpp, rtol=1e-6)
    np.testing.assert_allclose(terms.mse, mse, rtol=1e-5)
    np.testing.assert_allclose(terms.loss, weight * (bpp + trade_off * 65025 * mse), rtol=1e-5)


def test_the_best_point_of_a_quality_does_not_depend_on_the_weight():
    x = jnp.zeros((1, 2, 2, 3))
    candidates = [(x + error, jnp.array([bits])) for error, bits in ((0.02, 8.0), (0.05, 4.0), (0.2, 1.0))]

    def best(exponent: float) -> int:
        losses = [rate_distortion(x, y, b, jnp.array([0.01]), weight_exponent=exponent).loss[0] for y, b in candidates]
        return int(np.argmin(losses))

    assert best(0.0) == best(0.45)
