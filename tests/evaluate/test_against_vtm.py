"""A run against the published VTM curve: only of the same pictures, with the reason where there is no figure."""

import pytest

from jaxicm.evaluate.against_vtm import against_vtm
from jaxicm.evaluate.bdrate import Delta
from jaxicm.evaluate.published import curves

VTM = curves("kodak")["vtm"]


def run(known_as: str | None, bpp: list[float], psnr: list[float | None]) -> dict:
    return {"data": {"set": known_as}, "results": {"bpp": bpp, "psnr-rgb": psnr}}


def test_half_the_rate_of_vtm_is_minus_50_percent():
    found = against_vtm(run("kodak", [rate / 2 for rate in VTM.bpp], list(VTM.psnr)))
    assert found is not None
    curve, deltas = found
    assert curve == VTM
    delta = deltas["PSNR of RGB"]
    assert isinstance(delta, Delta)
    assert delta.value == pytest.approx(-50.0)
    assert delta.overlap == 1.0


def test_other_pictures_are_not_compared():
    assert against_vtm(run(None, list(VTM.bpp), list(VTM.psnr))) is None


def test_without_common_quality_the_reason_is_told():
    found = against_vtm(run("kodak", [0.1, 0.2], [10.0, 12.0]))
    assert found is not None
    assert "no BD figure" in str(found[1]["PSNR of RGB"])


def test_lossless_points_are_left_out():
    found = against_vtm(run("kodak", [*VTM.bpp, 12.0], [*VTM.psnr, None]))
    assert found is not None
    delta = found[1]["PSNR of RGB"]
    assert isinstance(delta, Delta)
    assert delta.value == pytest.approx(0.0, abs=1e-9)


def test_a_lossless_codec_has_no_curve_and_the_reason_is_told():
    found = against_vtm({"data": {"set": "kodak"}, "results": {"bpp": [8.7, 8.6], "ms-ssim-rgb": [1.0, 1.0]}})
    assert found is not None
    assert found[1].keys() == {"PSNR of RGB", "MS-SSIM in dB"}
    assert all(str(reason).startswith("none: pictures came back exactly") for reason in found[1].values())


def test_ms_ssim_is_compared_in_decibels_of_the_mean():
    assert VTM.ms_ssim is not None
    results = {"bpp": [rate * 2 for rate in VTM.bpp], "ms-ssim-rgb": list(VTM.ms_ssim), "ms-ssim-db-rgb": [99.0] * 8}
    found = against_vtm({"data": {"set": "kodak"}, "results": results})
    assert found is not None
    delta = found[1]["MS-SSIM in dB"]
    assert isinstance(delta, Delta)
    assert delta.value == pytest.approx(100.0)
