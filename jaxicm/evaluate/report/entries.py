"""What a report compares: the codecs of one set of pictures, their curves, and the axes these are drawn on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from jaxicm.evaluate.report.run_files import Run, Task

Group = Literal["learned", "conventional", "published"]


@dataclass(frozen=True)
class Metric:
    """Describe an axis of quality.

    Attributes:
        key: unique in a report.
        title: in tables and legends.
        unit: "dB", "points" or nothing.
        rises: a larger value is better.
        digits: decimals that are printed.
        note: how it is computed.
        drawn: has a plot of its own.
        compared: has a Bjontegaard delta.
    """

    key: str
    title: str
    unit: str = "dB"
    rises: bool = True
    digits: int = 2
    note: str = ""
    drawn: bool = True
    compared: bool = True

    @property
    def axis(self) -> str:
        """Return the label of its axis."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.title}{unit}"


PICTURE_METRICS = (
    Metric("psnr-rgb", "PSNR RGB", note="over all samples of 8-bit RGB, mean over the pictures"),
    Metric("psnr-yuv", "PSNR YUV", note="BT.709 planes weighted 6:1:1, mean over the pictures"),
    Metric("ms-ssim", "MS-SSIM", note="−10 log₁₀(1 − m), m the mean over the pictures"),  # noqa: RUF001
    Metric("lpips", "LPIPS", "", rises=False, digits=4, note="smaller is better, mean over the pictures"),
)


@dataclass(frozen=True)
class Curve:
    """Hold the points of a curve.

    Attributes:
        bpp: rates, rising.
        quality: values of the metric.
        hints: the setting behind each point.
        faint: rate, quality and setting of points that are measured but not on the curve, as others beat them.
    """

    bpp: tuple[float, ...]
    quality: tuple[float, ...]
    hints: tuple[str, ...]
    faint: tuple[tuple[float, float, str], ...] = ()


@dataclass(frozen=True)
class Entry:
    """Hold one codec of a set of pictures.

    Attributes:
        key: unique in a report, an identifier in HTML.
        title: unique in its set.
        group: where the curve comes from.
        curves: by key of the metric.
        shown: drawn from the start.
        run: of the run file; None of a published curve.
        names: by which `--anchor` finds it.
        source: of a published curve.
    """

    key: str
    title: str
    group: Group
    curves: Mapping[str, Curve]
    shown: bool = True
    run: Run | None = None
    names: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True)
class TaskGroup:
    """Hold what is comparable of a task: one network, one ground truth.

    Attributes:
        key: unique in its set.
        title: of the network, with the ground truth where there are several.
        ground_truth: "real", "pseudo", or nothing where the measure needs none.
        digest: of the network's weights.
        metrics: its scores that are drawn or compared.
        original: scores on the uncoded pictures, as in the run file.
        tasks: by key of the entry.
        notes: what a reader must know.
    """

    key: str
    title: str
    ground_truth: str
    digest: str
    metrics: tuple[Metric, ...]
    original: Mapping[str, float]
    tasks: Mapping[str, Task]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PictureSet:
    """Hold everything that was measured on the same pictures."""

    key: str
    title: str
    count: int
    pixels: int
    digest: str
    entries: tuple[Entry, ...]
    tasks: tuple[TaskGroup, ...]

    @property
    def measured(self) -> tuple[Entry, ...]:
        """Return the entries that come from run files."""
        return tuple(entry for entry in self.entries if entry.run is not None)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of pictures that at least one run has."""
        return tuple(item for item in PICTURE_METRICS if any(item.key in entry.curves for entry in self.measured))

    @property
    def all_metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of pictures and of tasks."""
        return (*self.metrics, *(metric for group in self.tasks for metric in group.metrics))


def score_metric(group: str, score: str, note: str) -> Metric:
    """Describe the axis of a score of a task.

    Args:
        group: key of the task group.
        score: key in the run file ("box_ap").
        note: network and ground truth.
    """
    precision = is_precision(score)
    return Metric(
        key=f"{group}:{score}",
        title=score_title(score),
        unit="points" if precision else "dB" if "psnr" in score else "",
        rises=score != "checkerboard",
        digits=1 if precision else 2,
        note=note,
        drawn="weighted" not in score,
        compared=score != "checkerboard",
    )


def score_value(score: str, value: float) -> float:
    """Return a score as it is printed: average precision in points, everything else as it is."""
    return 100 * value if is_precision(score) else value


def is_precision(score: str) -> bool:
    """Say whether a score is an average precision ("box_ap", "mask_ap50", "weighted_ap")."""
    return re.search(r"(^|_)ap\d*(_|$)", score) is not None


def score_title(score: str) -> str:
    """Return the name of a score for people: "box AP50" for "box_ap50"."""
    words = [word.upper() if re.fullmatch(r"ap\d*|psnr", word) else word for word in score.split("_")]
    return " ".join(words)
