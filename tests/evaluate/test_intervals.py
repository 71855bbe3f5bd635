"""Intervals of BD-rates against every selection there is, and of codecs whose rates differ by a known factor."""

from itertools import product

import numpy as np
import pytest

from jaxicm.errors import InputError
from jaxicm.evaluate.bdrate import bd_rate
from jaxicm.evaluate.ground_truth import GroundTruth
from jaxicm.evaluate.intervals import Drawing, bd_rate_interval, curve_of_run, curves_of_task

RATES = np.array([0.1, 0.2, 0.4, 0.8])
NAMES = [f"{n:02}.png" for n in range(40)]


def points(factors: np.ndarray, names: list[str], gain: float = 0.0) -> dict:
    """Make points: 30 dB at 0.1 bpp, 5 dB more at each doubling; rates of pictures times a factor."""
    return {
        (q, 100): {
            name: (rate * factor, 30.0 + 5 * q + gain + 3 * factor) for name, factor in zip(names, factors, strict=True)
        }
        for q, rate in enumerate(RATES)
    }


def test_a_small_interval_is_that_of_all_selections():
    rng = np.random.default_rng(0)
    names = NAMES[:4]
    anchor, test = (
        {
            q: {name: (rate * rng.uniform(0.7, 1.3), 30 + 5 * q + rng.normal(0, 1)) for name in names}
            for q, rate in enumerate(RATES)
        }
        for _ in range(2)
    )
    tables = [np.array([[curve[q][name] for name in names] for q in range(4)]) for curve in (anchor, test)]
    every = []
    for chosen in product(range(4), repeat=4):  # the selections of the exact bootstrap, all as likely
        (anchor_bpp, anchor_psnr), (test_bpp, test_psnr) = (t[:, list(chosen)].mean(1).T for t in tables)
        every.append(bd_rate(anchor_bpp, anchor_psnr, test_bpp, test_psnr).value)
    drawing = Drawing(4000)
    drawn = [curve_of_run({(q, 100): found for q, found in curve.items()}, drawing) for curve in (anchor, test)]
    interval = bd_rate_interval(*drawn)
    low, high = np.quantile(every, [0.025, 0.975])
    assert interval.value == pytest.approx(bd_rate(*tables[0].mean(1).T.tolist(), *tables[1].mean(1).T.tolist()).value)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.05 * (high - low))
    assert interval == bd_rate_interval(*drawn)


def test_a_common_factor_of_the_rate_has_an_interval_of_no_width():
    factors = np.random.default_rng(0).uniform(0.5, 2, 40)
    anchor = points(factors, NAMES)
    cheaper = {point: {k: (0.8 * bpp, q) for k, (bpp, q) in found.items()} for point, found in anchor.items()}
    interval = bd_rate_interval(curve_of_run(anchor, Drawing(100)), curve_of_run(cheaper, Drawing(100)))
    assert (interval.value, interval.low, interval.high) == pytest.approx((-20, -20, -20))


def test_factors_that_vary_give_the_interval_of_their_mean():
    factors = np.random.default_rng(1).uniform(0.6, 1.0, 40)
    anchor, test = (
        {(q, 100): {n: (r * f, 30.0 + 5 * q) for n, f in zip(NAMES, fs, strict=True)} for q, r in enumerate(RATES)}
        for fs in (np.ones(40), factors)
    )
    interval = bd_rate_interval(curve_of_run(anchor, Drawing(2000)), curve_of_run(test, Drawing(2000)))
    half = 196 * factors.std() / np.sqrt(40)
    assert interval.value == pytest.approx(100 * (factors.mean() - 1))
    assert (interval.low, interval.high) == pytest.approx((interval.value - half, interval.value + half), abs=half / 8)


def test_pictures_are_matched_by_name():
    factors = np.random.default_rng(2).uniform(0.2, 5, 40)
    anchor = curve_of_run(points(factors, NAMES), Drawing(100))
    turned = curve_of_run(points(factors[::-1], NAMES[::-1]), Drawing(100))
    interval = bd_rate_interval(anchor, turned)
    assert (interval.low, interval.high) == pytest.approx((0, 0), abs=1e-9)


def test_curves_of_other_pictures_or_selections_are_refused():
    anchor = curve_of_run(points(np.ones(40), NAMES), Drawing(100))
    with pytest.raises(InputError, match=r"40 and 2, of which 38 are in one only, first 02\.png"):
        bd_rate_interval(anchor, curve_of_run(points(np.ones(2), NAMES[:2]), Drawing(100)))
    with pytest.raises(InputError, match="of other selections"):
        bd_rate_interval(anchor, curve_of_run(points(np.ones(40), NAMES), Drawing(100, seed=1)))
    uneven = points(np.ones(3), NAMES[:3])
    del uneven[2, 100]["01.png"]
    with pytest.raises(InputError, match=r"not of the same pictures \(numbers: 2, 3\)"):
        curve_of_run(uneven, Drawing(100))
    with pytest.raises(InputError, match="no points"):
        curve_of_run({}, Drawing(100))


def test_curves_without_common_quality_have_no_interval():
    anchor, test = (curve_of_run(points(np.ones(3), NAMES[:3], gain), Drawing(100)) for gain in (0.0, 40.0))
    with pytest.raises(InputError, match="all pictures together have no value"):
        bd_rate_interval(anchor, test)


def test_the_quality_may_be_that_of_a_mean():
    found = {(0, 100): {"a": (0.1, 0.9), "b": (0.3, 0.99)}, (1, 100): {"a": (0.2, 0.95), "b": (0.5, 0.999)}}
    curve = curve_of_run(found, Drawing(100), lambda mean: -10 * np.log10(1 - mean))
    assert curve.quality[:, 0] == pytest.approx(-10 * np.log10([0.055, 0.0255]))
    assert curve.bpp[:, 0] == pytest.approx([0.2, 0.35])
    # with two pictures a selection has one of them twice, or both
    assert set(np.round(curve.bpp[0], 9)) == {0.1, 0.2, 0.3}


def test_the_curves_of_a_task_come_from_its_detections():
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
    found = {
        (q, 100): {
            name: (0.1 * q + 0.01 * n, [box | {"score": 0.9}] if q == 2 or name == "b.png" else [])
            for n, name in enumerate(names)
        }
        for q in (1, 2)
    }
    drawing = Drawing(200)
    curve, weighted = curves_of_task(found, truth, drawing)
    assert curve.pictures == ("a.png", "b.png", "c.png")
    counts = drawing.counts(3)
    assert curve.bpp[0] == pytest.approx(counts @ [0.11, 0.10, 0.12] / 3)
    # k of three objects found cover 34, 67 or all of 101 recall levels
    levels = np.array([0, 34, 67, 101])
    assert curve.quality[0] == pytest.approx(levels[counts[:, 1]] / 101)
    assert curve.quality[1] == pytest.approx(np.ones(201))
    assert weighted.quality == pytest.approx(curve.quality)
    with pytest.raises(InputError, match="have no masks"):
        curves_of_task(found, truth, drawing, "mask")
