"""Curves of a run for many selections of its pictures, from the run file and for tasks from the journal beside it."""

import functools
import itertools
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxicm.errors import InputError, JaxicmError
from jaxicm.evaluate.ground_truth import GroundTruth, read_ground_truth
from jaxicm.evaluate.intervals import Drawing, DrawnCurve, Point, curve_of_run, curves_of_task
from jaxicm.evaluate.journal import Journal, Key
from jaxicm.evaluate.report.collection import picture_points
from jaxicm.evaluate.report.entries import score_title
from jaxicm.evaluate.report.run_files import Run, Task
from jaxicm.tasks.interface import COCO_CLASSES, COCO_IDS

Drawn = DrawnCurve | JaxicmError
"""A curve, or why it cannot be drawn."""


def _decibels(mean: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return -10 * np.log10(1 - mean)


_FIELDS: Mapping[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "psnr-rgb": ("psnr_rgb", np.positive),
    "psnr-yuv": ("psnr_yuv", np.positive),
    "ms-ssim": ("ms_ssim", _decibels),
    "lpips": ("lpips", np.negative),
}
"""Of each metric the field of a picture, and what makes the compared quality of its mean."""
_PRECISIONS = {"box": ("box_ap", "weighted_ap"), "mask": ("mask_ap", "mask_weighted_ap")}
"""Of each kind of detection the scores that `curves_of_task` returns."""
_SAME_AP = 1e-4


class GroundTruths:
    """Find the ground truth of runs, each file read once.

    Args:
        given: annotations that are tried before those named by the command of a run.
    """

    def __init__(self, given: Iterable[Path] = ()):
        self._given = tuple(given)
        self._known: dict[tuple[Path, tuple[str, ...]], GroundTruth | InputError] = {}

    def paths(self, run: Run) -> list[Path]:
        """Return the files that may fit a run."""
        try:
            words = shlex.split(run.provenance["command"])
        except ValueError:  # an open quotation mark
            words = []
        named = [following for word, following in itertools.pairwise(words) if word == "--annotations"]
        named += [word.removeprefix("--annotations=") for word in words if word.startswith("--annotations=")]
        return [*self._given, *(path for path in map(Path, named) if path.is_file())]

    def read(self, path: Path, pictures: tuple[str, ...]) -> GroundTruth:
        """Return the annotations of some pictures, or raise why there are none."""
        if (path, pictures) not in self._known:
            try:
                found = read_ground_truth(path, pictures, dict(zip(COCO_IDS, COCO_CLASSES, strict=True)))
            except InputError as error:
                found = error
            self._known[path, pictures] = found
        truth = self._known[path, pictures]
        if isinstance(truth, InputError):
            raise truth
        return truth


def picture_curve(run: Run, metric: str, drawing: Drawing) -> Drawn:
    """Draw a curve of a metric of pictures.

    Args:
        run: has the single pictures.
        metric: key of one of `PICTURE_METRICS`.
        drawing: of the selections.

    Returns:
        The curve, of the points that the report's curve has.
    """
    field, of_mean = _FIELDS[metric]
    points: dict[Point, dict[str, tuple[float, float]]] = {
        (point.quality, point.scale): {} for point, _ in picture_points(run, metric)
    }
    for picture in run.pictures:
        if (point := (picture.quality, picture.scale)) in points:
            if field not in picture.values:
                return InputError(f"{run.path.name} has no {field} of {picture.name}")
            points[point][picture.name] = picture.bpp, picture.values[field]
    try:
        return curve_of_run(points, drawing, of_mean)
    except JaxicmError as error:
        return error


def read_journal(run: Run) -> Journal:
    """Read what a run's tasks saw in each picture, or raise why it cannot be read."""
    path = run.path.with_suffix(".jsonl")
    if not path.exists():
        raise InputError(f"the journal {path.name} is not beside the run file")
    return Journal.read(path)


def task_curves(run: Run, journal: Journal, task: Task, drawing: Drawing, truths: GroundTruths) -> dict[str, Drawn]:
    """Draw the curves of a task.

    Args:
        run: has the single pictures.
        journal: of the run.
        task: of the run.
        drawing: of the selections.
        truths: where annotations are found.

    Returns:
        Curves by score ("box_ap"), of the scores that can be drawn by pictures.
    """

    def precision(kind: str) -> Sequence[DrawnCurve]:
        return _precision_curves(run, task, kind, _observations(run, task, journal, "detections"), drawing, truths)

    def features() -> Sequence[DrawnCurve]:
        seen = _observations(run, task, journal, "feature_psnr")
        told = {(point.quality, point.scale) for point in task.points if "feature_psnr" in point.values}
        points = {
            point: {name: (bpp, float(np.mean(list(levels.values())))) for name, (bpp, levels) in found.items()}
            for point, found in seen.items()
            if point in told
        }
        return [curve_of_run(points, drawing)]

    scores = {score for point in task.points for score in point.values}
    jobs = {("feature_psnr",): features}
    jobs |= {names: functools.partial(precision, kind) for kind, names in _PRECISIONS.items()}
    drawn: dict[str, Drawn] = {}
    for names, draw in jobs.items():
        if scores.isdisjoint(names):
            continue
        try:
            drawn |= zip(names, draw(), strict=True)
        except JaxicmError as error:
            drawn |= dict.fromkeys(names, error)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            damaged = InputError(f"{run.path.stem}.jsonl is damaged ({type(error).__name__}: {error})")
            drawn |= dict.fromkeys(names, damaged)
    return drawn


_Seen = Mapping[Point, Mapping[str, tuple[float, Any]]]
"""Rate and observation of each picture at each point."""


def _observations(run: Run, task: Task, journal: Journal, field: str) -> _Seen:
    seen: dict[Point, dict[str, tuple[float, Any]]] = {(point.quality, point.scale): {} for point in task.points}
    for picture in run.pictures:
        if (point := (picture.quality, picture.scale)) in seen:
            entry = journal.entries.get(Key(picture.name, picture.quality, int(picture.scale)))
            observation = entry.observations.get(task.name, {}) if entry is not None else {}
            if field not in observation:
                raise InputError(f"{run.path.stem}.jsonl has no {field} of {task.name} in {picture.name}")
            seen[point][picture.name] = picture.bpp, observation[field]
    return seen


def _precision_curves(
    run: Run, task: Task, kind: str, seen: _Seen, drawing: Drawing, truths: GroundTruths
) -> tuple[DrawnCurve, DrawnCurve]:
    if task.ground_truth != "real":
        raise InputError("the ground truth, detections on the originals, is not kept in the journal")
    names = tuple(sorted({name for found in seen.values() for name in found}))
    problem = InputError("the annotations are not at hand; name them with --annotations")
    for path in truths.paths(run):
        try:
            curves = curves_of_task(seen, truths.read(path, names), drawing, kind)
            _check_scores(path, task, curves[0], _PRECISIONS[kind][0])
        except InputError as error:
            problem = error
        else:
            return curves
    raise problem


def _check_scores(path: Path, task: Task, curve: DrawnCurve, score: str) -> None:
    """Compare with the AP of the run file: the annotations may be others than those of the run."""
    for point, found in zip(task.points, curve.quality[:, 0], strict=True):
        stated = point.values.get(score)
        if stated is None or not abs(found - stated) <= _SAME_AP:
            known = "none" if stated is None else f"{100 * stated:.2f}"
            raise InputError(
                f"by {path.name} the {score_title(score)} is {100 * found:.2f}, the run file has {known}; name the "
                "annotations of the run with --annotations"
            )
