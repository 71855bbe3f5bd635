"""Bjontegaard-delta rate: how many per cent more bytes a codec needs for the same quality."""

from collections.abc import Sequence

import numpy as np

from jaxicm.errors import InputError


def common_quality(anchor_quality: Sequence[float], test_quality: Sequence[float]) -> tuple[float, float]:
    """Return the interval of quality that both curves cover; empty when the second value is not above the first."""
    return max(min(anchor_quality), min(test_quality)), min(max(anchor_quality), max(test_quality))


def bd_rate(
    anchor_bpp: Sequence[float],
    anchor_quality: Sequence[float],
    test_bpp: Sequence[float],
    test_quality: Sequence[float],
    *,
    min_overlap: float = 0.1,
) -> float:
    """Return the mean rate difference of a test curve to an anchor over their common quality, in per cent.

    log10(rate) is interpolated over quality by PCHIP and integrated (package `bjontegaard`); nothing is extrapolated.
    G. Bjontegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001.

    Args:
        anchor_bpp: positive rates of the anchor, at least 2 points, any order.
        anchor_quality: quality of these points (dB or any measure), strictly rising with the rate.
        test_bpp: rates of the tested codec.
        test_quality: quality of these points.
        min_overlap: smallest share of the tested curve's quality interval that the anchor must cover, in [0, 1].

    Returns:
        Per cent; negative where the tested codec is better.

    Raises:
        InputError: fewer than 2 points, rates not positive, quality not rising, or too little common quality.
    """
    # importing bjontegaard imports pyplot, nearly a second: only those pay who ask for a BD-rate
    from bjontegaard import bd_rate as compute

    anchor = _sorted_curve("anchor", anchor_bpp, anchor_quality)
    test = _sorted_curve("test", test_bpp, test_quality)
    low, high = common_quality(anchor_quality, test_quality)
    share = (high - low) / float(test[1][-1] - test[1][0])
    if high <= low or share < min_overlap:
        raise InputError(
            f"no BD-rate: the test curve covers quality {test[1][0]:.3f} to {test[1][-1]:.3f} and the anchor "
            f"{anchor[1][0]:.3f} to {anchor[1][-1]:.3f}, common is {max(share, 0):.0%} of the former, at least "
            f"{min_overlap:.0%} is needed; measure points in the anchor's range"
        )
    percent = compute(*anchor, *test, method="pchip", require_matching_points=False, min_overlap=0.0)
    assert isinstance(percent, float)  # a tuple only where interpolators are asked for
    return float(percent)


def _sorted_curve(name: str, bpp: Sequence[float], quality: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    rates, values = np.asarray(bpp, np.float64), np.asarray(quality, np.float64)
    if rates.ndim != 1 or rates.shape != values.shape or len(rates) < 2:
        raise InputError(f"{name} curve: 2 or more points of rate and quality are needed, got {len(rates)} rates")
    order = np.argsort(rates)
    rates, values = rates[order], values[order]
    if not np.all(np.isfinite(rates)) or rates[0] <= 0 or np.any(np.diff(values) <= 0) or np.any(np.diff(rates) <= 0):
        raise InputError(
            f"{name} curve: rates must be positive and quality must rise with the rate, got rates "
            f"{np.round(rates, 4).tolist()} and quality {np.round(values, 4).tolist()}; drop the points that fall"
        )
    return rates, values
