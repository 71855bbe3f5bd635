"""Bootstrap intervals of BD-rates over the pictures that both codecs were measured on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxicm.errors import InputError
from jaxicm.evaluate.bootstrap import Interval, interval_of, selections
from jaxicm.evaluate.drawn_bdrate import bd_rates
from jaxicm.evaluate.drawn_precision import drawn_precision, objects_of
from jaxicm.evaluate.ground_truth import GroundTruth

Point = tuple[float, float]
"""Setting of the codec and input scale in per cent."""


@dataclass(frozen=True)
class Drawing:
    """Say which selections of pictures are drawn: the same for every curve of the same pictures.

    Attributes:
        resamples: number of random selections.
        seed: of the selections.
    """

    resamples: int = 500
    seed: int = 0

    def counts(self, pictures: int) -> np.ndarray:
        """Return how often each picture is drawn, see :func:`jaxicm.evaluate.bootstrap.selections`."""
        return selections(pictures, resamples=self.resamples, seed=self.seed)


@dataclass(frozen=True)
class DrawnCurve:
    """Hold a codec's curve for many selections of its pictures; the first selection has each picture once.

    Attributes:
        pictures: their names, sorted.
        bpp: float [points, selections].
        quality: float [points, selections], more is better.
        drawing: of the selections.
    """

    pictures: tuple[str, ...]
    bpp: np.ndarray
    quality: np.ndarray
    drawing: Drawing


def curve_of_run(
    points: Mapping[Point, Mapping[str, tuple[float, float]]],
    drawing: Drawing,
    of_mean: Callable[[np.ndarray], np.ndarray] = lambda mean: mean,
) -> DrawnCurve:
    """Return the curve of a mean over pictures.

    Args:
        points: rate and value of every picture at each operating point.
        drawing: of the selections.
        of_mean: makes the quality of the mean value, for instance decibels of a similarity.

    Returns:
        The curve.

    Raises:
        InputError: no points, points of other pictures, or fewer than 2 pictures.
    """
    names = _names(points)
    counts = drawing.counts(len(names))
    table = np.array([[found[name] for name in names] for found in points.values()], np.float64)
    means = np.einsum("pnk,sn->kps", table, counts) / len(names)
    return DrawnCurve(names, means[0], of_mean(means[1]), drawing)


def curves_of_task(
    points: Mapping[Point, Mapping[str, tuple[float, list[dict[str, Any]]]]],
    truth: GroundTruth,
    drawing: Drawing,
    kind: str = "box",
) -> tuple[DrawnCurve, DrawnCurve]:
    """Return the curves of a task network's average precision.

    Args:
        points: rate and detections of every picture at each operating point, as a run's journal has them.
        truth: what is to be found in these pictures.
        drawing: of the selections.
        kind: "box" or "mask".

    Returns:
        The curves of AP and of AP weighted by the objects of each class, fractions in [0, 1].

    Raises:
        InputError: no points, points of other pictures, fewer than 2 pictures, or no objects of `kind`.
        MissingDependency: masks need a library that is not installed.
    """
    names = _names(points)
    if kind not in truth.kinds:
        raise InputError(f"the annotations have no {'masks' if kind == 'mask' else 'boxes'}; give complete ones")
    counts = drawing.counts(len(names))
    objects = objects_of(truth, names, kind)
    bpp = np.array([[found[name][0] for name in names] for found in points.values()], np.float64)
    drawn = [
        drawn_precision(objects, {name: seen for name, (_, seen) in found.items()}, counts) for found in points.values()
    ]
    rates = bpp @ counts.T / len(names)
    plain, weighted = (DrawnCurve(names, rates, np.array(scores), drawing) for scores in zip(*drawn, strict=True))
    return plain, weighted


def bd_rate_interval(anchor: DrawnCurve, test: DrawnCurve) -> Interval:
    """Return the BD-rate of a codec over an anchor with its 95 % bootstrap interval over pictures.

    Both codecs are drawn with the same pictures, so what is common to them cancels.

    Args:
        anchor: curve of the anchor.
        test: curve of the codec tested, of the same pictures, by the same drawing.

    Returns:
        Per cent, by PCHIP.

    Raises:
        InputError: other pictures, or too many selections without a BD-rate.
    """
    if anchor.pictures != test.pictures:
        lone = sorted({*anchor.pictures} ^ {*test.pictures})
        raise InputError(
            f"the curves are of other pictures: {len(anchor.pictures)} and {len(test.pictures)}, of which {len(lone)} "
            f"are in one only, first {lone[0]}; compare runs on the same folder"
        )
    if anchor.drawing != test.drawing:
        raise InputError(f"the curves are of other selections: {anchor.drawing} and {test.drawing}; draw both alike")
    return interval_of(bd_rates(anchor.bpp, anchor.quality, test.bpp, test.quality))


def _names(points: Mapping[Point, Mapping[str, Any]]) -> tuple[str, ...]:
    lists = {tuple(sorted(found)) for found in points.values()}
    if len(lists) != 1:
        counts = ", ".join(map(str, sorted(len(names) for names in lists))) or "no points"
        raise InputError(f"the operating points are not of the same pictures (numbers: {counts}); give the run again")
    return lists.pop()
