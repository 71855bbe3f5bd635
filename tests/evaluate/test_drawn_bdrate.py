"""Many BD-rates at once against the package that computes one."""

import numpy as np
import pytest

from jaxicm.errors import InputError
from jaxicm.evaluate.bdrate import bd_rate
from jaxicm.evaluate.drawn_bdrate import bd_rates


def noisy_curves(rng: np.random.Generator, points: int, pairs: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    bpp = rng.uniform(0.05, 2, (points, pairs))
    return bpp, 30 + 5 * np.log2(bpp) + rng.normal(0, noise, bpp.shape)


def one_by_one(*curves: np.ndarray) -> np.ndarray:
    out = []
    for columns in zip(*(array.T for array in curves), strict=True):
        try:
            out.append(bd_rate(*columns).value)
        except InputError:
            out.append(np.nan)
    return np.array(out)


@pytest.mark.parametrize(("points", "noise"), [((6, 5), 0.0), ((6, 6), 1.0), ((3, 8), 3.0), ((2, 4), 3.0)])
def test_they_are_those_of_the_package(points, noise):
    """With noise, points are beaten by others, curves have one point only or nothing in common."""
    rng = np.random.default_rng(points[0])
    curves = (*noisy_curves(rng, points[0], 150, noise), *noisy_curves(rng, points[1], 150, noise))
    expected = one_by_one(*curves)
    assert bd_rates(*curves) == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)
    assert noise < 3 or 3 < np.isnan(expected).sum() < 100


def test_equal_rates_and_equal_qualities_are_no_trouble():
    anchor = np.array([[0.1, 0.1], [0.2, 0.2], [0.4, 0.4]]), np.array([[30.0, 30], [33, 33], [36, 36]])
    bpp = np.array([[0.1, 0.1], [0.1, 0.15], [0.3, 0.3], [0.5, 0.6]])
    quality = np.array([[29.0, 31], [31.0, 31], [35, 35], [35, 37]])
    assert bd_rates(*anchor, bpp, quality) == pytest.approx(one_by_one(*anchor, bpp, quality), rel=1e-9)


def test_values_that_are_no_numbers_give_none():
    bpp = np.tile([[0.1], [0.2], [0.4]], 3)
    quality = np.tile([[30.0], [33], [36]], 3)
    broken, zero = quality.copy(), bpp.copy()
    broken[2, 0], zero[0, 1] = np.inf, 0
    assert np.isnan(bd_rates(bpp, quality, zero, broken)).tolist() == [True, True, False]


def test_arrays_of_other_shapes_are_refused():
    with pytest.raises(InputError, match=r"\(3, 2\) and \(2, 2\) of the anchor"):
        bd_rates(np.ones((3, 2)), np.ones((2, 2)), np.ones((3, 2)), np.ones((3, 2)))
