"""From run files to a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxicm.errors import InputError
from jaxicm.evaluate.intervals import Drawing
from jaxicm.evaluate.report.ablation import check_labels
from jaxicm.evaluate.report.collection import collect
from jaxicm.evaluate.report.comparison import Comparisons, check_anchor, compare_all
from jaxicm.evaluate.report.entries import PictureSet
from jaxicm.evaluate.report.page import write_page
from jaxicm.evaluate.report.palette import Look, looks
from jaxicm.evaluate.report.run_files import Run, read_run
from jaxicm.evaluate.report.summary import summary
from jaxicm.evaluate.report.uncertainty import add_intervals


@dataclass(frozen=True)
class Report:
    """Hold a report.

    Attributes:
        page: HTML.
        sets: what was compared, one for each set of pictures.
        compared: comparisons by key of the metric, by key of the set.
        looks: of the codecs, by title.
        summaries: a line for each set.
        problems: files that could not be read, a line each.
    """

    page: str
    sets: tuple[PictureSet, ...]
    compared: Mapping[str, Mapping[str, Comparisons]]
    looks: Mapping[str, Look]
    summaries: tuple[str, ...]
    problems: tuple[str, ...]


def build_report(
    paths: Sequence[Path],
    *,
    anchor: str | None = None,
    title: str | None = None,
    ablation: Sequence[str] | None = None,
    published: bool = True,
    drawing: Drawing | None = None,
    annotations: Sequence[Path] = (),
) -> Report:
    """Build a report of run files.

    A file that cannot be read is named in the report and does not stop the others.

    Args:
        paths: run files; the same file twice counts once.
        anchor: name of the curve that the others are compared with; None for VTM, VVC, HEVC, ..., the first there is.
        title: of the page.
        ablation: labels that name the rows of ablation tables; None for all that differ between runs.
        published: add published curves on sets that have them.
        drawing: of the intervals beside BD-rates; None leaves them out.
        annotations: COCO files with the ground truth of tasks, for their intervals, before those that the runs name.

    Returns:
        The report.

    Raises:
        InputError: none of the files can be read.
        OptionError: no curve has the anchor's name, or no run has a label.
    """
    runs: list[Run] = []
    problems: list[str] = []
    for path in dict.fromkeys(path.resolve() for path in paths):
        shown = next(given for given in paths if given.resolve() == path)
        try:
            runs.append(read_run(shown))
        except InputError as error:
            problems.append(str(error))
    if not runs:
        more = f" (and {len(problems) - 1} more files)" if len(problems) > 1 else ""
        raise InputError(f"{problems[0]}{more}" if problems else "no run files given")
    sets = collect(runs, published=published)
    check_anchor(sets, anchor)
    if ablation is not None:
        check_labels(runs, ablation)
    found = looks(sets)
    compared = {item.key: compare_all(item, anchor) for item in sets}
    if drawing is not None:
        compared = {item.key: add_intervals(item, compared[item.key], drawing, annotations) for item in sets}
    page = write_page(
        sets, compared, found, title=title or _title(sets), ablation=ablation, problems=problems
    )  # fmt: skip
    summaries = tuple(summary(item, compared[item.key]) for item in sets)
    return Report(page, sets, compared, found, summaries, tuple(problems))


def _title(sets: Sequence[PictureSet]) -> str:
    return f"Codecs on {'; '.join(item.title for item in sets)}"
