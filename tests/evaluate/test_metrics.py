"""PSNR and MS-SSIM against closed forms, a slow second implementation and a published one."""

import numpy as np
import pytest
from scipy.signal import convolve2d

from jaxicm.evaluate.metrics import MS_SSIM_WEIGHTS, ms_ssim, ms_ssim_db, psnr, psnr_yuv


def waves_and_noise(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Make a smooth RGB picture and the same with noise, from integers and sines only: the same everywhere."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    clean = np.floor(128 + 60 * np.sin(x / 7.0 + c) + 50 * np.cos(y / 11.0 - c))
    noise = ((x * 7919 + y * 104729 + c * 1299709 + 15485863) % 1009) % 41 - 20
    return np.clip(clean, 0, 255).astype(np.uint8), np.clip(clean + noise, 0, 255).astype(np.uint8)


def ms_ssim_by_definition(a: np.ndarray, b: np.ndarray) -> float:
    """Compute MS-SSIM of one channel with the full 2-D window, from equations (1)-(7) of Wang et al. 2003."""
    taps = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / np.outer(taps, taps).sum()
    x, y, result = a.astype(np.float64), b.astype(np.float64), 1.0
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        mu_x, mu_y, xx, yy, xy = (convolve2d(p, window, "valid") for p in (x, y, x * x, y * y, x * y))
        c1, c2 = 2.55**2, 7.65**2
        structure = (2 * (xy - mu_x * mu_y) + c2) / (xx - mu_x**2 + yy - mu_y**2 + c2)
        luminance = (2 * mu_x * mu_y + c1) / (mu_x**2 + mu_y**2 + c1)
        result *= (structure * luminance if scale == 4 else structure).mean() ** weight
        x, y = (p.reshape(p.shape[0] // 2, 2, -1, 2).mean((1, 3)) if scale < 4 else p for p in (x, y))
    return float(result)


# from pytorch_msssim.ms_ssim 1.0.0 (torch 2.13, float64) with data_range=255 on waves_and_noise(height, width)
PUBLISHED = {
    (512, 768): (0.9608169668993597, 0.9607462434506976),
    (161, 161): (0.9609023837892479, 0.9606942020433178),
    (200, 333): (0.9608649938850715, 0.9609406541293578),
    (175, 400): (0.9610375499454221, 0.9610764989627124),
}


@pytest.mark.parametrize("size", PUBLISHED)
def test_ms_ssim_equals_that_of_pytorch_msssim(size):
    a, b = waves_and_noise(*size)
    colour, grey = PUBLISHED[size]
    assert ms_ssim(a, b) == pytest.approx(colour, abs=2e-6)
    assert ms_ssim(a[..., 0], b[..., 0]) == pytest.approx(grey, abs=2e-6)


def test_ms_ssim_equals_its_definition_with_the_full_window():
    a, b = (picture[..., 1] for picture in waves_and_noise(192, 256))
    assert ms_ssim(a, b) == pytest.approx(ms_ssim_by_definition(a, b), abs=2e-6)


def test_the_ms_ssim_of_colour_is_the_mean_over_channels():
    a, b = waves_and_noise(180, 190)
    assert ms_ssim(a, b) == pytest.approx(np.mean([ms_ssim(a[..., c], b[..., c]) for c in range(3)]), abs=1e-9)


@pytest.mark.parametrize(
    "size", [(1, 1), (2, 2), (1, 300), (10, 10), (11, 11), (20, 64), (21, 21), (160, 160), (37, 500)]
)
def test_small_pictures_have_an_ms_ssim_too(size):
    a, b = waves_and_noise(*size)
    assert ms_ssim(a, a) == pytest.approx(1.0, abs=1e-6)
    assert 0.0 <= ms_ssim(a, b) < 1.0


def test_a_picture_of_one_scale_has_the_plain_ssim():
    a, b = waves_and_noise(11, 11)
    x, y = a[..., 0].astype(float), b[..., 0].astype(float)
    taps = np.exp(-((np.arange(11) - 5.0) ** 2) / 4.5)
    w = np.outer(taps, taps) / np.outer(taps, taps).sum()
    mx, my = (w * x).sum(), (w * y).sum()
    vx, vy, cov = (w * x * x).sum() - mx**2, (w * y * y).sum() - my**2, (w * x * y).sum() - mx * my
    ssim = (2 * mx * my + 2.55**2) * (2 * cov + 7.65**2) / ((mx**2 + my**2 + 2.55**2) * (vx + vy + 7.65**2))
    assert ms_ssim(a[..., 0], b[..., 0]) == pytest.approx(ssim, abs=1e-5)


def test_psnr_of_a_constant_error_has_its_closed_form():
    a = np.full((7, 9, 3), 100, np.uint8)
    assert psnr(a, a + np.uint8(5)) == pytest.approx(20 * np.log10(255 / 5))
    assert psnr(np.zeros_like(a), np.full_like(a, 255)) == pytest.approx(0.0)
    assert psnr(a, a) == float("inf")


def test_psnr_equals_float_arithmetic_on_noise():
    a, b = waves_and_noise(50, 60)
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    assert psnr(a, b) == pytest.approx(10 * np.log10(255**2 / error))


def test_psnr_of_yuv_equals_its_definition_in_float64():
    a, b = waves_and_noise(50, 60)
    # ITU-R BT.709: luma from the coefficients of red and blue, chroma scaled to the range of luma
    to_yuv = np.array(
        [
            [0.2126, 0.7152, 0.0722],
            [-0.2126 / 1.8556, -0.7152 / 1.8556, 0.5],
            [0.5, -0.7152 / 1.5748, -0.0722 / 1.5748],
        ]
    )
    squares = np.mean(((a.astype(float) - b) @ to_yuv.T) ** 2, axis=(0, 1))
    y, u, v = 10 * np.log10(255**2 / squares)
    assert psnr_yuv(a, b) == pytest.approx((6 * y + u + v) / 8, abs=1e-4)


def test_a_plane_without_error_has_no_say_in_psnr_of_yuv():
    a, _ = waves_and_noise(40, 41)
    brighter = np.minimum(a, 250) + np.uint8(5)
    assert psnr_yuv(np.minimum(a, 250), brighter) == pytest.approx(20 * np.log10(255 / 5), abs=1e-4)
    assert psnr_yuv(a[..., 0], brighter[..., 0]) == psnr(a[..., 0], brighter[..., 0])
    assert psnr_yuv(a, a) == float("inf")


def test_ms_ssim_in_decibels():
    assert ms_ssim_db(0.99) == pytest.approx(20.0)
    assert ms_ssim_db(1.0) == float("inf")


@pytest.mark.parametrize("metric", [psnr, psnr_yuv, ms_ssim])
def test_pictures_that_do_not_compare_are_refused(metric):
    a = np.zeros((8, 8, 3), np.uint8)
    for b in (a[:7], a.astype(np.float32), a[..., 0]):
        with pytest.raises(ValueError, match="must"):
            metric(a, b)
    with pytest.raises(ValueError, match="not empty"):
        metric(a[:0], a[:0])
