"""Runs sorted by the pictures that they measured: runs of different pictures never meet in one plot."""

from collections import Counter
from collections.abc import Sequence

from jaxicm.evaluate.bdrate import pareto_front
from jaxicm.evaluate.metrics import ms_ssim_db
from jaxicm.evaluate.published import SETS, curves
from jaxicm.evaluate.report.entries import (
    PICTURE_METRICS,
    Curve,
    Entry,
    PictureSet,
    TaskGroup,
    score_metric,
    score_value,
)
from jaxicm.evaluate.report.run_files import Point, Run, Task

SHOWN = ("vtm", "hpcm-base", "paper-elic2022", "bmshj2018-hyperprior")
"""Published curves that are drawn from the start; the others wait in the legend."""
_SET_TITLES = {
    "kodak": "Kodak",
    "clic2020-professional": "CLIC 2020 professional",
    "clic2020-mobile": "CLIC 2020 mobile",
}
_SCORES = ("box_ap", "mask_ap", "feature_psnr", "checkerboard", "weighted_ap", "mask_weighted_ap")
_NOTHING = "–"  # noqa: RUF001


def collect(runs: Sequence[Run], *, published: bool = True) -> tuple[PictureSet, ...]:
    """Sort runs by the pictures that they measured.

    Args:
        runs: at least one.
        published: add published curves to sets that have them.

    Returns:
        One set for each digest of pictures, in the order of the runs; in each the learned codecs first.
    """
    by_digest: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.data["set"] is None):  # the sets that everybody knows come first
        by_digest.setdefault(run.data["digest"], []).append(run)
    set_titles = _set_titles([group[0] for group in by_digest.values()])
    sets, taken = [], 0
    for title, (digest, group) in zip(set_titles, by_digest.items(), strict=True):
        ordered = sorted(group, key=lambda run: run.kind != "learned")
        keys = [f"c{taken + index}" for index in range(len(ordered))]
        tasks = _task_groups(ordered, keys)
        named = zip(keys, curve_titles(ordered), ordered, strict=True)
        entries = [_entry(key, name, run, tasks) for key, name, run in named]
        taken += len(entries)
        data = group[0].data
        if published and data["set"] in SETS:
            entries += _published(data["set"], taken, {entry.title for entry in entries})
            taken += len(curves(data["set"]))
        sets.append(
            PictureSet(f"s{len(sets)}", title, data["count"], data["pixels"], digest, tuple(entries), tuple(tasks))
        )
    return tuple(sets)


def curve_titles(runs: Sequence[Run]) -> list[str]:
    """Name each run; those that share a title get the labels in which they differ, and if need be their file name.

    Args:
        runs: of one set of pictures.

    Returns:
        Different titles, in the order of the runs.
    """
    shared = Counter(run.title for run in runs)
    titles = []
    for run in runs:
        twins = [other for other in runs if other.title == run.title]
        keys = sorted({key for twin in twins for key in twin.labels})
        telling = [key for key in keys if len({twin.labels.get(key) for twin in twins}) > 1]
        words = [f"{key} {run.labels.get(key, _NOTHING)}" for key in telling] if shared[run.title] > 1 else []
        titles.append(", ".join(words if words and len(shared) == 1 else [run.title, *words]))
    for finer in (lambda run: run.name, lambda run: run.path.stem, lambda run: str(run.path)):
        counts = Counter(titles)
        titles = [
            title if counts[title] == 1 else f"{title}, {finer(run)}" for run, title in zip(runs, titles, strict=True)
        ]
    return titles


def _set_titles(runs: Sequence[Run]) -> list[str]:
    """Name the sets: known names or folders, and if need be the number of pictures and the digest."""
    titles: list[str] = []
    for run in runs:
        folder = str(run.data["folder"]).rstrip("/").rsplit("/", 1)[-1]
        titles.append(_SET_TITLES.get(run.data["set"] or "", folder))
    for finer in (lambda run: f"{run.data['count']} pictures", lambda run: run.data["digest"][:8]):
        counts = Counter(title.casefold() for title in titles)
        titles = [
            title if counts[title.casefold()] == 1 else f"{title}, {finer(run)}"
            for run, title in zip(runs, titles, strict=True)
        ]
    return titles


def _published(set_name: str, first: int, taken: set[str]) -> list[Entry]:
    entries = []
    for index, (name, curve) in enumerate(curves(set_name).items()):
        drawn = {"psnr-rgb": _curve(curve.bpp, curve.psnr)}
        if curve.ms_ssim is not None:
            drawn["ms-ssim"] = _curve(curve.bpp, [ms_ssim_db(value) for value in curve.ms_ssim])
        title = curve.name if curve.name not in taken else f"{curve.name} (published)"
        names = (name, curve.name, f"{curve.name} (published)")
        entries.append(
            Entry(f"c{first + index}", title, "published", drawn, name in SHOWN, names=names, source=curve.source)
        )
    return entries


def _curve(bpp: Sequence[float], quality: Sequence[float]) -> Curve:
    return Curve(tuple(bpp), tuple(quality), ("published",) * len(bpp))


def _entry(key: str, title: str, run: Run, groups: Sequence[TaskGroup]) -> Entry:
    found = {}
    for metric in PICTURE_METRICS:
        chosen = picture_points(run, metric.key)
        if chosen:
            hints = tuple(_hint(point) for point, _ in chosen)
            found[metric.key] = Curve(tuple(p.bpp for p, _ in chosen), tuple(value for _, value in chosen), hints)
    for group in groups:
        task = group.tasks.get(key)
        for metric in group.metrics if task is not None else ():
            curve = _task_curve(task, metric.key.rsplit(":", 1)[1], metric.rises) if task is not None else None
            if curve is not None:
                found[metric.key] = curve
    names = tuple(dict.fromkeys((run.name, run.title, run.path.stem)))
    return Entry(key, title, "learned" if run.kind == "learned" else "conventional", found, run=run, names=names)


def _hint(point: Point) -> str:
    return f"quality {point.quality:g}" + ("" if point.scale == 100 else f", input at {point.scale:g} %")


def picture_points(run: Run, metric: str) -> list[tuple[Point, float]]:
    """Return the points of a curve of pictures with their values.

    Args:
        run: the codec as it is, where it was measured at full size; smaller inputs belong to the curves of tasks.
        metric: key of one of `PICTURE_METRICS`.
    """
    points = [point for point in run.points if point.scale == 100] or run.points
    return [(point, value) for point in points if (value := _picture_value(metric, point)) is not None]


def _picture_value(metric: str, point: Point) -> float | None:
    if metric == "ms-ssim":
        mean = point.values.get("ms-ssim-rgb")
        return point.values.get("ms-ssim-db-rgb") if mean is None or mean >= 1 else ms_ssim_db(mean)
    return point.values.get(metric)


def _task_curve(task: Task, score: str, rises: bool) -> Curve | None:
    points = [point for point in task.points if score in point.values]
    if not points:
        return None
    values = [score_value(score, point.values[score]) for point in points]
    if rises:  # over all input scales, the best score for its rate
        front = {int(index) for index in pareto_front([point.bpp for point in points], values)}
    else:
        front = {index for index, point in enumerate(points) if point.scale == 100} or set(range(len(points)))
    kept = sorted((points[index].bpp, values[index], _hint(points[index])) for index in front)
    rest = [(point.bpp, values[i], _hint(point)) for i, point in enumerate(points) if i not in front]
    bpp, quality, hints = zip(*kept, strict=True)
    return Curve(bpp, quality, hints, tuple(rest))


def _task_groups(runs: Sequence[Run], keys: Sequence[str]) -> list[TaskGroup]:
    """Gather tasks by network, weights and ground truth: a score under other weights or labels is another measure."""
    found: dict[tuple[str, str, str], dict[str, Task]] = {}
    for run, key in zip(runs, keys, strict=True):
        for task in run.tasks:
            found.setdefault((task.name, task.digest, task.ground_truth), {})[key] = task
    names = Counter(name for name, _, _ in found)
    groups = []
    for (name, digest, truth), tasks in found.items():
        single = names[name] == 1
        title = name if single else f"{name} ({_truth(truth)}, weights {digest[:8]})"
        key = name if single else f"{name}-{truth}-{digest[:8]}"
        scores = {score for task in tasks.values() for point in task.points for score in point.values}
        chosen = [score for score in _SCORES if score in scores] or sorted(scores)[:1]
        originals = [task.original for task in tasks.values() if task.original] or [{}]
        differ = any(abs(other.get(k, v) - v) > 1e-6 for other in originals for k, v in originals[0].items())
        notes = ("The runs disagree about the scores on the original pictures; those of the first are shown.",)
        note = f"{title}, {_truth(truth)}" if single and truth else title
        metrics = tuple(score_metric(key, score, note) for score in chosen)
        groups.append(TaskGroup(key, title, truth, digest, metrics, originals[0], tasks, notes if differ else ()))
    return groups


def _truth(ground_truth: str) -> str:
    return f"{ground_truth} ground truth" if ground_truth else "no ground truth"
