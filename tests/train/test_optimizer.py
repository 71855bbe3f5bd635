"""Groups, schedules, Adam and Muon against numpy."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.train.config import Multipliers, OptimizerConfig
from jaxicm.train.optimizer import learning_rate, make_optimizer

MULTIPLIERS = Multipliers(linear=0.5, gains=2.0, taps=3.0, network=1.0, muon=0.25)


def parameters() -> Any:
    """Random leaves with the names and ranks of the model's."""
    rng = np.random.default_rng(0)

    def leaf(*shape: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    return {
        "analysis": {
            "klt": leaf(12, 4),
            "klt_block": leaf(8, 3),
            "std": leaf(4),
            "down": {"kernel": leaf(3, 3, 4, 8), "bias": leaf(8)},
        },
        "entropy": {"w1": leaf(3, 10, 6), "b1": leaf(7, 2, 6), "u": leaf(4, 2, 9, 6), "taps_mu": leaf(7, 4, 4)},
        "log_gain": leaf(2, 4),
    }


def test_the_first_update_of_adam_is_the_sign_times_the_multiplier_of_the_group():
    params = parameters()
    optimizer = make_optimizer(OptimizerConfig(clip=0.0, multipliers=MULTIPLIERS))
    updates: Any
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    factors = {
        "analysis": {"klt": 0.5, "klt_block": 0.5, "std": 0.5, "down": {"kernel": 1.0, "bias": 1.0}},
        "entropy": {"w1": 1.0, "b1": 1.0, "u": 1.0, "taps_mu": 3.0},
        "log_gain": 2.0,
    }
    jax.tree.map(
        lambda update, gradient, factor: np.testing.assert_allclose(update, factor * np.sign(gradient), rtol=1e-3),
        updates,
        params,
        factors,
    )


def test_muon_orthogonalises_kernels_and_leaves_the_rest_to_adam():
    params = parameters()
    config = OptimizerConfig(name="muon", clip=0.0, multipliers=MULTIPLIERS, muon_iterations=10)
    optimizer = make_optimizer(config)
    updates: Any
    updates, _ = jax.jit(optimizer.update)(params, optimizer.init(params), params)
    np.testing.assert_allclose(updates["log_gain"], 2.0 * np.sign(params["log_gain"]), rtol=1e-3)
    np.testing.assert_allclose(updates["entropy"]["b1"], np.sign(params["entropy"]["b1"]), rtol=1e-3)
    kernel = np.asarray(updates["analysis"]["down"]["kernel"]).reshape(1, 36, 8)
    banks = np.asarray(updates["entropy"]["u"]).reshape(8, 9, 6)
    for matrices, longest in ((kernel, 36), (banks, 9), (np.asarray(updates["entropy"]["w1"]), 10)):
        singular = np.linalg.svd(matrices, compute_uv=False) / (0.25 * 0.2 * longest**0.5)
        assert np.all((singular > 0.6) & (singular < 1.3)), singular  # Newton-Schulz brings them near 1, not to 1


def test_muon_can_be_kept_to_convolutions_and_to_unit_updates():
    params = parameters()
    config = OptimizerConfig(
        name="muon", clip=0.0, multipliers=MULTIPLIERS, muon_kernels="convolutions", muon_scale="unit"
    )
    optimizer = make_optimizer(config)
    updates: Any = jax.jit(optimizer.update)(params, optimizer.init(params), params)[0]
    np.testing.assert_allclose(updates["entropy"]["w1"], np.sign(params["entropy"]["w1"]), rtol=1e-3)
    kernel = np.asarray(updates["analysis"]["down"]["kernel"]).reshape(36, 8)
    singular = np.linalg.svd(kernel, compute_uv=False) / 0.25
    assert np.all((singular > 0.6) & (singular < 1.3)), singular


def test_rows_without_gradient_stay_where_they_are_under_muon():
    params = parameters()
    gradient = jax.tree.map(jnp.ones_like, params)
    gradient["entropy"]["u"] = params["entropy"]["u"].at[:, 0, 6:].set(0.0)
    optimizer = make_optimizer(OptimizerConfig(name="muon"))
    updates: Any
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    assert not np.any(updates["entropy"]["u"][:, 0, 6:])
    assert np.all(updates["entropy"]["u"][:, 1] != 0)


def test_the_gradient_is_clipped_by_its_global_norm():
    params = {"log_gain": jnp.array([0.0, 0.0])}
    optimizer = make_optimizer(OptimizerConfig(clip=1.0))
    state = optimizer.init(params)
    for gradient in ([3.0, 4.0], [30.0, 40.0]):
        _, after = optimizer.update({"log_gain": jnp.array(gradient)}, state, params)
        moments = [leaf for leaf in jax.tree.leaves(after) if np.shape(leaf) == (2,)]
        np.testing.assert_allclose(moments[0], [0.06, 0.08], rtol=1e-5)  # 1 - b1 of the unit vector


@pytest.mark.parametrize(
    ("schedule", "factor"),
    [
        ("constant", lambda step: 1.0),
        ("cosine", lambda step: np.cos(np.pi * step / 40) ** 2),
        ("wsd", lambda step: min(1.0, (20 - step) / 8)),
    ],
)
def test_schedules_follow_their_formula(schedule: Literal["constant", "cosine", "wsd"], factor: Callable):
    config = OptimizerConfig(learning_rate=2.0, warmup=4, schedule=schedule, cooldown=0.4)
    for step in range(21):
        expected = 2.0 * min(1.0, (step + 1) / 4) * factor(step)
        assert float(learning_rate(config, 20, step)) == pytest.approx(expected, abs=1e-6)
