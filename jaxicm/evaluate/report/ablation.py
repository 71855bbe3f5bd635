"""Ablation tables: one row for each combination of labels, one column for each figure."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from statistics import mean, median

from jaxicm.errors import OptionError
from jaxicm.evaluate.report.comparison import Comparisons
from jaxicm.evaluate.report.entries import Entry, Metric, PictureSet, score_value
from jaxicm.evaluate.report.markup import Cell, Column, Markup, decimals, join, table, tag
from jaxicm.evaluate.report.run_files import Run


def check_labels(runs: Iterable[Run], keys: Sequence[str]) -> None:
    """Refuse an ablation over a label that no run has.

    Raises:
        OptionError: unknown; the message lists the labels.
    """
    found = sorted({key for run in runs for key in run.labels})
    unknown = [key for key in keys if key not in found]
    if unknown:
        there = (
            f"there are {', '.join(found)}" if found else "there are none; `jaxicm eval --label KEY=VALUE` makes them"
        )
        raise OptionError(f"--ablation: no run has the label {unknown[0]!r}; {there}")


def ablation_section(
    picture_set: PictureSet, compared: Mapping[str, Comparisons], keys: Sequence[str] | None
) -> Markup | None:
    """Write the table of all combinations of labels.

    Args:
        picture_set: the set.
        compared: by key of the metric.
        keys: labels that name the rows; None for all labels that differ between the runs.

    Returns:
        The table, or None where no run has such labels.
    """
    if keys is None:
        given = [entry.run.labels for entry in picture_set.measured if entry.run is not None and entry.run.labels]
        names = sorted({key for labels in given for key in labels})
        keys = [key for key in names if len({labels.get(key) for labels in given}) > 1]
    labelled = [
        (entry, entry.run)
        for entry in picture_set.measured
        if entry.run is not None and any(key in entry.run.labels for key in keys)
    ]
    if not labelled:
        return None
    combinations = sorted({tuple(run.labels.get(key) for key in keys) for _, run in labelled}, key=_natural)
    figures = _figures(picture_set, [compared[m.key] for m in picture_set.all_metrics if m.drawn and m.compared])
    several = len({entry.run.title for entry, _ in labelled if entry.run is not None}) > 1
    columns = [Column(key, numeric=False) for key in keys] + ([Column("codec", numeric=False)] if several else [])
    names = len(columns)
    columns += [Column(title, hint=hint) for _, title, hint, _ in figures]
    groups = [("", names)] + [(head, len(list(own))) for head, own in groupby(figures, key=lambda column: column[0])]
    rows = []
    for combination in combinations:
        for entry, run in labelled:
            if tuple(run.labels.get(key) for key in keys) != combination:
                continue
            cells = [Cell("–" if value is None else value, head=True) for value in combination]  # noqa: RUF001
            cells += [Cell(entry.title)] if several else []
            for *_, values in figures:
                text, value = values.get(entry.key, ("–", None))  # noqa: RUF001
                cells.append(Cell(text, value))
            rows.append(cells)
    left = len(picture_set.measured) - len(labelled)
    note = f"{left} of {len(picture_set.measured)} runs have none of these labels and are left out." if left else None
    anchors = list(dict.fromkeys(item.anchor.title for item in compared.values() if item.anchor is not None))
    anchor = f"BD-rates against {' and '.join(anchors)}. Seconds are medians of a picture."
    return join([table(columns, rows, group_heads=groups), tag("p", anchor, " ", note, class_="note")])


_Figure = tuple[str, str, str, dict[str, tuple[str, float]]]


def _figures(picture_set: PictureSet, compared: Sequence[Comparisons]) -> list[_Figure]:
    """Return heading, title, explanation and values by entry of each column that has a value."""
    entries = [entry for entry in picture_set.measured if entry.run is not None]
    columns: list[_Figure] = []
    for item in compared:
        rates = {
            e.key: c.rate.value for e in entries if (c := item.found.get(e.key)) is not None and c.rate is not None
        }
        texts = {key: (decimals(value, 1, sign=True), value) for key, value in rates.items()}
        if item.anchor is not None and item.anchor.key in {entry.key for entry in entries}:
            texts[item.anchor.key] = ("anchor", 0.0)
        columns.append(("BD-rate %", _named(item.metric), item.metric.note, texts))
    over = "mean over the settings"
    means = [(over, "bpp", "bits per pixel", 4, _means(picture_set, "bpp"))]
    means += [
        (over, _named(metric), metric.note, metric.digits, _means(picture_set, metric.key))
        for metric in picture_set.all_metrics
        if metric.drawn
    ]
    costs = [
        ("cost", "steps", "sequential steps", 0, {e.key: e.run.steps for e in entries if e.run is not None}),
        (
            "cost",
            "decode kMAC/pixel",
            "all networks but the analysis",
            1,
            {e.key: _multiplications(e.run) for e in entries if e.run is not None},
        ),
        ("cost", "encode s", "median of a picture", 3, {entry.key: _seconds(entry, "encode_s") for entry in entries}),
        ("cost", "decode s", "median of a picture", 3, {entry.key: _seconds(entry, "decode_s") for entry in entries}),
    ]
    for head, title, hint, digits, values in (*means, *costs):
        known = {key: (decimals(value, digits), float(value)) for key, value in values.items() if value is not None}
        columns.append((head, title, hint, known))
    return [column for column in columns if column[-1]]


def _named(metric: Metric) -> str:
    task = metric.key.split(":")[0] if ":" in metric.key else ""
    return f"{task} {metric.title}".strip()


def _means(picture_set: PictureSet, key: str) -> dict[str, float | None]:
    """Return the mean of a rate or a metric by entry, over settings at full size where there are such."""
    found: dict[str, float | None] = {}
    for entry in picture_set.measured:
        run = entry.run
        if run is None:
            continue
        if key == "bpp":
            points = [point.bpp for point in run.points if point.scale == 100] or [point.bpp for point in run.points]
        elif ":" in key:
            score = key.rsplit(":", 1)[1]
            task = next((g.tasks.get(entry.key) for g in picture_set.tasks if key in {m.key for m in g.metrics}), None)
            scored = [point for point in (task.points if task is not None else ()) if score in point.values]
            full = [point for point in scored if point.scale == 100] or scored
            points = [score_value(score, point.values[score]) for point in full]
        else:
            points = entry.curves[key].quality if key in entry.curves else ()
        found[entry.key] = mean(points) if points else None
    return found


def _multiplications(run: Run) -> float | None:
    parts = {name: cost for name, cost in run.kmac_per_pixel.items() if name != "analysis"}
    return parts.get("decode", sum(parts.values())) or None  # "decode" is the sum of the others


def _seconds(entry: Entry, key: str) -> float | None:
    pictures = entry.run.pictures if entry.run is not None else ()
    values = [picture.values[key] for picture in pictures if key in picture.values and picture.scale == 100]
    return median(values) if values else None


def _natural(combination: Sequence[str | None]) -> list[tuple[bool, float, str]]:
    """Sort numbers as numbers, so that 4 stands before 10, and what is missing last."""
    found = []
    for value in combination:
        try:
            found.append((value is None, float(value or 0), ""))
        except ValueError:
            found.append((False, float("inf"), value or ""))
    return found
