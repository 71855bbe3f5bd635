"""Intervals of a figure by drawing the pictures again that it was measured on.

B. Efron, "Bootstrap methods: another look at the jackknife", 1979. What belongs to one picture (all its rates, both
codecs) is drawn together, so that the interval of a difference is that of paired measurements::

    drawn = selections(24, resamples=1000)
    interval_of(drawn @ psnr / 24)                 # of a mean; psnr [24]
"""

from dataclasses import dataclass

import numpy as np

from jaxicm.errors import InputError

REFUSED = 0.05
"""Share of the resamples that may have no value before the interval says nothing."""


@dataclass(frozen=True)
class Interval:
    """Hold a figure with its percentile interval.

    Attributes:
        value: of all pictures, each once.
        low: lower end of the interval.
        high: upper end.
        level: share of the resamples inside, for instance 0.95.
        resamples: how many were drawn.
        refused: how many of them had no value, for instance no common quality for a BD-rate.
    """

    value: float
    low: float
    high: float
    level: float
    resamples: int
    refused: int


def selections(pictures: int, *, resamples: int = 1000, seed: int = 0) -> np.ndarray:
    """Draw pictures with replacement, as many as there are.

    Args:
        pictures: their number, at least 2.
        resamples: number of random selections.
        seed: the same seed draws the same pictures for every figure.

    Returns:
        int32 [1 + resamples, pictures], how often each picture is in a selection; in the first each is once.

    Raises:
        InputError: fewer than 2 pictures.
    """
    if pictures < 2:
        raise InputError(f"a bootstrap interval needs 2 or more pictures, got {pictures}")
    drawn = np.random.default_rng(seed).integers(pictures, size=(resamples, pictures))
    counts = np.ones((1 + resamples, pictures), np.int32)
    for row, chosen in zip(counts[1:], drawn, strict=True):
        row[:] = np.bincount(chosen, minlength=pictures)
    return counts


def interval_of(values: np.ndarray, *, level: float = 0.95) -> Interval:
    """Return the percentile interval of a figure.

    Args:
        values: float [1 + resamples], the figure of each of the :func:`selections`; not finite where there is none.
        level: share inside the interval, in (0, 1).

    Returns:
        The interval.

    Raises:
        InputError: all pictures together have no value, or more than 5 % of the resamples.
    """
    value, drawn = values[0], values[1:]
    known = drawn[np.isfinite(drawn)]
    refused = len(drawn) - len(known)
    if not np.isfinite(value):
        raise InputError("all pictures together have no value; measure a wider range of rates")
    if not len(known) or refused > REFUSED * len(drawn):
        raise InputError(
            f"{refused} of {len(drawn)} selections of pictures have no value, for an interval {REFUSED:.0%} at most; "
            "measure more pictures or a wider range of rates"
        )
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high), level, len(drawn), refused)
