"""Intervals of a figure by resampling the pictures that it was measured on."""

from collections.abc import Callable
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


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    pictures: int,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return a figure and its percentile bootstrap interval over pictures.

    B. Efron, "Bootstrap methods: another look at the jackknife", 1979. What belongs to one picture (all its rates,
    both codecs) is drawn together, so that the interval of a difference is that of paired measurements::

        # bpp and quality of the anchor, [points, pictures], and of the codec tested
        bootstrap(lambda chosen: bd_rate(*(curve[:, chosen].mean(1) for curve in curves)).value, 24)
        # average precision of `evaluation`, see `jaxicm.evaluate.coco`
        bootstrap(evaluation.ap, len(evaluation), resamples=200)

    Args:
        statistic: figure of a selection of pictures, given as int [pictures] indices that may repeat. An
            :class:`InputError` or a value that is not finite counts as refused.
        pictures: their number, at least 2.
        resamples: number of random selections.
        level: share inside the interval, in (0, 1).
        seed: of the selections; the same seed draws the same pictures for every statistic.

    Returns:
        The interval.

    Raises:
        InputError: fewer than 2 pictures, or more than 5 % of the resamples had no value; whatever `statistic` raises
            for all pictures.
    """
    if pictures < 2:
        raise InputError(f"a bootstrap interval needs 2 or more pictures, got {pictures}")
    value = statistic(np.arange(pictures))
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        try:
            drawn = statistic(rng.integers(pictures, size=pictures))
        except InputError:
            continue
        if np.isfinite(drawn):
            values.append(drawn)
    refused = resamples - len(values)
    if refused > REFUSED * resamples:
        raise InputError(
            f"no bootstrap interval: {refused} of {resamples} selections of pictures have no value, at most "
            f"{REFUSED:.0%} may; measure more pictures or a wider range of rates"
        )
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high), level, resamples, refused)
