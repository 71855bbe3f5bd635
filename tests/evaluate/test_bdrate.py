"""BD-rate and BD-quality against published values, closed forms and a direct numeric integration."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.interpolate import Akima1DInterpolator, PchipInterpolator

from jaxicm.errors import InputError
from jaxicm.evaluate.bdrate import bd_quality, bd_rate, pareto_front, rate_difference


class Curve(NamedTuple):
    bpp: tuple[float, ...]
    psnr: tuple[float, ...]


# Kodak, rounded as when the regression values were taken
VTM = Curve(
    (0.0482, 0.1125, 0.2458, 0.4905, 0.8748, 1.4308, 2.3246, 3.6326),
    (26.145, 28.493, 31.200, 34.262, 37.420, 40.424, 43.506, 46.592),
)
HPCM_BASE = Curve(
    (0.1211, 0.1757, 0.2729, 0.4125, 0.5898, 0.8209), (29.4022, 30.7547, 32.4012, 34.2063, 36.0145, 37.7525)
)
HPCM_LARGE = Curve(
    (0.0951, 0.1537, 0.2438, 0.3778, 0.5516, 0.7843), (28.9135, 30.4490, 32.1219, 33.9923, 35.8511, 37.7480)
)
POINT = st.tuples(st.floats(0.01, 1.0), st.floats(0.1, 5.0))
CURVE = st.tuples(st.floats(-3, 0), st.floats(20, 35), st.lists(POINT, min_size=2, max_size=8))


def cumulative(curve: tuple[float, float, list[tuple[float, float]]]) -> tuple[np.ndarray, np.ndarray]:
    """Make a rising curve from a start and its steps of log10(rate) and quality."""
    log_rate, quality, steps = curve
    return 10 ** (log_rate + np.cumsum([s for s, _ in steps])), quality + np.cumsum([s for _, s in steps])


def mean_difference(interpolator, x_anchor, y_anchor, x_test, y_test) -> float:
    """Average the difference of two interpolations over their common interval with the trapezoidal rule."""
    low, high = max(x_anchor[0], x_test[0]), min(x_anchor[-1], x_test[-1])
    inner = np.concatenate([x_anchor, x_test])
    knots = np.unique(np.concatenate([[low], inner[(inner > low) & (inner < high)], [high]]))
    grid = np.unique(np.concatenate([np.linspace(a, b, 400) for a, b in pairwise(knots)]))
    difference = interpolator(x_test, y_test)(grid) - interpolator(x_anchor, y_anchor)(grid)
    return float(np.trapezoid(difference, grid) / (high - low))


def akima(x: np.ndarray, y: np.ndarray):
    return Akima1DInterpolator(x, y) if len(x) > 2 else lambda at: np.interp(at, x, y)


METHODS = {"pchip": PchipInterpolator, "akima": akima}


@pytest.mark.parametrize(("curve", "percent"), [(HPCM_BASE, -16.01), (HPCM_LARGE, -19.95)])
def test_learned_codecs_have_their_known_bd_rate_over_vtm(curve, percent):
    found = bd_rate(VTM.bpp, VTM.psnr, curve.bpp, curve.psnr)
    assert found.value == pytest.approx(percent, abs=0.005)
    assert (found.low, found.high) == (curve.psnr[0], curve.psnr[-1])
    assert (found.overlap, found.notes) == (1.0, ())


@pytest.mark.parametrize("method", ["pchip", "akima"])
@pytest.mark.parametrize("factor", [0.5, 0.9, 1.6])
def test_a_curve_of_scaled_rate_has_that_factor_as_its_bd_rate(factor, method):
    bpp = [factor * rate for rate in VTM.bpp]
    assert bd_rate(VTM.bpp, VTM.psnr, bpp, VTM.psnr, method=method).value == pytest.approx((factor - 1) * 100)


@pytest.mark.parametrize("method", ["pchip", "akima"])
def test_a_curve_of_more_quality_has_that_as_its_bd_quality(method):
    better = [db + 0.75 for db in VTM.psnr]
    found = bd_quality(VTM.bpp, VTM.psnr, VTM.bpp, better, method=method)
    assert found.value == pytest.approx(0.75)
    assert (found.low, found.high) == (pytest.approx(VTM.bpp[0]), pytest.approx(VTM.bpp[-1]))


@pytest.mark.parametrize("method", ["pchip", "akima"])
@given(anchor=CURVE, test=CURVE)
def test_bd_rate_equals_a_numeric_integration(method, anchor, test):
    (anchor_bpp, anchor_db), (test_bpp, test_db) = cumulative(anchor), cumulative(test)
    assume(min(anchor_db[-1], test_db[-1]) - max(anchor_db[0], test_db[0]) > 0.2 * (test_db[-1] - test_db[0]))
    found = bd_rate(anchor_bpp, anchor_db, test_bpp, test_db, method=method)
    decades = mean_difference(METHODS[method], anchor_db, np.log10(anchor_bpp), test_db, np.log10(test_bpp))
    assert np.log10(1 + found.value / 100) == pytest.approx(decades, abs=2e-4)
    assert found.overlap == pytest.approx((found.high - found.low) / (test_db[-1] - test_db[0]))


@pytest.mark.parametrize("method", ["pchip", "akima"])
@given(anchor=CURVE, test=CURVE)
def test_bd_quality_equals_a_numeric_integration(method, anchor, test):
    (anchor_bpp, anchor_db), (test_bpp, test_db) = cumulative(anchor), cumulative(test)
    a, t = np.log10(anchor_bpp), np.log10(test_bpp)
    assume(min(a[-1], t[-1]) - max(a[0], t[0]) > 0.2 * (t[-1] - t[0]))
    found = bd_quality(anchor_bpp, anchor_db, test_bpp, test_db, method=method)
    assert found.value == pytest.approx(mean_difference(METHODS[method], a, anchor_db, t, test_db), abs=5e-3)


@given(anchor=CURVE, test=CURVE)
def test_the_two_ways_round_undo_each_other(anchor, test):
    (anchor_bpp, anchor_db), (test_bpp, test_db) = cumulative(anchor), cumulative(test)
    assume(min(anchor_db[-1], test_db[-1]) - max(anchor_db[0], test_db[0]) > 1e-3)
    there = bd_rate(anchor_bpp, anchor_db, test_bpp, test_db, min_overlap=0)
    back = bd_rate(test_bpp, test_db, anchor_bpp, anchor_db, min_overlap=0)
    assert (1 + there.value / 100) * (1 + back.value / 100) == pytest.approx(1)
    assert (there.low, there.high) == (back.low, back.high)


def test_the_order_of_the_points_does_not_matter():
    shuffled = np.random.default_rng(0).permutation(len(HPCM_BASE.bpp))
    mixed = bd_rate(
        VTM.bpp[::-1], VTM.psnr[::-1], np.array(HPCM_BASE.bpp)[shuffled], np.array(HPCM_BASE.psnr)[shuffled]
    )
    assert mixed.value == pytest.approx(-16.01, abs=0.005)


@pytest.mark.parametrize(
    ("bpp", "quality", "says"),
    [
        ([0.1, 0.2, 0.3], [10.0, 12.0, 14.0], "no BD figure: .* common is 0% of the former"),
        ([3.0, 4.0, 5.0], [46.5, 50.0, 60.0], "no BD figure: .* at least 10% is needed"),
        ([0.1, 0.2, 0.3], [31.0, 30.0, 29.0], "one point of 3 beats all others"),
        ([0.2, 0.2], [31.0, 30.0], "one point of 2 beats all others"),
        ([0.0, 0.2, 0.3], [30.0, 31.0, 32.0], "positive"),
        ([0.1], [30.0], "2 or more points"),
        ([0.1, 0.2], [30.0, 31.0, 32.0], "2 or more points"),
        ([0.1, float("nan")], [30.0, 31.0], "positive"),
        ([0.1, 0.2], [30.0, float("inf")], "numbers"),
    ],
)
def test_curves_that_cannot_be_compared_are_refused(bpp, quality, says):
    with pytest.raises(InputError, match=says):
        bd_rate(VTM.bpp, VTM.psnr, bpp, quality)


@pytest.mark.parametrize("index", range(len(VTM.bpp)))
def test_a_point_is_compared_at_its_quality(index):
    found = rate_difference(VTM.bpp, VTM.psnr, 1.25 * VTM.bpp[index], VTM.psnr[index])
    assert found == pytest.approx(25)


def test_between_points_the_logarithm_of_the_rate_is_interpolated_and_beyond_them_nothing():
    rates, values = [0.1, 0.2, 0.4, 0.8], [30.0, 32.0, 34.0, 36.0]
    assert rate_difference(rates, values, 0.2 * 2**0.5, 33.0) == pytest.approx(0, abs=1e-9)
    with pytest.raises(InputError, match=r"covers quality 30\.000 to 36\.000, not 36\.100"):
        rate_difference(rates, values, 0.9, 36.1)


def test_rates_apart_have_no_bd_quality():
    with pytest.raises(InputError, match=r"the test curve covers log10 of bpp 1\.000 to 2\.000"):
        bd_quality(VTM.bpp, VTM.psnr, [10.0, 100.0], [30.0, 40.0])


def test_a_point_that_another_beats_is_left_out_and_noted():
    clean = bd_rate(VTM.bpp, VTM.psnr, HPCM_BASE.bpp, HPCM_BASE.psnr)
    found = bd_rate(VTM.bpp, VTM.psnr, [*HPCM_BASE.bpp, 0.5], [*HPCM_BASE.psnr, 33.0])
    assert found.value == clean.value
    assert found.notes == ("test curve: 1 of 7 points left out, others beat them",)


def test_a_small_overlap_is_noted():
    assert bd_rate(VTM.bpp, VTM.psnr, [2.0, 9.0], [43.0, 55.0]).notes == (
        "small overlap: the figure covers 30% of the tested curve's quality",
    )


def test_other_interpolations_are_refused():
    with pytest.raises(InputError, match="must be pchip or akima, got 'cubic'"):
        bd_rate(VTM.bpp, VTM.psnr, VTM.bpp, VTM.psnr, method="cubic")  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_the_pareto_front_is_what_no_point_beats(points):
    bpp, quality = [r for r, _ in points], [q for _, q in points]
    kept = pareto_front(bpp, quality)
    unbeaten = {
        (r, q) for r, q in points if not any(s <= r and p >= q and (s, p) != (r, q) for s, p in points)
    }  # by its definition, pair by pair
    assert [(bpp[k], quality[k]) for k in kept] == sorted(unbeaten)
