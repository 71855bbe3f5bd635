"""Which runs meet, under which names, and with which anchor."""

import json
import math

import numpy as np
import pytest

from jaxicm.evaluate.bdrate import bd_quality, bd_rate
from jaxicm.evaluate.report.collection import collect
from jaxicm.evaluate.report.comparison import choose_anchor, compare, compare_all
from jaxicm.evaluate.report.entries import Curve, is_precision, score_title
from jaxicm.evaluate.report.run_files import read_run


def curve(bpp, quality):
    return Curve(tuple(bpp), tuple(quality), ("",) * len(bpp))


def test_runs_of_one_codec_are_told_apart_by_labels_then_by_files(make_run):
    runs = [
        read_run(make_run("x1", title="Ours", labels={"block": "2x2", "seed": "1"})),
        read_run(make_run("x2", title="Ours", labels={"block": "4x4", "seed": "1"})),
        read_run(make_run("x3", title="Other")),
        read_run(make_run("x4", title="Other", name="x3")),
    ]
    titles = [entry.title for entry in collect(runs)[0].entries]
    assert titles == ["Ours, block 2x2", "Ours, block 4x4", "Other, x3, x3", "Other, x3, x4"]
    assert [entry.title for entry in collect(runs[:2])[0].entries] == ["block 2x2", "block 4x4"]


def test_learned_codecs_come_first_and_known_sets_before_others(make_run):
    runs = [
        read_run(make_run("jpeg", kind="conventional", data="d2")),
        read_run(make_run("ours", data="d2")),
        read_run(make_run("third", data="d3", set_name="kodak")),
    ]
    sets = collect(runs, published=False)
    assert [item.title for item in sets] == ["Kodak", "set"]
    assert [entry.title for entry in sets[1].entries] == ["Ours", "Jpeg"]


def test_ms_ssim_in_decibels_is_that_of_the_mean(make_run):
    entry = collect([read_run(make_run("x", ((0.1, 0.2), (30.0, 40.0))))])[0].entries[0]
    # the fixture's similarity is 1 - 0.5 * 10 ** (-(psnr - 20) / 10)
    assert entry.curves["ms-ssim"].quality == pytest.approx((10 + 10 * math.log10(2), 20 + 10 * math.log10(2)))


def test_quality_of_pictures_leaves_smaller_inputs_out(make_run):
    item = collect([read_run(make_run("x", scales=(100, 50), task=True))])[0]
    assert len(item.entries[0].curves["psnr-rgb"].bpp) == 6
    task = item.entries[0].curves["tiny:box_ap"]
    assert len(task.bpp) + len(task.faint) == 12
    assert all(np.diff(task.bpp) > 0)
    assert all(np.diff(task.quality) > 0)
    every = [*zip(task.bpp, task.quality, strict=True), *((bpp, value) for bpp, value, _ in task.faint)]
    for bpp, value in zip(task.bpp, task.quality, strict=True):
        assert not any(b <= bpp and v >= value and (b, v) != (bpp, value) for b, v in every)
    assert max(task.quality) > 30  # points, not fractions


def test_tasks_with_other_weights_or_ground_truth_are_kept_apart(make_run):
    runs = []
    for stem, change in (("a", {}), ("b", {"ground_truth": "pseudo"}), ("c", {"digest": "7" * 64}), ("d", {})):
        path = make_run(stem, task=True)
        content = json.loads(path.read_text())
        content["tasks"]["tiny"] |= change
        path.write_text(json.dumps(content))
        runs.append(read_run(path))
    item = collect(runs)[0]
    assert [len(group.tasks) for group in item.tasks] == [2, 1, 1]
    assert item.tasks[1].title == "tiny (pseudo ground truth, weights 99999999)"
    assert len({metric.key for metric in item.all_metrics}) == len(item.all_metrics)


def test_a_set_has_its_customary_anchor_or_the_named_one(make_run, anchor_run):
    item = collect([read_run(make_run("ours")), read_run(make_run("jpeg", kind="conventional")), read_run(anchor_run)])[
        0
    ]
    assert choose_anchor(item, None).title == "VVC"
    assert choose_anchor(item, "JPEG").title == "Jpeg"
    assert choose_anchor(item, "nobody") is None
    kodak = collect([read_run(make_run("k", set_name="kodak", data="d2")), read_run(anchor_run)])[0]
    assert choose_anchor(kodak, None).title == "VTM (VVC intra)"
    assert choose_anchor(collect([read_run(make_run("alone"))])[0], None).title == "Alone"


def test_tasks_get_an_anchor_that_was_measured(make_run):
    vvc = make_run("vvc", title="VVC", kind="conventional", set_name="kodak", task=True, scales=(100, 50))
    item = collect([read_run(make_run("ours", set_name="kodak", task=True)), read_run(vvc)])[0]
    compared = compare_all(item, None)
    assert compared["psnr-rgb"].anchor.title == "VTM (VVC intra)"
    assert compared["tiny:box_ap"].anchor.title == "VVC"
    ours, anchor = (entry.curves["tiny:box_ap"] for entry in item.measured)
    expected = bd_rate(anchor.bpp, anchor.quality, ours.bpp, ours.quality).value
    assert compared["tiny:box_ap"].found[item.measured[0].key].rate.value == pytest.approx(expected)


def test_a_metric_that_falls_is_compared_with_its_sign_turned():
    anchor, test = curve((0.2, 0.4, 0.8), (0.3, 0.2, 0.1)), curve((0.1, 0.2, 0.4), (0.3, 0.2, 0.1))
    found = compare(anchor, test, rises=False)
    assert found.rate.value == pytest.approx(-50)  # half the rate for the same distance
    assert (found.rate.low, found.rate.high) == pytest.approx((0.1, 0.3))
    assert found.quality.value > 0  # better
    negative = [-0.3, -0.2, -0.1]
    expected = bd_quality((0.2, 0.4, 0.8), negative, (0.1, 0.2, 0.4), negative).value
    assert found.quality.value == pytest.approx(expected)


def test_rate_and_quality_are_refused_each_for_itself():
    anchor, test = curve((0.1, 0.2), (30.0, 32.0)), curve((0.4, 0.8), (31.0, 33.0))
    found = compare(anchor, test)
    assert found.rate is not None
    assert found.quality is None
    assert "log10 of bpp" in found.quality_refusal


@pytest.mark.parametrize(
    ("score", "precision", "title"),
    [
        ("box_ap", True, "box AP"), ("mask_ap50", True, "mask AP50"), ("mask_weighted_ap", True, "mask weighted AP"),
        ("box_ap_small", True, "box AP small"), ("feature_psnr", False, "feature PSNR"),
        ("map_quality", False, "map quality"),
    ],
)  # fmt: skip
def test_scores_are_named(score, precision, title):
    assert is_precision(score) is precision
    assert score_title(score) == title
