"""COCO average precision of boxes and masks, by the library `faster-coco-eval`, from annotations in COCO's json.

T.-Y. Lin et al., "Microsoft COCO: common objects in context", 2014: AP is the mean over the classes that occur, over
10 IoU thresholds 0.50, 0.55, ..., 0.95 and over 101 recall levels; up to 100 detections a picture; crowd regions are
neither found nor missed.
"""

import importlib.util
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxicm.errors import InputError, MissingDependency
from jaxicm.evaluate.ground_truth import GroundTruth

LIMIT = 100
"""Detections of a picture that count, the best scores first."""


def as_results(
    boxes: np.ndarray, scores: np.ndarray, category_ids: np.ndarray, masks: np.ndarray | None = None
) -> list[dict[str, Any]]:
    """Write detections of one picture as COCO result entries, without `image_id`, rounded for a file.

    Args:
        boxes: float [N, 4], x0, y0, x1, y1 in pixels.
        scores: float [N] in [0, 1].
        category_ids: int [N].
        masks: bool [N, H, W], or None.

    Returns:
        The 100 best, best first: `category_id`, `bbox` (x, y, width, height) to 0.01 pixels, `score` to 1e-6 and
        `segmentation` (run lengths as COCO compresses them, ASCII). A box or score that is not finite is left out.
    """
    order = np.argsort(-scores, kind="stable")
    order = [n for n in order if np.isfinite(boxes[n]).all() and np.isfinite(scores[n])][:LIMIT]
    results = []
    for n in order:
        x0, y0, x1, y1 = (round(float(value), 2) for value in boxes[n])
        box = [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)]
        results.append({"category_id": int(category_ids[n]), "bbox": box, "score": round(float(scores[n]), 6)})
        if masks is not None:
            results[-1]["segmentation"] = _run_lengths(masks[n])
    return results


@dataclass(frozen=True)
class Accuracy:
    """Hold the average precision of one kind, fractions in [0, 1].

    Attributes:
        kind: "box" or "mask".
        ap: the mean over thresholds, recall levels and the classes that occur; None, here and below, where none does.
        ap50: at IoU 0.5.
        ap75: at IoU 0.75.
        small: of objects below 32^2 pixels.
        medium: from 32^2 to 96^2.
        large: above.
        weighted: sum n_c AP_c / sum n_c, n_c the instances of class c.
        classes: instances and AP of every class that occurs, by id.
    """

    kind: str
    ap: float | None
    ap50: float | None
    ap75: float | None
    small: float | None
    medium: float | None
    large: float | None
    weighted: float | None
    classes: Mapping[int, tuple[int, float]]

    def figures(self) -> dict[str, float]:
        """Name the figures as a run file does: box_ap, box_ap50, ..., weighted_ap; mask_ap, ..., mask_weighted_ap."""
        kind = self.kind
        named = {
            f"{kind}_ap": self.ap,
            f"{kind}_ap50": self.ap50,
            f"{kind}_ap75": self.ap75,
            f"{kind}_ap_small": self.small,
            f"{kind}_ap_medium": self.medium,
            f"{kind}_ap_large": self.large,
            "weighted_ap" if kind == "box" else f"{kind}_weighted_ap": self.weighted,
        }
        return {name: value for name, value in named.items() if value is not None}


class Evaluation:
    """Compare detections with a ground truth.

    Args:
        truth: what is to be found.
        results: entries of :func:`as_results` by picture; every picture of `truth` must have them, empty or not.
        kind: "box" or "mask".

    Raises:
        MissingDependency: the library is not installed.
        InputError: results of a picture are missing.
    """

    def __init__(self, truth: GroundTruth, results: Mapping[str, Sequence[Mapping[str, Any]]], kind: str = "box"):
        require_library()
        missing = [name for name in truth.sizes if name not in results]
        if missing:
            raise InputError(f"no detections of {len(missing)} pictures, first {missing[0]}; evaluate all of them")
        self.kind = kind
        self._truth, self._results = truth, results

    def accuracy(self) -> Accuracy:
        """Return the figures of all pictures."""
        evaluator = _evaluator(self._truth, self._results, self.kind)
        evaluator.evaluate()
        evaluator.accumulate()
        precision = evaluator.eval["precision"][..., -1]
        every = [one for found in self._truth.annotations.values() for one in found]
        counts = Counter(one["category_id"] for one in every if not one["iscrowd"])
        classes = {
            category: (counts[category], value)
            for n, category in enumerate(evaluator.params.catIds)
            if (value := _mean(precision[:, :, n, 0])) is not None
        }
        total = sum(count for count, _ in classes.values())
        return Accuracy(
            self.kind,
            _mean(precision[..., 0]),
            _mean(precision[0, ..., 0]),
            _mean(precision[5, ..., 0]),
            *(_mean(precision[..., area]) for area in (1, 2, 3)),
            weighted=sum(count * value for count, value in classes.values()) / total if total else None,
            classes=classes,
        )


def require_library() -> None:
    """Raise :class:`MissingDependency` where `faster-coco-eval` is not installed."""
    if importlib.util.find_spec("faster_coco_eval") is None:
        raise MissingDependency("average precision needs faster-coco-eval: pip install 'jaxicm[tasks]'")


def _evaluator(truth: GroundTruth, results: Mapping[str, Sequence[Mapping[str, Any]]], kind: str) -> Any:
    from faster_coco_eval import COCO, COCOeval_faster

    # the library writes into what it is given, so it gets copies; result entries lose the other kind, because areas
    # of detected masks would otherwise be those of their boxes
    other = "segmentation" if kind == "box" else "bbox"
    number = {name: n for n, name in enumerate(truth.sizes, 1)}
    every = [{**one, "image_id": number[name]} for name in number for one in truth.annotations[name]]
    document = {
        "images": [{"id": number[name], "height": h, "width": w} for name, (h, w) in truth.sizes.items()],
        "annotations": [{**one, "id": n} for n, one in enumerate(every, 1)],
        "categories": [{"id": category, "name": name} for category, name in truth.categories.items()],
    }
    found = [
        {**{key: value for key, value in one.items() if key != other}, "image_id": number[name]}
        for name in number
        for one in results[name]
    ]
    coco = COCO(document)
    evaluator = COCOeval_faster(coco, coco.loadRes(found), "bbox" if kind == "box" else "segm", separate_eval=True)
    evaluator.params.maxDets = [LIMIT]
    return evaluator


def _mean(precision: np.ndarray) -> float | None:
    """Average where the library has a value; it writes -1 for classes that do not occur."""
    present = precision[precision > -1]
    return float(present.mean()) if present.size else None


def _run_lengths(mask: np.ndarray) -> dict[str, Any]:
    from faster_coco_eval.core.mask import encode

    coded = encode(np.asfortranarray(mask, np.uint8))
    return {"size": [int(side) for side in coded["size"]], "counts": coded["counts"].decode("ascii")}
