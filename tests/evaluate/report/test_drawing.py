"""Axes, markers, colours and labels of the plots, against independent calculations."""

import itertools
import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxicm.evaluate.report.axes import linear_axis, log_axis, tick_text
from jaxicm.evaluate.report.chart import BOTTOM, LEFT, RIGHT, TOP, Dot, Rule, Series, draw_chart, short_labels
from jaxicm.evaluate.report.label_layout import place_beside, spread
from jaxicm.evaluate.report.markup import Cell, Column, Markup, decimals, json_script, number, table, tag
from jaxicm.evaluate.report.palette import (
    DARK,
    DARK_CONTEXT,
    DARK_PAGE,
    LIGHT,
    LIGHT_CONTEXT,
    LIGHT_PAGE,
    MARKERS,
    PLOT_MARKERS,
    Look,
)

heights = st.lists(st.floats(0, 300), max_size=12)


@given(heights)
def test_labels_keep_their_distance_and_order(wanted):
    found = spread(wanted, 12, 0, 300)
    assert len(found) == len(wanted)
    for a, b in itertools.combinations(range(len(wanted)), 2):
        assert abs(found[a] - found[b]) >= 12 - 1e-6
        if wanted[a] < wanted[b]:
            assert found[a] < found[b]
    assert all(-1e-9 <= height <= 300 + 1e-9 for height in found)


@given(st.lists(st.floats(50, 250), min_size=1, max_size=6), st.integers(0, 1000))
def test_no_other_layout_of_labels_is_nearer_to_the_wanted_one(wanted, seed):
    found = np.array(spread(wanted, 12, 0, 300))
    cost = np.sum((found - wanted) ** 2)
    rng = np.random.default_rng(seed)
    order = np.argsort(np.array(wanted), kind="stable")
    for _ in range(50):
        other = found + rng.normal(0, rng.choice([0.1, 1, 10]), len(wanted))
        ordered = other[order]
        if np.all(np.diff(ordered) >= 12) and ordered[0] >= 0 and ordered[-1] <= 300:
            assert np.sum((other - wanted) ** 2) >= cost - 1e-6


def test_labels_beside_points_do_not_cover_each_other():
    points = [(100.0, 100.0), (104.0, 102.0), (96.0, 99.0), (300.0, 50.0)]
    placed = place_beside(points, [60.0] * 4, (0, 0, 600, 300))
    boxes = [(left, base - 10, left + 60, base + 3) for left, base in placed]
    for a, b in itertools.combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    assert placed[3] == (309.0, 54.0)  # to the right, where nothing is in the way


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=5))
def test_linear_axes_hold_their_values_and_have_round_ticks(values):
    axis = linear_axis("x", values)
    assert axis.low < min(values) <= max(values) < axis.high
    assert 2 <= len(axis.ticks) <= 12
    steps = np.diff(axis.ticks)
    assert np.allclose(steps, steps[0])
    first = float(f"{steps[0]:e}".split("e")[0])
    assert any(math.isclose(first, wanted, rel_tol=1e-3) for wanted in (1, 2, 2.5, 5))


@given(st.floats(1e-4, 1e3), st.floats(1, 1e4))
def test_logarithmic_axes_hold_their_values(low, ratio):
    axis = log_axis("x", [low, low * ratio])
    assert axis.low < low <= low * ratio < axis.high
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert axis.share(math.sqrt(axis.low * axis.high)) == pytest.approx(0.5)


def test_ticks_are_the_usual_ones():
    assert log_axis("x", [0.05, 4]).ticks == (0.05, 0.1, 0.2, 0.5, 1, 2)
    assert linear_axis("x", [24.0, 46.0]).ticks == (25, 30, 35, 40, 45)
    assert tick_text(-2.5) == "−2.5"  # noqa: RUF001


def test_markers_lie_where_the_axes_say():
    x, y = linear_axis("rate", [0.0, 2.0], from_zero=True), linear_axis("quality", [30.0, 40.0])
    dots = (Dot(0.5, 31.0, "a"), Dot(1.0, 36.0, "b"), Dot(1.5, 30.5, "c", faint=True))
    series = Series("c0", "Ours", Look(0, 2, 2.0), dots)
    chart = ElementTree.fromstring(draw_chart([series], x, y, identity="i", description="d", rules=[Rule(39, "top")]))
    places = {use.attrib["data-t"]: (float(use.attrib["x"]), float(use.attrib["y"])) for use in chart.iter("use")}
    for dot in dots:
        across, up = dot.x / 2.1, (dot.y - 29.5) / 11.0  # 5 % of air around the values
        expected = (LEFT + across * (RIGHT - LEFT), BOTTOM - up * (BOTTOM - TOP))
        assert places[dot.hint] == pytest.approx(expected, abs=0.01)
    line = next(path for path in chart.iter("path") if path.attrib.get("class") == "line")
    assert line.attrib["d"].count("L") == 1  # the faint point is not on the line


def test_long_labels_lose_their_brackets_unless_they_would_be_alike():
    assert short_labels(["VTM (VVC intra, slow and long)", "JPEG"], 20) == ["VTM", "JPEG"]
    alike = short_labels(["VVC 4:2:0 (medium preset)", "VVC 4:2:0 (faster preset)"], 20)
    assert alike == ["VVC 4:2:0 (medium p…", "VVC 4:2:0 (faster p…"]


# Machado, Oliveira, Fernandes, "A physiologically-based model for simulation of color vision deficiency", 2009
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def linear_rgb(colour):
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(linear):
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(linear, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(a, b):
    lights = [np.array([0.2126, 0.7152, 0.0722]) @ linear_rgb(colour) + 0.05 for colour in (a, b)]
    return max(lights) / min(lights)


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_colours_differ_for_everybody(colours, deficiency):
    seen = [lab(np.array(DEFICIENCIES[deficiency]) @ linear_rgb(colour)) for colour in colours]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 17


def test_colours_stand_out_from_the_page():
    # WCAG 2.1, success criterion 1.4.11: 3:1 for graphics
    assert min(contrast(colour, LIGHT_PAGE) for colour in (*LIGHT, LIGHT_CONTEXT)) >= 3
    assert min(contrast(colour, DARK_PAGE) for colour in (*DARK, DARK_CONTEXT)) >= 3
    assert len(set(MARKERS)) == len(MARKERS) == len(PLOT_MARKERS)
    assert math.gcd(len(MARKERS), len(LIGHT)) == 1  # or the same pairs would return too soon


def test_markup_escapes_text_and_attributes():
    assert tag("p", "a < b & c", title='"x"') == '<p title="&quot;x&quot;">a &lt; b &amp; c</p>'
    assert tag("p", [tag("b", "x"), None, ["y"]], hidden=True, id=None) == "<p hidden><b>x</b>y</p>"
    assert tag("use", data_t="a\nb", x=1.5, class_="m") == '<use data-t="a\nb" x="1.5" class="m"/>'
    script = json_script({"a": "</script><!--&"}, "i")
    assert script.count("<") == 2
    assert isinstance(script, Markup)


def test_numbers_are_short():
    assert [number(value) for value in (1.0, -0.001, 2.346, 10.5)] == ["1", "0", "2.35", "10.5"]
    assert decimals(-16.012, 1, sign=True) == "−16.0"  # noqa: RUF001
    assert decimals(None, 1) == "–"  # noqa: RUF001


def test_tables_sort_by_value_and_missing_ones_have_none():
    rows = [[Cell("a", head=True), Cell("1.0", 1.0)], [Cell("b", head=True), Cell("–")]]  # noqa: RUF001
    text = table([Column("name", numeric=False), Column("figure")], rows)
    assert 'class="sortable"' in text
    assert text.count("data-v") == 1
    assert "sortable" not in table([Column("name"), Column("figure")], rows[:1])
