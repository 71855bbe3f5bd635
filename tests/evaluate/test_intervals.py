"""Intervals of BD-rates of codecs whose rates differ by a known factor, with and without noise."""

from pathlib import Path

import numpy as np
import pytest

from jaxicm.errors import InputError
from jaxicm.evaluate.accuracy import TaskObserver
from jaxicm.evaluate.ground_truth import GroundTruth
from jaxicm.evaluate.intervals import PictureCurve, bd_rate_interval, curve_of_run, curve_of_task
from jaxicm.evaluate.journal import Journal
from jaxicm.tasks.interface import Detections

RATES = np.array([0.1, 0.2, 0.4, 0.8])


def run(factors: np.ndarray, names: list[str], gain: float = 0.0) -> dict:
    """Make a run file's contents: 30 dB at 0.1 bpp, 5 dB more at each doubling; rates of pictures times a factor."""
    rows = [
        {"picture": name, "quality": q, "scale": 100, "bpp": rate * factor, "psnr_rgb": 30.0 + 5 * q + gain}
        for name, factor in zip(names, factors, strict=True)
        for q, rate in enumerate(RATES)
    ]
    return {"name": "codec", "pictures": rows}


NAMES = [f"{n:02}.png" for n in range(40)]


def test_a_common_factor_of_the_rate_has_an_interval_of_no_width():
    factors = np.random.default_rng(0).uniform(0.5, 2, 40)
    interval = bd_rate_interval(
        curve_of_run(run(factors, NAMES)), curve_of_run(run(0.8 * factors, NAMES)), resamples=20
    )
    assert (interval.value, interval.low, interval.high) == pytest.approx((-20, -20, -20))


def test_factors_that_vary_give_the_interval_of_their_mean():
    factors = np.random.default_rng(1).uniform(0.6, 1.0, 40)
    interval = bd_rate_interval(curve_of_run(run(np.ones(40), NAMES)), curve_of_run(run(factors, NAMES)), resamples=400)
    half = 196 * factors.std() / np.sqrt(40)
    assert interval.value == pytest.approx(100 * (factors.mean() - 1))
    assert (interval.low, interval.high) == pytest.approx((interval.value - half, interval.value + half), abs=half / 4)


def test_pictures_are_matched_by_name():
    factors = np.random.default_rng(2).uniform(0.2, 5, 40)
    turned = curve_of_run(run(0.8 * factors[::-1], NAMES[::-1]))
    interval = bd_rate_interval(curve_of_run(run(factors, NAMES)), turned, resamples=20)
    assert (interval.low, interval.high) == pytest.approx((-20, -20))
    with pytest.raises(InputError, match=r"other pictures: 40 from 00\.png and 2 from 00\.png"):
        bd_rate_interval(turned_back := curve_of_run(run(factors, NAMES)), curve_of_run(run(factors[:2], NAMES[:2])))
    assert turned_back.pictures == tuple(NAMES)


def test_values_that_are_missing_are_refused():
    broken = run(np.ones(2), NAMES[:2])
    broken["pictures"][5]["psnr_rgb"] = None
    with pytest.raises(InputError, match=r"1 values of psnr_rgb are missing or infinite, first 01\.png"):
        curve_of_run(broken)


def test_curves_without_common_quality_have_no_interval():
    anchor, test = (curve_of_run(run(np.ones(3), NAMES[:3], gain)) for gain in (0.0, 40.0))
    with pytest.raises(InputError):
        bd_rate_interval(anchor, test)


class Judge:
    name, outputs, digest = "judge", ("box",), "0"

    def predict(self, pixels: np.ndarray) -> Detections:
        raise AssertionError("the detections are in the journal")

    def features(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        return {}


def test_the_curve_of_a_task_comes_from_the_journal():
    pytest.importorskip("faster_coco_eval")
    names = ["b.png", "a.png", "c.png"]
    box = {"category_id": 1, "bbox": [10.0, 10.0, 40.0, 40.0]}
    truth = GroundTruth(
        dict.fromkeys(sorted(names), (60, 60)),
        {name: [box | {"area": 1600.0, "iscrowd": 0}] for name in names},
        {1: "person"},
        ("box",),
    )
    # at quality 1 only `b.png` is found, at quality 2 all
    found = {(q, name): [box | {"score": 0.9}] if q == 2 or name == "b.png" else [] for q in (1, 2) for name in names}
    lines = [
        {"kind": "session", "pictures": names, "observers": {}},
        *(
            {"kind": "point", "picture": name, "quality": q, "scale": 100, "measured": {"bpp": 0.1 * q + 0.01 * n},
             "observations": {"judge": {"detections": found[q, name]}}, "crop": {}}
            for q in (1, 2)
            for n, name in enumerate(names)
        ),
    ]  # fmt: skip
    journal = Journal.of([{"codec": {"name": "x"}}, *lines])
    curve = curve_of_task(journal, TaskObserver(Judge(), dict.fromkeys(names, Path()), truth))
    assert isinstance(curve, PictureCurve)
    assert curve.pictures == tuple(names)
    assert curve.bpp == pytest.approx(np.array([[0.1, 0.11, 0.12], [0.2, 0.21, 0.22]]))
    # of three objects one is found: 34 of 101 recall levels
    assert curve.quality(np.arange(3)) == pytest.approx(np.array([34 / 101, 1]))
    assert curve.quality(np.array([0, 0, 0])) == pytest.approx(np.array([1, 1]))
    assert curve.quality(np.array([1, 2, 1])) == pytest.approx(np.array([0, 1]))
    with pytest.raises(InputError, match="no mask AP of judge"):
        curve_of_task(journal, TaskObserver(Judge(), dict.fromkeys(names, Path()), truth), "mask")
