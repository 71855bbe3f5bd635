"""Average precision of many selections of pictures at once, for bootstrap intervals.

Which detection finds which object does not depend on other pictures, so a picture that is drawn again only counts
again. The definition is that of :mod:`jaxicm.evaluate.coco`; there the library takes milliseconds for each selection,
here hundreds of them share the matching and the sorting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxicm.evaluate.coco import require_library
from jaxicm.evaluate.ground_truth import GroundTruth

THRESHOLDS = np.linspace(0.5, 0.95, 10)
_LEVELS = np.linspace(0, 1, 101)
_BLOCK = 1 << 19
"""Detections times selections that are held at a time: about what a cache holds."""


@dataclass(frozen=True)
class Objects:
    """Hold what is to be found, by class and picture.

    Attributes:
        kind: "box" or "mask".
        pictures: names, in the order of the selections' counts.
        categories: those that occur.
        shapes: of the objects of a picture and a category, crowd regions last: boxes float [n, 4] or run lengths.
        crowds: how many of these are crowd regions.
        counts: int32 [categories, pictures], objects that are no crowd regions.
    """

    kind: str
    pictures: tuple[str, ...]
    categories: tuple[int, ...]
    shapes: Mapping[tuple[str, int], Any]
    crowds: Mapping[tuple[str, int], int]
    counts: np.ndarray


def objects_of(truth: GroundTruth, pictures: Sequence[str], kind: str = "box") -> Objects:
    """Sort a ground truth by class and picture.

    Args:
        truth: with annotations of these pictures.
        pictures: their names, in the order of the selections.
        kind: "box", or "mask" where `truth` has them.

    Returns:
        The objects.

    Raises:
        MissingDependency: masks need the library, which is not installed.
    """
    if kind == "mask":
        require_library()
    found: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for name in pictures:
        for one in truth.annotations[name]:
            found.setdefault((name, one["category_id"]), []).append(one)
    shapes, crowds = {}, {}
    for (name, category), group in found.items():
        ordered = sorted(group, key=lambda one: one["iscrowd"])
        masks = [_run_lengths(one["segmentation"], truth.sizes[name]) for one in ordered] if kind == "mask" else None
        shapes[name, category] = masks or np.array([one["bbox"] for one in ordered], np.float64)
        crowds[name, category] = sum(one["iscrowd"] for one in ordered)
    real = {key: len(shapes[key]) - crowds[key] for key in shapes}
    categories = tuple(sorted({category for (_, category), count in real.items() if count}))
    counts = [[real.get((name, category), 0) for name in pictures] for category in categories]
    return Objects(kind, tuple(pictures), categories, shapes, crowds, np.array(counts, np.int32))


def drawn_precision(
    objects: Objects, results: Mapping[str, Sequence[Mapping[str, Any]]], counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the average precision of every selection.

    Classes that do not occur in a selection drop out of its mean. Where many classes have a single picture, the AP of
    selections therefore lies above or below that of the whole set; differences of codecs hardly suffer.

    Args:
        objects: what is to be found.
        results: detections of every picture, best score first, as :func:`jaxicm.evaluate.coco.as_results` makes them.
        counts: int [selections, pictures], how often each picture is drawn.

    Returns:
        The AP, and the mean over classes weighted by their objects in the selection: float [selections] in [0, 1], nan
        where nothing is to be found.
    """
    if not objects.categories:
        return np.full(len(counts), np.nan), np.full(len(counts), np.nan)
    found = _match(objects, results)
    blocks = np.array_split(np.arange(len(counts)), max(1, len(counts) * found.picture.size // _BLOCK))
    number = counts @ objects.counts.T  # [selections, categories]
    by_class = np.concatenate([_precision(found, counts[block], number[block]) for block in blocks])
    return _mean(by_class, number > 0), _mean(by_class, number)


def _mean(by_class: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(1)
    return np.where(total > 0, (weights * by_class).sum(1) / np.maximum(total, 1), np.nan)


@dataclass(frozen=True)
class _Found:
    """Hold the detections of the classes that occur, by class and best score first.

    Attributes:
        category: int [n], place of the class among those that occur, rising.
        picture: int [n], place of the picture.
        hit: bool [thresholds, n], finds an object.
        ignored: bool [thresholds, n], finds a crowd region.
    """

    category: np.ndarray
    picture: np.ndarray
    hit: np.ndarray
    ignored: np.ndarray


def _match(objects: Objects, results: Mapping[str, Sequence[Mapping[str, Any]]]) -> _Found:
    places = {category: n for n, category in enumerate(objects.categories)}
    every = [
        (places[one["category_id"]], -one["score"], place, one)
        for place, name in enumerate(objects.pictures)
        for one in results[name]
        if one["category_id"] in places
    ]
    every.sort(key=lambda entry: entry[:2])  # equal scores in the order of the pictures, as the library has them
    groups: dict[tuple[int, int], list[int]] = {}
    for n, (category, _, place, _) in enumerate(every):
        groups.setdefault((place, category), []).append(n)
    hit = np.zeros((len(THRESHOLDS), len(every)), bool)
    ignored = np.zeros_like(hit)
    for (place, category), group in groups.items():
        key = objects.pictures[place], objects.categories[category]
        if key in objects.shapes:
            hit[:, group], ignored[:, group] = _match_picture(objects, key, [every[n][3] for n in group])
    category, picture = (np.array([entry[n] for entry in every], np.intp) for n in (0, 2))
    return _Found(category, picture, hit, ignored)


def _match_picture(
    objects: Objects, key: tuple[str, int], group: Sequence[Mapping[str, Any]]
) -> tuple[np.ndarray, np.ndarray]:
    """Give each detection, best first, the free object that it covers best; crowd regions take any number."""
    hit = np.zeros((len(THRESHOLDS), len(group)), bool)
    ignored = np.zeros_like(hit)
    real = len(objects.shapes[key]) - objects.crowds[key]
    iou = _overlaps(objects, key, group)
    free, rows = np.ones((len(THRESHOLDS), real), bool), np.arange(len(THRESHOLDS))
    for n in np.flatnonzero(iou.max(1) >= THRESHOLDS[0]):
        if real:
            fit = np.where(free, iou[n, :real], -1.0)
            best = real - 1 - np.argmax(fit[:, ::-1], axis=1)  # of equal ones the last, as the library has it
            taken = np.flatnonzero(fit[rows, best] >= THRESHOLDS)
            hit[taken, n] = True
            free[taken, best[taken]] = False
        if objects.crowds[key]:
            ignored[:, n] = ~hit[:, n] & (iou[n, real:].max() >= THRESHOLDS)
    return hit, ignored


def _overlaps(objects: Objects, key: tuple[str, int], group: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return intersections over unions [detections, objects]; of crowd regions over the detection's area."""
    shapes = objects.shapes[key]
    crowd = np.arange(len(shapes)) >= len(shapes) - objects.crowds[key]
    if objects.kind == "mask":
        from faster_coco_eval.core.mask import iou

        return np.asarray(iou([one["segmentation"] for one in group], shapes, crowd.astype(int).tolist()))
    boxes = np.array([one["bbox"] for one in group], np.float64)[:, None]
    low = np.maximum(boxes[..., :2], shapes[:, :2])
    high = np.minimum(boxes[..., :2] + boxes[..., 2:], shapes[:, :2] + shapes[:, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=-1)
    area, object_area = np.prod(boxes[..., 2:], axis=-1), np.prod(shapes[:, 2:], axis=-1)
    union = np.where(crowd, area, area + object_area - common)
    return common / np.maximum(union, 1e-12)


def _precision(found: _Found, counts: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Return the average precision [selections, classes], 0 of classes without an object.

    Precision and recall change for the better at hits only, so only these are looked at: those of every class and
    threshold, a segment each, side by side.
    """
    size = found.picture.size
    out = np.zeros(number.shape)
    segment, at = _by_segment(found, found.hit)
    if not at.size:
        return out
    starts = np.flatnonzero(np.diff(segment, prepend=-1))
    lengths = np.diff(starts, append=len(segment))
    category = found.category[at]

    true = np.cumsum(counts[:, found.picture[at]], axis=1, dtype=np.int32)
    true -= np.repeat(np.pad(true, ((0, 0), (1, 0)))[:, starts], lengths, axis=1)
    so_far = np.pad(np.cumsum(counts[:, found.picture], axis=1, dtype=np.int32), ((0, 0), (1, 0)))
    every = so_far[:, at + 1] - so_far[:, np.searchsorted(found.category, category)]
    if found.ignored.any():
        other_segment, where = _by_segment(found, found.ignored)
        left = np.pad(np.cumsum(counts[:, found.picture[where]], axis=1, dtype=np.int32), ((0, 0), (1, 0)))
        places = other_segment * size + where
        before, begin = (np.searchsorted(places, segment * size + offset) for offset in (at, 0))
        every -= left[:, before] - left[:, begin]

    # the best precision at this recall or a higher one of the segment: the offsets keep segments apart
    apart = 2.0 * (segment[-1] - segment)
    best = np.maximum.accumulate((true / np.maximum(every, 1) + apart)[:, ::-1], axis=1)[:, ::-1] - apart
    # how many of the recall levels 0, 0.01, ..., 1 are reached, as the library compares them
    objects = np.maximum(number, 1)[:, category]
    levels = 100 * true // objects
    levels += 1 - (true / objects < _LEVELS[levels])
    levels[true == 0] = 0
    gained = np.diff(levels, axis=1, prepend=0)
    gained[:, starts] = levels[:, starts]
    first = np.flatnonzero(np.diff(category, prepend=-1))
    out[:, category[first]] = np.add.reduceat(gained * best, first, axis=1)
    return out / (len(THRESHOLDS) * len(_LEVELS))


def _by_segment(found: _Found, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return class and threshold as one number, rising, and the detection, rising within."""
    threshold, at = np.nonzero(which)
    segment = found.category[at] * len(THRESHOLDS) + threshold
    order = np.argsort(segment, kind="stable")
    return segment[order], at[order]


def _run_lengths(segmentation: Any, size: tuple[int, int]) -> Any:
    """Return a mask as the library codes it, from polygons or from run lengths."""
    from faster_coco_eval.core.mask import frPyObjects, merge

    if isinstance(segmentation, list):
        return merge(list(frPyObjects(segmentation, *size)))
    return frPyObjects(segmentation, *size) if isinstance(segmentation["counts"], list) else segmentation
