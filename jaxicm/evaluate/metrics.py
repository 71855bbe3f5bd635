"""Quality of a decoded picture against the original on uint8 pixels, in numpy: PSNR, PSNR of YUV, and MS-SSIM."""

import numpy as np

from jaxicm.media.fidelity import check_comparable, psnr

__all__ = ["MS_SSIM_WEIGHTS", "ms_ssim", "ms_ssim_db", "psnr", "psnr_yuv"]

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW = 11
_SIGMA = 1.5
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2
_LUMA = (0.2126, 0.7152, 0.0722)
_NO_ERROR = 1e-9
"""Mean square below which a plane has only the rounding of float32; one sample off by 1 in 2^28 pixels has more."""


def psnr_yuv(a: np.ndarray, b: np.ndarray) -> float:
    """Return the PSNR of the planes Y, U and V, weighted 6:1:1, in dB.

    BT.709, full range, 4:4:4, in floating point, so that no rounding of the conversion enters. A plane without any
    error has no finite PSNR and is left out of the weighting; so the figure of a grey picture is that of its one plane.

    Args:
        a: uint8 [H, W, 3] RGB, or [H, W].
        b: uint8, the same shape.

    Returns:
        (6 PSNR_Y + PSNR_U + PSNR_V) / 8; infinite for equal pictures.

    Raises:
        ValueError: shapes or types differ from the above.
    """
    check_comparable(a, b)
    if a.ndim == 2:
        return psnr(a, b)
    # the conversion is linear: the error of a plane is the plane of the error
    error = a.reshape(-1, 3).astype(np.float32) - b.reshape(-1, 3)
    luma = sum(error[:, channel] * np.float32(weight) for channel, weight in enumerate(_LUMA))
    planes = luma, (error[:, 2] - luma) / (2 * (1 - _LUMA[2])), (error[:, 0] - luma) / (2 * (1 - _LUMA[0]))
    weighted, weights = 0.0, 0
    for plane, weight in zip(planes, (6, 1, 1), strict=True):
        mean_square = float(np.mean(np.square(plane, dtype=np.float64)))
        if mean_square > _NO_ERROR:
            weighted += weight * 10.0 * float(np.log10(255.0**2 / mean_square))
            weights += weight
    return weighted / weights if weights else float("inf")


def ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Return the multi-scale structural similarity, the mean over the colour channels.

    Wang, Simoncelli, Bovik, "Multi-scale structural similarity for image quality assessment", 2003: 5 scales, 11x11
    Gaussian window of sigma 1.5 without padding, means of 2x2 pixels between the scales. Odd sides are padded and
    negative terms clipped as in the pytorch-msssim package, which the tables of learned codecs use.

    Where a side is below 161 pixels, so that 5 scales do not fit, as many scales are used as hold a window and their
    weights are divided by their sum; below 11 pixels one scale with a window as large as fits.

    Args:
        a: uint8 [H, W, 3] or [H, W].
        b: uint8, the same shape.

    Returns:
        A value in [0, 1]; 1 for equal pictures.

    Raises:
        ValueError: shapes or types differ from the above.
    """
    check_comparable(a, b)
    x, y = (np.atleast_3d(picture).transpose(2, 0, 1).astype(np.float32) for picture in (a, b))
    scales = _scales(min(a.shape[:2]))
    weights = np.array(MS_SSIM_WEIGHTS[:scales]) / (sum(MS_SSIM_WEIGHTS[:scales]) if scales < 5 else 1.0)
    product = np.ones(x.shape[0])
    for scale, weight in enumerate(weights):
        luminance_structure, structure = _ssim(x, y)
        term = luminance_structure if scale == scales - 1 else structure
        product *= np.maximum(term, 0.0) ** weight
        if scale < scales - 1:
            x, y = _halve(x), _halve(y)
    return float(product.mean())


def ms_ssim_db(value: float) -> float:
    """Express an MS-SSIM in dB, -10 log10(1 - value); infinite for 1."""
    return float("inf") if value >= 1.0 else float(-10.0 * np.log10(1.0 - value))


def _scales(side: int) -> int:
    scales = 1
    while scales < len(MS_SSIM_WEIGHTS) and -(-side // 2) >= _WINDOW:
        side, scales = -(-side // 2), scales + 1
    return scales


def _ssim(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean SSIM and the mean contrast-structure term of every channel of [C, H, W] pictures."""
    # subtracting one constant from both changes no variance and keeps float32 far from cancellation
    shift = np.float32(128)
    u, v = x - shift, y - shift
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = (_blur(plane) for plane in (u, v, u * u, v * v, u * v))
    variances = mean_xx - mean_x * mean_x + mean_yy - mean_y * mean_y
    covariance = mean_xy - mean_x * mean_y
    structure = (2 * covariance + _C2) / (variances + _C2)
    mean_x, mean_y = mean_x + shift, mean_y + shift
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x * mean_x + mean_y * mean_y + _C1)
    axes = (1, 2)
    return (luminance * structure).mean(axes, dtype=np.float64), structure.mean(axes, dtype=np.float64)


def _blur(planes: np.ndarray) -> np.ndarray:
    """Filter [C, H, W] with the separable Gaussian, keeping only positions where the window fits."""
    for axis in (1, 2):
        side = planes.shape[axis]
        taps = _gaussian(min(_WINDOW, side))
        length = side - len(taps) + 1
        shifted = [planes[(slice(None),) * axis + (slice(k, k + length),)] for k in range(len(taps))]
        half = len(taps) // 2
        total = shifted[half] * taps[half] if len(taps) % 2 else np.zeros_like(shifted[0])
        for k in range(half):  # the window is symmetric: one product serves two taps
            total += (shifted[k] + shifted[-1 - k]) * taps[k]
        planes = total
    return planes


def _gaussian(length: int) -> np.ndarray:
    position = np.arange(length) - (length - 1) / 2
    taps = np.exp(-(position**2) / (2 * _SIGMA**2))
    return (taps / taps.sum()).astype(np.float32)


def _halve(planes: np.ndarray) -> np.ndarray:
    """Average 2x2 pixels of [C, H, W]; an odd side first gets a zero row in front, as avg_pool2d(padding=side % 2)."""
    height, width = planes.shape[1:]
    planes = np.pad(planes, ((0, 0), (height % 2, 0), (width % 2, 0)))
    rows = planes[:, 0::2] + planes[:, 1::2]
    return (rows[:, :, 0::2] + rows[:, :, 1::2]) * np.float32(0.25)
