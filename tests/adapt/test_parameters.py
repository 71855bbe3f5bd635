"""Fitting of parameters on a network of two layers whose wrong parameters are known."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.adapt.parameter_code import apply_update, balanced, decode_update, encode_update, leaf_shapes, leaves
from jaxicm.adapt.parameters import ParameterFit, fit_parameters, select
from jaxicm.errors import ConfigError

WIDTH = 6
RATE = {"learning_rate": 0.02, "iterations": 150, "finishing": 30, "check_every": 30}
X = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
PRICE = 0.02


def network(seed=1):
    rng = np.random.default_rng(seed)
    return {
        "first": {"kernel": rng.normal(0, 0.6, (3, WIDTH)).astype(np.float32), "bias": np.zeros(WIDTH, np.float32)},
        "last": {"kernel": rng.normal(0, 0.6, (WIDTH, 2)).astype(np.float32), "bias": np.zeros(2, np.float32)},
    }


def respond(params, x):
    hidden = jax.nn.softplus(x @ params["first"]["kernel"] + params["first"]["bias"])
    return hidden @ params["last"]["kernel"] + params["last"]["bias"]


def loss(params, batch):
    x, wanted = batch
    return jnp.square(respond(params, x) - wanted).mean()


def changed(change):
    truth = jax.tree.map(np.copy, network())
    change(truth)
    return truth


def fit(truth, price=PRICE, params=None, **options):
    kept = {name: options.pop(name) for name in ("limit_s", "progress") if name in options}
    wanted = np.asarray(respond(truth, X))
    measured = []

    def validate(tried):
        measured.append(tried)
        return np.square(np.asarray(respond(tried, X)) - wanted).sum()

    def batches(number):
        rows = np.random.default_rng(number).integers(0, len(X), 64)
        return X[rows], wanted[rows]

    params = network() if params is None else params
    settings = ParameterFit(**(RATE | options))
    out = fit_parameters(params, settings, loss, batches, price, validate, **kept)
    shapes = leaf_shapes(params, select(params, settings.pattern))
    update = decode_update(out.data, shapes)
    assert encode_update(out.update, shapes) == out.data
    assert out.cost == pytest.approx(validate(apply_update(params, update)) + price * 8 * len(out.data), rel=1e-6)
    assert out.start == pytest.approx(validate(params), rel=1e-6)
    assert out.cost < out.start or (out.cost == out.start and out.data == b"" and not out.update)
    return out, apply_update(params, update), measured


def wrong_bias(truth):
    truth["last"]["bias"][:] = 0.5, -0.25


def test_a_wrong_bias_is_recovered():
    out, params, measured = fit(changed(wrong_bias), pattern=("last/bias",))
    np.testing.assert_allclose(params["last"]["bias"], [0.5, -0.25], atol=0.02)
    assert out.cost < 0.02 * out.start
    assert 0 < len(out.data) <= 8
    assert out.iterations <= 180
    assert len(measured) < 60


def test_leaves_that_are_not_selected_stay():
    _, params, _ = fit(changed(wrong_bias), pattern=("last/bias",))
    start = network()
    for name, leaf in leaves(params).items():
        assert np.array_equal(leaf, leaves(start)[name]) == (name != "last/bias")


def test_leaves_that_gain_nothing_are_left_out():
    """Of three outputs with a bias each one is far off, one hardly, and one not at all."""
    wanted = np.repeat(np.array([1.0, 0.02, 0.0], np.float32), 4)

    def respond(params):
        return jnp.concatenate([params[name]["bias"] for name in "abc"])

    params = {name: {"bias": np.zeros(4, np.float32)} for name in "abc"}
    out = fit_parameters(
        params,
        ParameterFit(**RATE, steps=(0, 6, 10, 14)),
        lambda params, batch: jnp.square(respond(params) - batch).sum(),
        lambda number: wanted,
        0.01,
        lambda params: float(np.square(respond(params) - wanted).sum()),
    )
    assert list(out.update) == ["a/bias"]
    assert out.cost < 0.15 * out.start


def test_a_higher_price_makes_fewer_bytes():
    def change(truth):
        truth["first"]["bias"] += np.random.default_rng(5).normal(0, 0.3, WIDTH).astype(np.float32)
        wrong_bias(truth)

    sizes = [len(fit(changed(change), price=price)[0].data) for price in (0.002, 0.5, 1e4)]
    assert sizes[0] > sizes[1] >= sizes[2] == 0


def test_multipliers_recover_wrong_scales():
    def change(truth):
        truth["last"]["kernel"] *= np.array([1.5, 0.75], np.float32)

    out, params, _ = fit(changed(change), kind="multiplier", pattern=("last/kernel",), learning_rate=0.02)
    np.testing.assert_allclose(params["last"]["kernel"] / network()["last"]["kernel"], [[1.5, 0.75]] * 6, atol=0.04)
    assert out.update["last/kernel"].kind == "multiplier"
    assert len(out.data) <= 6


def test_both_scale_kernels_and_add_to_vectors():
    def change(truth):
        truth["last"]["kernel"] *= np.array([1.5, 0.75], np.float32)
        wrong_bias(truth)

    out, _, _ = fit(changed(change), kind="both", pattern=("last/*",))
    assert {name: change.kind for name, change in out.update.items()} == {
        "last/bias": "delta",
        "last/kernel": "multiplier",
    }
    assert out.cost < 0.1 * out.start


def test_low_rank_factors_recover_an_outer_product():
    rng = np.random.default_rng(4)
    u, v = rng.normal(size=(3, 1)), rng.normal(size=(1, WIDTH))

    def change(truth):
        truth["first"]["kernel"] += (0.6 * u * v).astype(np.float32)

    options = {"kind": "low_rank", "pattern": ("first/kernel",), "iterations": 300, "steps": (2, 4, 6, 8)}
    out, _, _ = fit(changed(change), **options)
    assert out.update["first/kernel"].kind == "low_rank"
    assert [symbols.shape for symbols in out.update["first/kernel"].symbols] == [(3, 1), (1, WIDTH)]
    assert out.cost < 0.02 * out.start


def test_balanced_factors_have_the_same_product_and_equal_spreads():
    rng = np.random.default_rng(0)
    u, v = rng.normal(0, 5, (7, 3)).astype(np.float32), rng.normal(0, 0.01, (3, 4)).astype(np.float32)
    v[2] = 0
    a, b = balanced({"x": (u, v)})["x"]
    np.testing.assert_allclose(a @ b, u @ v, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.square(a).mean(0)[:2], np.square(b).mean(1)[:2], rtol=1e-4)
    np.testing.assert_array_equal(a[:, 2], u[:, 2])


def test_nothing_to_gain_has_no_bytes():
    out, params, _ = fit(network())
    assert out.data == b""
    assert out.update == {}
    assert out.cost == out.start == 0.0
    assert all(leaves(params)[name] is not None for name in leaves(network()))


def test_gains_that_do_not_pay_have_no_bytes():
    out, _, _ = fit(changed(wrong_bias), price=1e6)
    assert out.data == b""
    assert out.iterations <= 180


def test_a_loss_that_misleads_does_no_harm():
    """The loss asks for something that the true cost does not."""
    truth, params = network(), network()
    wanted = np.asarray(respond(truth, X))

    def validate(tried):
        return float(np.square(np.asarray(respond(tried, X)) - wanted).sum())

    far = np.full((len(X), 2), 9.0, np.float32)
    out = fit_parameters(params, ParameterFit(**RATE), loss, lambda number: (X, far), PRICE, validate)
    assert out.data == b""


def test_gradients_that_are_no_numbers_do_no_harm():
    out, _, _ = fit(changed(wrong_bias), learning_rate=1e30)
    assert np.isfinite(out.cost)


def test_costs_that_are_no_numbers_are_not_chosen():
    out = fit_parameters(
        network(),
        ParameterFit(**RATE),
        loss,
        lambda number: (X, np.ones((len(X), 2), np.float32)),
        PRICE,
        lambda tried: 1.0 if not np.any(tried["last"]["bias"]) and not np.any(tried["first"]["bias"]) else np.nan,
    )
    assert out.data == b""
    assert out.cost == 1.0


def test_no_iterations_are_possible():
    out, _, _ = fit(changed(wrong_bias), iterations=0)
    assert out.data == b""
    assert out.iterations == 0


def test_a_time_limit_holds():
    begin = time.monotonic()
    out, _, _ = fit(changed(wrong_bias), iterations=10**6, learning_rate=1e-5, patience=0, limit_s=1.0)
    assert time.monotonic() - begin < 4.0
    assert out.iterations < 10**6


def test_no_time_leaves_everything_as_it_is():
    out, _, measured = fit(changed(wrong_bias), limit_s=0.0)
    assert out.data == b""
    assert out.iterations == 0
    assert len(measured) == 3  # one by the fit, two by the test


def test_progress_is_told():
    told = []
    out, _, _ = fit(changed(wrong_bias), progress=lambda *given: told.append(given))
    assert told[0] == (0, 180, 1.0)
    assert told[1][:2] == (30, 180)
    assert told[-1][0] == told[-1][1] == out.iterations
    assert told[-1][2] == pytest.approx(out.cost / out.start)
    shares = [share for *_, share in told]
    assert shares == sorted(shares, reverse=True)


def test_the_same_problem_gives_the_same_bytes():
    assert fit(changed(wrong_bias))[0].data == fit(changed(wrong_bias))[0].data


def test_a_second_fit_of_the_same_kind_compiles_nothing():
    traced = []

    def counted(params, batch):
        traced.append(batch)
        return jnp.square(params["a"]["bias"] - batch).sum()

    counts = []
    for wanted in (0.5, -0.25):
        target, params = np.full(2, wanted, np.float32), {"a": {"bias": np.zeros(2, np.float32)}}
        out = fit_parameters(
            params,
            ParameterFit(**RATE),
            counted,
            lambda number, target=target: target,
            1e-3,
            lambda params, target=target: float(np.square(params["a"]["bias"] - target).sum()),
        )
        assert out.data
        counts.append(len(traced))
    assert counts == [2, 2]  # the gradient, with and without rounding, and the loss


def test_leaves_are_selected_in_the_order_of_their_numbers():
    layer = {"kernel": np.zeros((2, 2)), "bias": np.zeros(2)}
    params = dict.fromkeys(("conv_10", "conv_9", "conv_1", "head"), layer) | {"bias": np.zeros(1)}
    assert select(params, ["*/bias"]) == ("conv_1/bias", "conv_9/bias", "conv_10/bias", "head/bias")
    assert select(dict(reversed(params.items())), ["conv*", "bias"]) == (
        "bias",
        *(f"conv_{n}/{leaf}" for n in (1, 9, 10) for leaf in ("bias", "kernel")),
    )


def test_patterns_that_match_nothing_are_refused():
    with pytest.raises(ConfigError, match="first/kernel"):
        fit(network(), pattern=("nowhere/*",))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "bias"},
        {"pattern": ()},
        {"pattern": "*/bias"},
        {"iterations": -1},
        {"learning_rate": 0.0},
        {"finishing": -1},
        {"steps": ()},
        {"steps": (7, 4)},
        {"steps": (4, 4)},
        {"steps": (4, 32)},
        {"rank": 0},
        {"rank": 9},
        {"check_every": 0},
        {"patience": -1},
        {"trials": -1},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ParameterFit(**wrong)
