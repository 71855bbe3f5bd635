"""Intervals beside the BD-rates, or the reason why there are none.

Only codecs that were measured have them. Of a published curve the single pictures are not known; drawing those of the
tested codec alone would give an interval that is mostly the difference between easy and difficult pictures, which is
common to both curves and cancels where both are drawn alike: it would be several times too wide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from jaxicm.errors import InputError, JaxicmError
from jaxicm.evaluate.bdrate import Delta
from jaxicm.evaluate.bootstrap import Interval
from jaxicm.evaluate.intervals import Drawing, DrawnCurve, bd_rate_interval
from jaxicm.evaluate.report.comparison import Comparisons
from jaxicm.evaluate.report.drawn_curves import Drawn, GroundTruths, picture_curve, read_journal, task_curves
from jaxicm.evaluate.report.entries import Entry, Metric, PictureSet
from jaxicm.evaluate.report.run_files import Run

_SAME_RATE = 0.05
"""Per cent by which the figure of the single pictures may differ from that of the run file's means: half a digit."""


def add_intervals(
    picture_set: PictureSet, compared: Mapping[str, Comparisons], drawing: Drawing, annotations: Sequence[Path] = ()
) -> dict[str, Comparisons]:
    """Add to the comparisons of a set the intervals of their BD-rates over selections of the pictures.

    Args:
        picture_set: the set.
        compared: by key of the metric.
        drawing: of the selections.
        annotations: COCO files that are tried before those named by the runs' commands.

    Returns:
        The same comparisons; where both sides were measured, with an interval or with the reason why there is none.
    """
    curves = _Curves(picture_set, drawing, annotations)
    result = {}
    for key, item in compared.items():
        found = dict(item.found)
        for entry in picture_set.measured:
            comparison = found.get(entry.key)
            if comparison is None or comparison.rate is None or item.anchor is None or item.anchor.run is None:
                continue
            try:
                interval = bd_rate_interval(curves.of(item.anchor, item.metric), curves.of(entry, item.metric))
                _check_value(interval, comparison.rate)
            except JaxicmError as error:
                found[entry.key] = replace(comparison, interval_refusal=f"no interval: {error}")
            else:
                found[entry.key] = replace(comparison, interval=interval)
        result[key] = replace(item, found=found, drawing=drawing)
    return result


def _check_value(interval: Interval, rate: Delta) -> None:
    if abs(interval.value - rate.value) > max(_SAME_RATE, 1e-3 * abs(rate.value)):
        raise InputError(f"the single pictures give a BD-rate of {interval.value:.1f} %, the means {rate.value:.1f} %")


class _Curves:
    """Draw the curves of each codec once, whatever they are compared with."""

    def __init__(self, picture_set: PictureSet, drawing: Drawing, annotations: Sequence[Path]):
        self._tasks, self._drawing, self._truths = picture_set.tasks, drawing, GroundTruths(annotations)
        self._known: dict[tuple[str, str], Drawn] = {}
        self._asked: set[str] = set()

    def of(self, entry: Entry, metric: Metric) -> DrawnCurve:
        """Return a curve, or raise why it cannot be drawn."""
        run = entry.run
        assert run is not None
        if ":" not in metric.key:
            if (entry.key, metric.key) not in self._known:
                self._known[entry.key, metric.key] = picture_curve(run, metric.key, self._drawing)
        elif entry.key not in self._asked:  # all tasks together, so that the journal is read once and need not be kept
            self._asked.add(entry.key)
            self._draw_tasks(entry, run)
        curve = self._known.get((entry.key, metric.key), InputError("this score is not drawn by pictures"))
        if isinstance(curve, JaxicmError):
            raise curve
        return curve

    def _draw_tasks(self, entry: Entry, run: Run) -> None:
        groups = [group for group in self._tasks if entry.key in group.tasks and len(group.tasks) > 1]
        try:
            journal = read_journal(run)
        except JaxicmError as error:
            self._known |= {(entry.key, metric.key): error for group in groups for metric in group.metrics}
            return
        for group in groups:
            drawn = task_curves(run, journal, group.tasks[entry.key], self._drawing, self._truths)
            self._known |= {(entry.key, f"{group.key}:{score}"): curve for score, curve in drawn.items()}
