"""BD-rate against published values and closed forms."""

import numpy as np
import pytest

from jaxicm.errors import InputError
from jaxicm.evaluate.bdrate import bd_rate, common_quality
from jaxicm.evaluate.published import HPCM_BASE_KODAK, HPCM_LARGE_KODAK, VTM_KODAK


@pytest.mark.parametrize(("curve", "percent"), [(HPCM_BASE_KODAK, -16.01), (HPCM_LARGE_KODAK, -19.95)])
def test_learned_codecs_have_their_known_bd_rate_over_vtm(curve, percent):
    found = bd_rate(VTM_KODAK.bpp, VTM_KODAK.psnr, curve.bpp, curve.psnr)
    assert found == pytest.approx(percent, abs=0.02)


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.6])
def test_a_curve_of_scaled_rate_has_that_factor_as_its_bd_rate(factor):
    bpp = [factor * rate for rate in VTM_KODAK.bpp]
    assert bd_rate(VTM_KODAK.bpp, VTM_KODAK.psnr, bpp, VTM_KODAK.psnr) == pytest.approx((factor - 1) * 100)


def test_the_order_of_the_points_does_not_matter():
    shuffled = np.random.default_rng(0).permutation(len(HPCM_BASE_KODAK.bpp))
    mixed = bd_rate(
        VTM_KODAK.bpp[::-1],
        VTM_KODAK.psnr[::-1],
        np.array(HPCM_BASE_KODAK.bpp)[shuffled].tolist(),
        np.array(HPCM_BASE_KODAK.psnr)[shuffled].tolist(),
    )
    assert mixed == pytest.approx(bd_rate(VTM_KODAK.bpp, VTM_KODAK.psnr, HPCM_BASE_KODAK.bpp, HPCM_BASE_KODAK.psnr))


@pytest.mark.parametrize(
    ("bpp", "quality", "says"),
    [
        ([0.1, 0.2, 0.3], [10.0, 12.0, 14.0], "no BD-rate"),
        ([3.0, 4.0, 5.0], [46.5, 50.0, 60.0], "no BD-rate"),
        ([0.1, 0.2, 0.3], [30.0, 29.0, 31.0], "must rise"),
        ([0.0, 0.2, 0.3], [30.0, 31.0, 32.0], "positive"),
        ([0.1], [30.0], "2 or more points"),
        ([0.1, 0.2], [30.0, 31.0, 32.0], "2 or more points"),
        ([0.1, float("nan")], [30.0, 31.0], "positive"),
    ],
)
def test_curves_that_cannot_be_compared_are_refused(bpp, quality, says):
    with pytest.raises(InputError, match=says):
        bd_rate(VTM_KODAK.bpp, VTM_KODAK.psnr, bpp, quality)


def test_the_common_quality_is_the_intersection():
    assert common_quality([30.0, 40.0], [35.0, 45.0]) == (35.0, 40.0)
    low, high = common_quality([30.0, 31.0], [35.0, 45.0])
    assert high <= low
