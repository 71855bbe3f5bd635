"""Published curves: values of the publications, in order, and refused where there are none."""

import numpy as np
import pytest

from jaxicm.errors import OptionError
from jaxicm.evaluate.published import HPCM_BASE_KODAK, SETS, VTM_KODAK, curves

# CompressAI's VTM results as spec sheets print them, rounded
KODAK_VTM = (
    (0.0482, 0.1125, 0.2458, 0.4905, 0.8748, 1.4308, 2.3246, 3.6326),
    (26.145, 28.493, 31.200, 34.262, 37.420, 40.424, 43.506, 46.592),
)
CLIC_VTM = (
    (0.0294, 0.0664, 0.1376, 0.2665, 0.5030, 0.9311, 1.6569, 2.6990),
    (29.337, 31.731, 34.155, 36.611, 39.092, 41.780, 44.812, 48.006),
)


@pytest.mark.parametrize(("set_name", "expected"), [("kodak", KODAK_VTM), ("clic2020-professional", CLIC_VTM)])
def test_vtm_has_its_published_values(set_name, expected):
    vtm = curves(set_name)["vtm"]
    np.testing.assert_allclose(vtm.bpp, expected[0], atol=0.5001e-4)
    np.testing.assert_allclose(vtm.psnr, expected[1], atol=0.5001e-3)


@pytest.mark.parametrize("set_name", SETS)
def test_every_curve_rises_and_names_its_source(set_name):
    for key, curve in curves(set_name).items():
        assert curve.name
        assert len(curve.source) > 20
        assert len(curve.bpp) == len(curve.psnr) >= 6
        assert (np.diff(curve.bpp) > 0).all(), key
        assert (np.diff(curve.psnr) > 0).all() or "ms-ssim" in key, key
        assert curve.ms_ssim is None or (len(curve.ms_ssim) == len(curve.bpp) and 0.7 < min(curve.ms_ssim) < 1)


def test_decibels_became_similarities():
    # He et al. 2021 print 8.3 dB for the first point of the checkerboard model trained on squared error
    found = curves("kodak")["paper-minnen2018-checkerboard"].ms_ssim
    assert found is not None
    assert 8 < -10 * np.log10(1 - found[0]) < 12


def test_the_named_curves_are_those_of_kodak():
    assert curves("kodak")["vtm"] is VTM_KODAK
    assert (HPCM_BASE_KODAK.bpp[0], HPCM_BASE_KODAK.psnr[-1]) == (0.1211, 37.7525)


def test_other_sets_have_no_curves():
    with pytest.raises(OptionError, match="no published curves for 'tecnick'; there are some for kodak, clic2020-prof"):
        curves("tecnick")
