"""The loop of latent overfitting on a codec of two lines, where every answer is known."""

import time
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.adapt import latents, rounding
from jaxicm.adapt.latents import Problem, adapt
from jaxicm.adapt.stage import Stage
from jaxicm.bits.tables import gaussian_tables
from jaxicm.entropy import gaussian

SIZE, INDEX = 8, 16.0
COST = rounding.costs(gaussian_tables(gaussian.scale_table()))
WEIGHT = 6.0 / np.log(2.0)
"""Bits of a squared step: that of the best uniform quantiser, to which `CURVATURE` belongs."""


@dataclass(frozen=True)
class TwoLines:
    """Each latent is a sample of the picture in quantisation steps of 1/32, all under one table; neighbours leak."""

    leak: float = 0.3

    def code(self, arrays, y, rounding, noise, inside, context_gradient):
        values, bits = rounding(y, jnp.zeros_like(y), jnp.full(y.shape, INDEX), noise)
        return jnp.where(inside, values, 0.0), jnp.where(inside, bits, 0.0).sum(axis=(1, 2, 3))

    def decode(self, arrays, values):
        return 0.5 + (values + self.leak * jnp.roll(values, 1, axis=2)) / 32.0


def squares(arrays, x, x_hat):
    return jnp.square(x - x_hat).sum(axis=(1, 2, 3)) * 32.0**2 / (x.shape[1] * x.shape[2])


def broken(arrays, x, x_hat):
    return squares(arrays, x, x_hat) * jnp.nan


def problem(batch: int = 1, hidden_rows: int = 0) -> tuple[np.ndarray, Problem]:
    rng = np.random.default_rng(0)
    x = np.clip(128 + rng.normal(0, 20, (batch, SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
    y = ((x / 255.0 - 0.5) * 32.0).astype(np.float32)  # an analysis that does not know of the leak
    inside = np.ones((batch, SIZE, SIZE, 1), bool)
    inside[:, SIZE - hidden_rows :] = False
    return y, Problem(None, x, inside, inside, jnp.float32(WEIGHT), jnp.asarray(COST), None)


def run(stages, *, batch=1, hidden_rows=0, distortion=squares, **options):
    y, given = problem(batch, hidden_rows)
    return adapt(y, given, TwoLines(), distortion, stages, **options)


SEARCH = Stage(method="coordinate", iterations=40, learning_rate=0.3, optimizer="sgd", check_every=5)


def test_nothing_to_do_returns_the_coders_rounding():
    y, _ = problem()
    out = run(())
    symbols = gaussian.round_with_cost(y, np.full(y.shape, INDEX), np)
    np.testing.assert_array_equal(out.values, symbols)
    np.testing.assert_array_equal(out.cost, out.start)
    assert out.iterations == 0


def test_the_start_costs_the_tables_bits_and_the_error_of_8_bit_pixels():
    y, given = problem()
    symbols = gaussian.round_with_cost(y, np.full(y.shape, INDEX), np)
    bits = COST[int(INDEX), symbols.astype(int) + rounding.SYMBOL_MAX].sum()
    shown = 0.5 + (symbols + 0.3 * np.roll(symbols, 1, axis=2)) / 32.0
    pixels = np.clip(np.floor(shown * 255 + 0.5), 0, 255)
    error = np.square((pixels - given.x) / 255).sum() * 32.0**2
    assert run(()).start[0] == pytest.approx(bits + WEIGHT * error, rel=1e-5)


@pytest.mark.parametrize(
    "stage",
    [
        SEARCH,
        Stage(method="noise", iterations=40, learning_rate=0.05),
        Stage(method="soft", iterations=60, learning_rate=0.05, first_temperature=0.3, last_temperature=0.1),
        Stage(method="sga", iterations=60, learning_rate=0.05),
        Stage(method="sga+", iterations=60, learning_rate=0.05),
        Stage(method="sga", iterations=60, learning_rate=0.05, optimizer="adamax"),
        Stage(method="sga", iterations=60, learning_rate=0.05, optimizer="rmsprop", schedule="constant"),
        Stage(method="noise", iterations=40, learning_rate=0.005, optimizer="momentum"),
        Stage(method="sga", iterations=60, learning_rate=0.05, gains=True),
    ],
    ids=lambda stage: f"{stage.method}-{stage.optimizer}{'-gains' if stage.gains else ''}",
)
def test_every_way_undoes_the_leak(stage):
    out = run((stage,))
    assert out.cost[0] < 0.9 * out.start[0]
    assert out.iterations == stage.iterations


def test_coordinates_come_near_the_best_and_straight_through_does_not():
    straight = Stage(method="straight_through", iterations=40, learning_rate=0.02, optimizer="sgd", check_every=5)
    search, naive, best = (
        float(run((stage,)).cost[0]) for stage in (SEARCH, straight, Stage(iterations=800, learning_rate=0.02))
    )
    assert search < naive
    assert search < 1.02 * best


def test_gains_alone_move_what_they_should():
    still = Stage(method="noise", iterations=20, learning_rate=1e-9, optimizer="sgd")
    moved = Stage(method="noise", iterations=20, learning_rate=2e-3, optimizer="adam", gains=True)
    assert run((moved,)).cost[0] < run((still,)).cost[0]


def test_each_picture_of_a_batch_keeps_its_own_best():
    together = run((SEARCH,), batch=3)
    y, given = problem(3)
    for number in range(3):
        alone = given._replace(x=given.x[number : number + 1], shown=given.shown[:1], inside=given.inside[:1])
        out = adapt(y[number : number + 1], alone, TwoLines(), squares, (SEARCH,))
        np.testing.assert_array_equal(out.values[0], together.values[number])


def test_what_does_not_exist_costs_nothing_and_stays_zero():
    out = run((SEARCH,), hidden_rows=3)
    assert not out.values[:, -3:].any()
    whole = run((SEARCH,))
    assert out.start[0] < whole.start[0]


def test_one_program_for_all_iterations_does_the_same(monkeypatch):
    stage = Stage(method="sga", iterations=20, learning_rate=0.05)
    apart = run((stage,))
    monkeypatch.setattr(latents.jax, "default_backend", lambda: "gpu")
    together = run((stage,))
    np.testing.assert_allclose(together.cost, apart.cost, rtol=1e-3)


def test_the_best_is_kept_when_the_iterations_lead_astray():
    wild = Stage(method="noise", iterations=20, learning_rate=30.0)
    out = run((wild,))
    np.testing.assert_array_equal(out.cost, out.start)
    later = run((SEARCH, wild))
    np.testing.assert_array_equal(later.cost, run((SEARCH,)).cost)


def test_a_measure_that_fails_leaves_the_start():
    out = run((SEARCH,), distortion=broken)
    np.testing.assert_array_equal(out.values, run(()).values)


def test_seeds_make_results_and_nothing_else():
    stage = Stage(method="sga", iterations=20, learning_rate=0.05)
    first, again, other = (run((stage,), seed=seed).values for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_patience_ends_a_stage():
    still = Stage(method="noise", iterations=400, learning_rate=1e-12, check_every=2, patience=2)
    assert run((still,)).iterations <= 8


def test_a_time_limit_stops_and_shortens_every_stage():
    long = Stage(method="coordinate", iterations=1_000_000, learning_rate=0.1, optimizer="sgd", check_every=5)
    run((SEARCH,))  # compiles
    began = time.monotonic()
    out = run((long, Stage(iterations=1_000_000, check_every=5)), limit_s=2.0)
    assert time.monotonic() - began < 8.0
    assert 10 <= out.iterations < 1_000_000
    assert out.cost[0] < out.start[0]


def test_progress_counts_up_and_the_cost_falls():
    told = []
    run((SEARCH, SEARCH), progress=lambda *args: told.append(args))
    assert [done for done, _, _ in told] == list(range(0, 85, 5))
    assert all(total == 80 for _, total, _ in told)
    shares = [share for _, _, share in told]
    assert shares[0] == 1.0
    assert shares == sorted(shares, reverse=True)


def test_settings_that_only_move_knobs_compile_nothing():
    run((SEARCH,))
    before = latents._iteration._cache_size()
    run((Stage(method="coordinate", iterations=6, learning_rate=0.1, optimizer="sgd", check_every=3,
               rounding_weight=9.0, schedule="constant"),))  # fmt: skip
    assert latents._iteration._cache_size() == before


def test_a_stopped_context_gradient_reaches_the_networks():
    seen = []

    @dataclass(frozen=True)
    class Listening(TwoLines):
        def code(self, arrays, y, quantize, noise, inside, context_gradient):
            seen.append(context_gradient)
            return super().code(arrays, y, quantize, noise, inside, context_gradient)

    y, given = problem()
    stopped = Stage(method="noise", iterations=1, check_every=1, context_gradient=False)
    adapt(y, given, Listening(), squares, (stopped,))
    assert False in seen
    assert jax.default_backend()
