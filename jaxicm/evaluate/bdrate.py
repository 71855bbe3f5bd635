"""Bjontegaard deltas: how many per cent more bytes for the same quality, or how much quality for the same bytes.

Curves are interpolated piecewise (PCHIP or Akima) and integrated by the package `bjontegaard`, over the interval that
both cover; nothing is extrapolated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from jaxicm.errors import InputError

Method = Literal["pchip", "akima"]
Values = Sequence[float] | np.ndarray
SMALL_OVERLAP = 0.5
"""A common interval below this share of the tested curve's is noted."""


@dataclass(frozen=True)
class Delta:
    """Hold a mean difference of a tested curve to an anchor's.

    Attributes:
        value: per cent of rate, negative where the tested codec is better (`bd_rate`), or units of quality, positive
            where it is better (`bd_quality`).
        low: where the common interval begins, a quality (`bd_rate`) or bits per pixel (`bd_quality`).
        high: where it ends.
        overlap: share of the tested curve's interval that is common, in (0, 1]; for rates on a logarithmic scale.
        notes: what a reader should know of the figure, one clause each.
    """

    value: float
    low: float
    high: float
    overlap: float
    notes: tuple[str, ...] = ()


def bd_rate(
    anchor_bpp: Values,
    anchor_quality: Values,
    test_bpp: Values,
    test_quality: Values,
    *,
    method: Method = "pchip",
    min_overlap: float = 0.1,
) -> Delta:
    """Return the mean rate difference of a test curve to an anchor over their common quality, in per cent.

    The mean of log10(rate) over quality; G. Bjontegaard, "Calculation of average PSNR differences between RD-curves",
    VCEG-M33, 2001. Points that another one beats (less rate, no less quality) are left out, which is noted.

    Args:
        anchor_bpp: positive rates of the anchor, any order.
        anchor_quality: quality of these points: dB, accuracy, or any measure of which more is better.
        test_bpp: rates of the tested codec.
        test_quality: quality of these points.
        method: interpolation, "pchip" (monotone, the usual one) or "akima".
        min_overlap: smallest share of the tested curve's quality interval that the anchor must cover, in [0, 1].

    Returns:
        The difference in per cent.

    Raises:
        InputError: a curve of fewer than 2 points that count, values that are no numbers, rates that are not positive,
            or too little common quality.
    """
    (anchor, test), notes = _curves(anchor_bpp, anchor_quality, test_bpp, test_quality)
    low, high, share = _common(anchor[1], test[1], "quality", min_overlap)

    # importing bjontegaard imports pyplot, nearly a second: only those pay who ask for a difference
    from bjontegaard import bd_rate as compute

    return Delta(_delta(compute, anchor, test, method), low, high, share, _with_overlap(notes, share, "quality"))


def rate_difference(anchor_bpp: Values, anchor_quality: Values, bpp: float, quality: float) -> float:
    """Return how much more rate a single point takes than a curve at the same quality, in per cent.

    The logarithm of the curve's rate is interpolated over quality by PCHIP; nothing is extrapolated.

    Args:
        anchor_bpp: as in `bd_rate`.
        anchor_quality: likewise.
        bpp: positive rate of the point.
        quality: of the point.

    Returns:
        The difference in per cent, negative where the point is better.

    Raises:
        InputError: the curve has fewer than 2 points that count, or does not reach the quality.
    """
    from scipy.interpolate import PchipInterpolator

    (rates, values), _ = _front("anchor", anchor_bpp, anchor_quality)
    if not values[0] <= quality <= values[-1]:
        raise InputError(
            f"no difference: the curve covers quality {values[0]:.3f} to {values[-1]:.3f}, not {quality:.3f}"
        )
    return 100 * (bpp / 10 ** float(PchipInterpolator(values, np.log10(rates))(quality)) - 1)


def bd_quality(
    anchor_bpp: Values,
    anchor_quality: Values,
    test_bpp: Values,
    test_quality: Values,
    *,
    method: Method = "pchip",
    min_overlap: float = 0.1,
) -> Delta:
    """Return the mean quality difference of a test curve to an anchor over their common rates.

    The mean of quality over log10(rate): BD-PSNR where quality is PSNR, BD-task where it is the score of a task.

    Args:
        anchor_bpp: as in `bd_rate`, like all the others.
        anchor_quality: quality of these points.
        test_bpp: rates of the tested codec.
        test_quality: quality of these points.
        method: interpolation.
        min_overlap: smallest share of the tested curve's interval of log-rate that the anchor must cover, in [0, 1].

    Returns:
        The difference in units of quality.

    Raises:
        InputError: as `bd_rate`, for the common rates.
    """
    (anchor, test), notes = _curves(anchor_bpp, anchor_quality, test_bpp, test_quality)
    low, high, share = _common(np.log10(anchor[0]), np.log10(test[0]), "log10 of bpp", min_overlap)

    from bjontegaard import bd_psnr as compute

    value = _delta(compute, anchor, test, method)
    return Delta(value, 10**low, 10**high, share, _with_overlap(notes, share, "log-rate"))


def pareto_front(bpp: Values, quality: Values) -> np.ndarray:
    """Choose the points that no other point beats.

    Args:
        bpp: rates.
        quality: of these points, more is better.

    Returns:
        int indices into the points such that rate and quality rise strictly; every point left out has a kept one of no
        more rate and no less quality.
    """
    rates, values = np.asarray(bpp, np.float64), np.asarray(quality, np.float64)
    # of equal rates the best comes first, and shadows the others
    order = np.lexsort((-values, rates))
    best = np.maximum.accumulate(values[order])
    rises = np.ones(len(order), bool)
    rises[1:] = best[1:] > best[:-1]
    return order[rises]


_Curve = tuple[np.ndarray, np.ndarray]


def _curves(
    anchor_bpp: Values,
    anchor_quality: Values,
    test_bpp: Values,
    test_quality: Values,
) -> tuple[tuple[_Curve, _Curve], tuple[str, ...]]:
    anchor, anchor_notes = _front("anchor", anchor_bpp, anchor_quality)
    test, test_notes = _front("test", test_bpp, test_quality)
    return (anchor, test), anchor_notes + test_notes


def _front(name: str, bpp: Values, quality: Values) -> tuple[_Curve, tuple[str, ...]]:
    rates, values = np.asarray(bpp, np.float64), np.asarray(quality, np.float64)
    if rates.ndim != 1 or rates.shape != values.shape or len(rates) < 2:
        raise InputError(
            f"{name} curve: 2 or more points of rate and quality are needed, got {rates.size} rates and {values.size} "
            "values of quality; measure more points"
        )
    if not (np.isfinite(rates).all() and np.isfinite(values).all()) or rates.min() <= 0:
        raise InputError(
            f"{name} curve: rates must be positive and all values numbers, got rates {np.round(rates, 4).tolist()} and "
            f"quality {np.round(values, 4).tolist()}; leave the points out that have none"
        )
    kept = pareto_front(rates, values)
    if len(kept) < 2:
        raise InputError(
            f"{name} curve: one point of {len(rates)} beats all others (quality {np.round(values, 4).tolist()} at "
            f"rates {np.round(rates, 4).tolist()}), so there is no curve; quality must rise with the rate"
        )
    left = len(rates) - len(kept)
    notes = (f"{name} curve: {left} of {len(rates)} points left out, others beat them",) if left else ()
    return (rates[kept], values[kept]), notes


def _common(anchor: np.ndarray, test: np.ndarray, what: str, min_overlap: float) -> tuple[float, float, float]:
    """Return the common interval of two rising axes and its share of the tested one."""
    low, high = float(max(anchor[0], test[0])), float(min(anchor[-1], test[-1]))
    share = (high - low) / float(test[-1] - test[0])
    if high <= low or share < min_overlap:
        raise InputError(
            f"no BD figure: the test curve covers {what} {test[0]:.3f} to {test[-1]:.3f} and the anchor "
            f"{anchor[0]:.3f} to {anchor[-1]:.3f}, common is {max(share, 0):.0%} of the former, at least "
            f"{min_overlap:.0%} is needed; measure points in the anchor's range"
        )
    return low, high, share


def _delta(compute: Callable[..., object], anchor: _Curve, test: _Curve, method: Method) -> float:
    if method not in ("pchip", "akima"):
        raise InputError(f"the interpolation must be pchip or akima, got {method!r}")
    value = compute(*anchor, *test, method=method, require_matching_points=False, min_overlap=0.0)
    assert isinstance(value, float)  # a tuple only where interpolators are asked for
    return float(value)


def _with_overlap(notes: tuple[str, ...], share: float, what: str) -> tuple[str, ...]:
    if share >= SMALL_OVERLAP:
        return notes
    return (*notes, f"small overlap: the figure covers {share:.0%} of the tested curve's {what}")
