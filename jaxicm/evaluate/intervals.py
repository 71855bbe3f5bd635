"""Bootstrap intervals of BD-rates over the pictures that both codecs were measured on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxicm.errors import InputError
from jaxicm.evaluate.bdrate import Method, bd_rate
from jaxicm.evaluate.bootstrap import Interval, bootstrap
from jaxicm.evaluate.journal import Journal, Key
from jaxicm.evaluate.run_file import complete_points

if TYPE_CHECKING:
    from jaxicm.evaluate.accuracy import TaskObserver


@dataclass(frozen=True)
class PictureCurve:
    """Hold a codec's curve so that it can be drawn again for any selection of its pictures.

    Attributes:
        pictures: their names, in the order of the selections' indices.
        bpp: float [points, pictures].
        quality: returns the quality [points] of a selection, int [n] indices that may repeat.
    """

    pictures: tuple[str, ...]
    bpp: np.ndarray
    quality: Callable[[np.ndarray], np.ndarray]


def curve_of_run(run: Mapping[str, Any], field: str = "psnr_rgb") -> PictureCurve:
    """Return the curve of a mean over pictures.

    Args:
        run: contents of a run file.
        field: of its "pictures": psnr_rgb, psnr_yuv, ms_ssim, ms_ssim_db.

    Returns:
        The curve.

    Raises:
        InputError: a picture has no such value, or an infinite one.
    """
    rows = run["pictures"]
    names = tuple(dict.fromkeys(row["picture"] for row in rows))
    points = tuple(dict.fromkeys((row["quality"], row["scale"]) for row in rows))
    table = {(row["quality"], row["scale"], row["picture"]): row for row in rows}
    lacking = [row["picture"] for row in rows if row.get(field) is None]
    if lacking:
        raise InputError(f"{run['name']}: {len(lacking)} values of {field} are missing or infinite, first {lacking[0]}")

    def matrix(key: str) -> np.ndarray:
        return np.array([[table[(*point, name)][key] for name in names] for point in points], np.float64)

    values = matrix(field)
    return PictureCurve(names, matrix("bpp"), lambda chosen: values[:, chosen].mean(1))


def curve_of_task(journal: Journal, observer: "TaskObserver", kind: str = "box") -> PictureCurve:
    """Return the curve of a task network's average precision, from the detections in a run's journal.

    Args:
        journal: of the run, see `Journal.read`.
        observer: as made for that run: the same network, pictures and ground truth.
        kind: "box" or "mask".

    Returns:
        The curve; an evaluation of a selection takes some hundredths of a second a point.

    Raises:
        InputError: no operating point of the journal was observed for all pictures, or there are no objects of `kind`.
    """
    names = tuple(journal.session["pictures"])
    evaluations, bpp = [], []
    for point in complete_points(journal):
        entries = [journal.entries[Key(name, *point)] for name in names]
        if not all(observer.name in entry.observations for entry in entries):
            continue
        seen = {name: entry.observations[observer.name] for name, entry in zip(names, entries, strict=True)}
        evaluations += [one for one in observer.evaluations(seen) if one.kind == kind]
        bpp.append([entry.measured["bpp"] for entry in entries])
    if not evaluations:
        raise InputError(f"no {kind} AP of {observer.name} in this journal; run `jaxicm eval` with --task first")
    # an evaluation has the pictures in the order of its ground truth
    order = np.array([evaluations[0].pictures.index(name) for name in names])
    return PictureCurve(
        names, np.array(bpp), lambda chosen: np.array([evaluation.ap(order[chosen]) for evaluation in evaluations])
    )


def bd_rate_interval(
    anchor: PictureCurve, test: PictureCurve, *, method: Method = "pchip", resamples: int = 1000, seed: int = 0
) -> Interval:
    """Return the BD-rate of a codec over an anchor with its 95 % bootstrap interval over pictures.

    Both codecs are drawn with the same pictures, so what is common to them cancels.

    Args:
        anchor: curve of the anchor.
        test: curve of the codec tested, of the same pictures.
        method: interpolation of :func:`jaxicm.evaluate.bdrate.bd_rate`.
        resamples: selections drawn; 200 are enough for average precision, where each takes a second.
        seed: of the selections.

    Returns:
        Per cent.

    Raises:
        InputError: other pictures, or what :func:`~jaxicm.evaluate.bdrate.bd_rate` and
            :func:`~jaxicm.evaluate.bootstrap.bootstrap` refuse.
    """
    if sorted(anchor.pictures) != sorted(test.pictures):
        raise InputError(
            f"the curves are of other pictures: {len(anchor.pictures)} from {anchor.pictures[0]} and "
            f"{len(test.pictures)} from {test.pictures[0]}; compare runs on the same folder"
        )
    place = np.array([anchor.pictures.index(name) for name in test.pictures])

    def statistic(chosen: np.ndarray) -> float:
        same = place[chosen]
        return bd_rate(
            anchor.bpp[:, same].mean(1).tolist(),
            anchor.quality(same).tolist(),
            test.bpp[:, chosen].mean(1).tolist(),
            test.quality(chosen).tolist(),
            method=method,
        ).value

    return bootstrap(statistic, len(test.pictures), resamples=resamples, seed=seed)
