"""Average precision against a slow second implementation, written from its definition, and against cases by hand."""

import importlib.util
from collections import Counter
from itertools import groupby

import numpy as np
import pytest

from jaxicm.errors import InputError, MissingDependency
from jaxicm.evaluate.coco import Evaluation, as_results
from jaxicm.evaluate.drawn_precision import drawn_precision, objects_of
from jaxicm.evaluate.ground_truth import GroundTruth

pytest.importorskip("faster_coco_eval")

HEIGHT, WIDTH = 150, 170
CATEGORIES = {3: "car", 17: "cat", 44: "bottle", 90: "toothbrush"}
AREAS = ((0, 1e10), (0, 32**2), (32**2, 96**2), (96**2, 1e10))


def iou(found: dict, thing: dict, kind: str) -> float:
    """Return the intersection over the union; over the detection's area where the object is a crowd region."""
    if kind == "mask":
        a, b = found["mask"], thing["mask"]
        common, area, union = np.sum(a & b), np.sum(a), np.sum(a | b)
    else:
        a, b = found["bbox"], thing["bbox"]
        sides = [min(a[i] + a[i + 2], b[i] + b[i + 2]) - max(a[i], b[i]) for i in (0, 1)]
        common, area = max(sides[0], 0) * max(sides[1], 0), a[2] * a[3]
        union = area + b[2] * b[3] - common
    return common / (area if thing["iscrowd"] else union)


def matches(truth: list[dict], found: list[dict], kind: str, threshold: float, smallest: float, largest: float):
    """Return (score, hit) of the detections of one class in one picture that count, and the number of objects."""
    outside = [thing["iscrowd"] or not smallest <= thing["area"] <= largest for thing in truth]
    taken, scored = set(), []
    for one in sorted(found, key=lambda one: -one["score"])[:100]:
        best = None
        for group in (False, True):  # an object that counts is preferred to one that does not
            free = [n for n in range(len(truth)) if outside[n] == group and (n not in taken or truth[n]["iscrowd"])]
            fits = [(iou(one, truth[n], kind), n) for n in free]
            if best is None and fits and max(fits)[0] >= threshold:
                best = max(fits)[1]
        if best is not None:
            taken.add(best)
        area = np.sum(one["mask"]) if kind == "mask" else one["bbox"][2] * one["bbox"][3]
        counts = not outside[best] if best is not None else smallest <= area <= largest
        scored += [(one["score"], best is not None)] if counts else []
    return scored, outside.count(False)


def precision(pictures: list[tuple[list[dict], list[dict]]], category: int, kind: str) -> np.ndarray:
    """Return the precision [thresholds, recall levels, areas] of one class; nan where it does not occur."""
    out = np.full((10, 101, 4), np.nan)
    for a, (smallest, largest) in enumerate(AREAS):
        for t, threshold in enumerate(np.linspace(0.5, 0.95, 10)):
            chosen = [[[one for one in side if one["category_id"] == category] for side in sides] for sides in pictures]
            parts = [matches(truth, found, kind, threshold, smallest, largest) for truth, found in chosen]
            scored = sorted((pair for part, _ in parts for pair in part), key=lambda pair: -pair[0])
            if not (objects := sum(count for _, count in parts)):
                continue
            hits = np.cumsum([hit for _, hit in scored])
            for level, recall in enumerate(np.linspace(0, 1, 101)):
                # the best precision at this recall or a higher one
                reached = [hits[n] / (n + 1) for n in range(len(scored)) if hits[n] / objects >= recall]
                out[t, level, a] = max(reached, default=0.0)
    return out


def figures(pictures: list[tuple[list[dict], list[dict]]], kind: str) -> dict[str, float]:
    """Return the figures of a problem by their definitions."""
    table = {category: precision(pictures, category, kind) for category in CATEGORIES}
    stack = np.stack(list(table.values()))
    counts = {c: sum(t["category_id"] == c and not t["iscrowd"] for truth, _ in pictures for t in truth) for c in table}
    weighted = sum(n * table[c][..., 0].mean() for c, n in counts.items() if n) / sum(counts.values())
    return {
        f"{kind}_ap": np.nanmean(stack[..., 0]),
        f"{kind}_ap50": np.nanmean(stack[:, 0, :, 0]),
        f"{kind}_ap75": np.nanmean(stack[:, 5, :, 0]),
        f"{kind}_ap_small": np.nanmean(stack[..., 1]),
        f"{kind}_ap_medium": np.nanmean(stack[..., 2]),
        f"{kind}_ap_large": np.nanmean(stack[..., 3]),
        "weighted_ap" if kind == "box" else "mask_weighted_ap": weighted,
    }


def ellipse(box: list[float]) -> np.ndarray:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    return ((x - box[0] - box[2] / 2) * 2 / box[2]) ** 2 + ((y - box[1] - box[3] / 2) * 2 / box[3]) ** 2 <= 1


def run_lengths(mask: np.ndarray) -> dict:
    """Write the lengths of runs down the columns, beginning with zeros, as COCO's uncompressed form does."""
    flat = [False, *mask.T.ravel().tolist()]
    runs = [len(list(run)) for _, run in groupby(flat)]
    return {"size": list(mask.shape), "counts": [runs[0] - 1, *runs[1:]]}


def draw_problem(seed: int, count: int = 5) -> tuple[GroundTruth, dict[str, list[dict]], list]:
    """Draw pictures with objects of three of the classes and with detections good, shifted, double and wrong."""
    rng = np.random.default_rng(seed)
    truth, results, plain = {}, {}, []
    for name in (f"{n}.png" for n in range(count)):
        things, found = [], []
        for _ in range(rng.integers(0, 6)):
            side = rng.choice([14, 40, 110]) * rng.uniform(0.8, 1.2, 2)
            box = [*rng.uniform(0, [WIDTH - side[0], HEIGHT - side[1]]), *side]
            category, mask = int(rng.choice([3, 17, 44])), ellipse(box)
            entry = {"category_id": category, "bbox": box, "mask": mask, "area": float(mask.sum())}
            things.append(entry | {"iscrowd": int(rng.random() < 0.2), "segmentation": run_lengths(mask)})
            for _ in range(rng.choice([0, 1, 1, 2, 3])):
                moved = np.array(box) + rng.normal(0, 0.06, 4) * side.mean()
                found.append((moved, category if rng.random() < 0.85 else 44))
        found += [(np.array([*rng.uniform(0, 100, 2), *rng.uniform(10, 50, 2)]), int(rng.choice([3, 17, 90])))]
        scores = rng.permutation(1000)[: len(found)] / 1000
        corners = np.array([[x, y, x + w, y + h] for (x, y, w, h), _ in found])
        masks = np.array([ellipse(list(box)) for box, _ in found])
        results[name] = as_results(corners, scores, np.array([category for _, category in found]), masks)
        order = np.argsort(-scores)
        truth[name] = things
        plain.append((things, [one | {"mask": masks[n]} for one, n in zip(results[name], order, strict=True)]))
    sizes = dict.fromkeys(truth, (HEIGHT, WIDTH))
    return GroundTruth(sizes, truth, CATEGORIES, ("box", "mask")), results, plain


@pytest.mark.parametrize("kind", ["box", "mask"])
@pytest.mark.parametrize("seed", range(4))
def test_every_figure_equals_that_of_the_slow_implementation(seed, kind):
    truth, results, plain = draw_problem(seed)
    accuracy = Evaluation(truth, results, kind).accuracy()
    assert accuracy.figures() == pytest.approx(figures(plain, kind), abs=1e-9)
    assert 0.05 < accuracy.figures()[f"{kind}_ap"] < 0.95, "the problem says nothing"
    for category, (count, value) in accuracy.classes.items():
        assert value == pytest.approx(precision(plain, category, kind)[..., 0].mean(), abs=1e-9)
        objects = [one for things, _ in plain for one in things if one["category_id"] == category]
        assert count == sum(not one["iscrowd"] for one in objects)


@pytest.mark.parametrize("kind", ["box", "mask"])
@pytest.mark.parametrize("seed", range(7, 11))
def test_pictures_drawn_several_times_count_several_times(seed, kind, monkeypatch):
    truth, results, plain = draw_problem(seed)
    chosen = np.array([[0, 1, 2, 3, 4], [4, 0, 0, 2, 4], [3, 3, 3, 1, 0], [1, 1, 1, 1, 1]])
    counts = np.stack([np.bincount(row, minlength=5) for row in chosen])
    objects = objects_of(truth, list(results), kind)
    ap, weighted = drawn_precision(objects, results, counts)
    monkeypatch.setattr("jaxicm.evaluate.drawn_precision._BLOCK", 20)  # a few selections at a time
    assert np.array_equal(ap, drawn_precision(objects, results, counts)[0])
    for row, value, weighted_value in zip(chosen, ap, weighted, strict=True):
        drawn = [plain[n] for n in row]
        number = Counter(one["category_id"] for things, _ in drawn for one in things if not one["iscrowd"])
        by_class = [precision(drawn, category, kind)[..., 0].mean() for category in number]
        assert value == pytest.approx(np.mean(by_class), abs=1e-9)
        assert weighted_value == pytest.approx(np.average(by_class, weights=list(number.values())), abs=1e-9)
    assert ap[0] == pytest.approx(Evaluation(truth, results, kind).accuracy().ap, abs=1e-9)


def problem(objects: list[tuple], found: list[tuple]) -> tuple[GroundTruth, dict[str, list[dict]]]:
    """Make one picture of objects (category, box, crowd) and detections (category, box, score)."""
    things = [{"category_id": c, "bbox": list(b), "area": b[2] * b[3], "iscrowd": crowd} for c, b, crowd in objects]
    detections = [{"category_id": c, "bbox": list(b), "score": score} for c, b, score in found]
    return GroundTruth({"a": (200, 200)}, {"a": things}, CATEGORIES, ("box",)), {"a": detections}


BOX, ELSEWHERE = (10, 10, 40, 50), (100, 100, 40, 50)


def test_a_perfect_detection_has_an_ap_of_1_and_none_has_0():
    accuracy = Evaluation(*problem([(3, BOX, 0)], [(3, BOX, 0.4)])).accuracy()
    assert accuracy.figures() == {
        "box_ap": 1, "box_ap50": 1, "box_ap75": 1, "box_ap_medium": 1, "weighted_ap": 1,
    }  # fmt: skip
    assert accuracy.classes == {3: (1, 1.0)}
    assert Evaluation(*problem([(3, BOX, 0)], [])).accuracy().ap == 0


def test_a_shifted_box_counts_up_to_its_iou():
    # 80 % of the width: the IoU is 0.8 for a box inside the object; 0.5, 0.55, ..., 0.75 of ten thresholds are below
    inside = (10, 10, 32.4, 50)
    accuracy = Evaluation(*problem([(3, BOX, 0)], [(3, inside, 0.9)])).accuracy()
    assert (accuracy.ap, accuracy.ap50, accuracy.ap75) == pytest.approx((0.7, 1, 1))
    accuracy = Evaluation(*problem([(3, BOX, 0)], [(3, (10, 10, 25, 50), 0.9)])).accuracy()
    assert (accuracy.ap, accuracy.ap50, accuracy.ap75) == pytest.approx((0.3, 1, 0))


def test_a_better_scored_false_detection_halves_the_precision():
    accuracy = Evaluation(*problem([(3, BOX, 0)], [(3, BOX, 0.4), (3, ELSEWHERE, 0.5)])).accuracy()
    assert accuracy.ap == pytest.approx(0.5)
    # one of a class that does not occur costs nothing, nor does one of a lower score
    accuracy = Evaluation(*problem([(3, BOX, 0)], [(3, BOX, 0.4), (17, BOX, 0.5), (3, ELSEWHERE, 0.3)])).accuracy()
    assert accuracy.ap == pytest.approx(1)


def test_half_of_the_objects_found_covers_51_of_101_recall_levels():
    accuracy = Evaluation(*problem([(3, BOX, 0), (3, ELSEWHERE, 0)], [(3, BOX, 0.4)])).accuracy()
    assert accuracy.ap == pytest.approx(51 / 101)


def test_weighted_ap_weights_classes_by_their_instances():
    boxes = [(10 * n, 10 * n, 9, 9) for n in range(4)]
    objects = [(3, boxes[0], 0), (3, boxes[1], 0), (3, boxes[2], 0), (17, boxes[3], 0)]
    accuracy = Evaluation(*problem(objects, [(3, boxes[n], 0.9) for n in range(3)])).accuracy()
    assert (accuracy.ap, accuracy.weighted) == pytest.approx((0.5, 0.75))


def test_a_crowd_region_is_neither_found_nor_missed():
    crowd = (100, 100, 80, 80)
    objects, found = [(3, BOX, 0), (3, crowd, 1)], [(3, BOX, 0.4), (3, (110, 110, 20, 20), 0.9), (3, crowd, 0.8)]
    accuracy = Evaluation(*problem(objects, found)).accuracy()
    assert accuracy.ap == pytest.approx(1)
    assert accuracy.classes == {3: (1, pytest.approx(1))}


def test_pictures_without_objects_have_no_ap():
    accuracy = Evaluation(*problem([], [(3, BOX, 0.4)])).accuracy()
    assert accuracy.figures() == {}
    assert np.isnan(drawn_precision(objects_of(problem([], [])[0], ["a"]), {"a": []}, np.ones((3, 1), int))).all()


def test_evaluating_leaves_its_inputs_alone():
    truth, results, _ = draw_problem(3)
    before = repr((truth, results))
    Evaluation(truth, results, "mask").accuracy()
    assert repr((truth, results)) == before


def decompress(counts: str) -> list[int]:
    """Decode COCO's compressed run lengths: 5 bits a character, differences to the run before the last."""
    runs, value, shift = [], 0, 0
    for character in counts:
        digit = ord(character) - 48
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            value -= (1 << shift) if digit & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value, shift = 0, 0
    return runs


def test_results_are_those_of_coco_rounded_and_the_best_100():
    rng = np.random.default_rng(0)
    corners, scores = rng.uniform(0, 100, (130, 4)), rng.random(130)
    corners[7], scores[9], scores[11] = np.inf, np.nan, 2
    results = as_results(corners.astype(np.float32), scores, np.arange(130))
    finite = [n for n in np.argsort(-scores) if n not in (7, 9)][:100]
    assert [one["category_id"] for one in results] == finite
    assert finite[0] == 11
    for one, n in zip(results, finite, strict=True):
        x0, y0, x1, y1 = corners[n]
        assert one["bbox"] == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=0.011)
        assert one["bbox"] == [round(value, 2) for value in one["bbox"]]
        assert one["score"] == round(scores[n], 6)
    assert as_results(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), np.zeros((0, 5, 5), bool)) == []


def test_masks_are_written_as_the_run_lengths_of_coco():
    rng = np.random.default_rng(1)
    masks = np.stack([rng.random((37, 23)) < p for p in (0.0, 0.02, 0.5, 1.0)])
    results = as_results(np.zeros((4, 4)), np.linspace(1, 0.5, 4), np.arange(4), masks)
    for one, mask in zip(results, masks, strict=True):
        assert one["segmentation"]["size"] == [37, 23]
        assert decompress(one["segmentation"]["counts"]) == run_lengths(mask)["counts"]


def test_a_picture_without_results_is_an_error():
    truth, results = problem([(3, BOX, 0)], [])
    with pytest.raises(InputError, match="no detections of 1 pictures, first a"):
        Evaluation(truth, {"b": results["a"]})


def test_a_missing_library_gives_the_install_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"pip install 'jaxicm\[tasks\]'"):
        Evaluation(*problem([(3, BOX, 0)], []))
