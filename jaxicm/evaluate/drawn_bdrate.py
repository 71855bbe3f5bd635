"""BD-rates of many pairs of curves at once, for the thousands that a bootstrap interval takes."""

import numpy as np

from jaxicm.errors import InputError


def bd_rates(
    anchor_bpp: np.ndarray,
    anchor_quality: np.ndarray,
    test_bpp: np.ndarray,
    test_quality: np.ndarray,
    *,
    min_overlap: float = 0.1,
) -> np.ndarray:
    """Return the figures that :func:`jaxicm.evaluate.bdrate.bd_rate` gives by PCHIP, about a hundred times as fast.

    Args:
        anchor_bpp: positive rates [points, pairs], in any order.
        anchor_quality: quality of these points, more is better.
        test_bpp: rates of the tested codec; it may have another number of points.
        test_quality: quality of these points.
        min_overlap: smallest share of the tested curve's quality interval that the anchor must cover, in [0, 1].

    Returns:
        float [pairs] in per cent; nan where there is no such figure.

    Raises:
        InputError: arrays of other shapes.
    """
    if anchor_bpp.shape != anchor_quality.shape or test_bpp.shape != test_quality.shape or anchor_bpp.ndim != 2:
        raise InputError(
            f"curves: rates and quality must be [points, pairs], got {anchor_bpp.shape} and {anchor_quality.shape} of "
            f"the anchor, {test_bpp.shape} and {test_quality.shape} of the tested codec"
        )
    anchor, test = _Fronts(anchor_bpp, anchor_quality), _Fronts(test_bpp, test_quality)
    low, high = np.maximum(anchor.low, test.low), np.minimum(anchor.high, test.high)
    with np.errstate(invalid="ignore", divide="ignore"):
        usable = (high > low) & ((high - low) / (test.high - test.low) >= min_overlap)
        usable &= anchor.usable & test.usable
    out = np.full(usable.shape, np.nan)
    chosen = np.flatnonzero(usable)
    low, high = low[chosen], high[chosen]
    mean = (test.integral(chosen, low, high) - anchor.integral(chosen, low, high)) / (high - low)
    out[chosen] = 100 * (10**mean - 1)
    return out


class _Fronts:
    """Sort the points of each curve by rate and find those that no other beats."""

    def __init__(self, bpp: np.ndarray, quality: np.ndarray):
        order = np.lexsort((-quality, bpp), axis=0)  # of equal rates the best comes first, and shadows the others
        rate, self._quality = (np.take_along_axis(array, order, 0) for array in (bpp, quality))
        with np.errstate(invalid="ignore", divide="ignore"):
            self._log_rate = np.log10(rate)
        best = np.maximum.accumulate(self._quality, 0)
        self._kept = np.ones(best.shape, bool)
        self._kept[1:] = best[1:] > best[:-1]
        self.low, self.high = best[0], best[-1]
        finite = np.isfinite(self._quality).all(0) & np.isfinite(self._log_rate).all(0)
        self.usable = finite & (self._kept.sum(0) > 1)

    def integral(self, chosen: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Integrate the log-rate of some curves over quality, each from its `low` to its `high`."""
        out = np.empty(len(chosen))
        masks, group = np.unique(self._kept[:, chosen], axis=1, return_inverse=True)
        for index, mask in enumerate(masks.T):  # mostly one: all points, in every selection
            here = np.flatnonzero(group.ravel() == index)
            curves = np.ix_(mask, chosen[here])
            out[here] = _integral(self._quality[curves], self._log_rate[curves], low[here], high[here])
        return out


def _integral(x: np.ndarray, y: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Integrate the monotone cubic through points [points, curves] that rise in both coordinates.

    Slopes as F. N. Fritsch and J. Butland, "A method for constructing local monotone piecewise cubic interpolants",
    1984; at the ends three points, not below 0. Both as in scipy's PCHIP, of which rising points need half the cases.
    """
    step = np.diff(x, axis=0)
    slope = np.diff(y, axis=0) / step
    at = np.empty_like(y)
    if len(x) == 2:
        at[:] = slope
    else:
        before, after = 2 * step[1:] + step[:-1], step[1:] + 2 * step[:-1]
        at[1:-1] = (before + after) / (before / slope[:-1] + after / slope[1:])
        for end, (s0, s1), (m0, m1) in ((0, step[:2], slope[:2]), (-1, step[-2:][::-1], slope[-2:][::-1])):
            at[end] = np.maximum(((2 * s0 + s1) * m0 - s0 * m1) / (s0 + s1), 0)

    def until(limit: np.ndarray) -> np.ndarray:
        t = (np.clip(limit, x[:-1], x[1:]) - x[:-1]) / step
        parts = y[:-1] * (t - t**3 + t**4 / 2) + y[1:] * (t**3 - t**4 / 2)
        parts += step * (at[:-1] * (t**2 / 2 - 2 * t**3 / 3 + t**4 / 4) + at[1:] * (t**4 / 4 - t**3 / 3))
        return (step * parts).sum(0)

    return until(high) - until(low)
