"""The page: complete in itself, safe against its inputs, and with the numbers that the curves give."""

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from jaxicm.errors import InputError, OptionError
from jaxicm.evaluate.bdrate import bd_quality, bd_rate
from jaxicm.evaluate.report import build_report

EXAMPLE = Path(__file__).parents[1] / "example_run.json"


def test_the_page_fetches_nothing(make_run, anchor_run, read_page):
    runs = [anchor_run, make_run("ours", crops=("a",), set_name="kodak"), make_run("two", task=True, data="d2")]
    page = build_report(runs).page
    read = read_page(page)
    assert read.links
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in read.links)
    assert {"link", "iframe", "object", "embed", "form", "base"}.isdisjoint(name for name, _ in read.elements)
    styles = re.findall(r"<style>(.*?)</style>", page, re.S)
    assert len(styles) == 1
    assert "@import" not in styles[0]
    assert not re.search(r"url\(", styles[0])
    script = re.findall(r"<script>(.*?)</script>", page, re.S)
    assert len(script) == 1
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|https?:", script[0])


def test_deltas_of_the_page_are_those_of_the_curves(make_run, anchor_run, read_page, known_curves):
    vtm, hpcm = known_curves
    report = build_report([anchor_run, make_run("ours")])
    row = read_page(report.page).row("Ours")
    assert row[1][1] == pytest.approx(-16.01, abs=0.01)  # the published value of HPCM-Base over VTM
    assert row[1][0].startswith("−16.0")  # noqa: RUF001
    assert row[1][1] == pytest.approx(bd_rate(*vtm, *hpcm).value, rel=1e-4)
    assert row[2][1] == pytest.approx(bd_quality(*vtm, *hpcm).value, rel=1e-4)
    assert "29.4 to 37.8, 100%" in row[1][0]
    assert "Ours needs 16.0 % less rate" in report.summaries[0]


def test_published_curves_appear_on_their_set_only(make_run, read_page):
    kodak = build_report([make_run("ours", set_name="kodak")])
    page = read_page(kodak.page)
    assert "Anchor: VTM (VVC intra)" in page.text
    # the page's own VTM has more digits than the rounded one here
    assert page.row("Ours")[1][1] == pytest.approx(-16.01, abs=0.02)
    assert "github.com/InterDigitalInc/CompressAI" in page.text
    other = build_report([make_run("ours", set_name=None)])
    assert "VTM" not in read_page(other.page).text
    without = build_report([make_run("ours", set_name="kodak")], published=False)
    assert "VTM" not in read_page(without.page).text


def test_runs_on_different_pictures_never_meet(make_run, anchor_run, read_page):
    report = build_report([anchor_run, make_run("ours"), make_run("other", data="d2", folder="set")])
    assert [len(item.measured) for item in report.sets] == [2, 1]
    assert [item.title for item in report.sets] == ["set, 2 pictures, d1d1d1d1", "set, 2 pictures, d2d2d2d2"]
    assert not any(item.found for item in report.compared["s1"].values())
    sections = re.split(r'<section id="s\d" class="set">', report.page)
    assert "Other" not in sections[1]
    assert "Ours" not in sections[2].split('<section id="method">')[0]


EVIL = "<script>alert(1)</script>&\"'"


def test_all_text_is_escaped(make_run, anchor_run, read_page):
    run = make_run(
        "evil", name=EVIL, title=EVIL, folder=f"{EVIL}/set{EVIL}", labels={EVIL: EVIL}, pictures=(EVIL, "b.png"),
        crops=("a",), command=EVIL, created=EVIL, versions={EVIL: EVIL}, machine={EVIL: [EVIL]},
    )  # fmt: skip
    content = json.loads(run.read_text())
    for crop in content["crops"]:
        crop["picture"] = "</script><b>" + EVIL
    content["tasks"] = {
        EVIL: {"digest": EVIL, "ground_truth": EVIL, "points": [{"bpp": 0.5, EVIL: 1.0}], "original": {}}
    }
    run.write_text(json.dumps(content))
    missing = anchor_run.parent / "<img src=x>.json"
    page = build_report([run, anchor_run, missing], title=EVIL, ablation=[EVIL]).page
    read = read_page(page)
    scripts = [attributes for name, attributes in read.elements if name == "script"]
    assert len(scripts) == 2  # the page's own, and the data of the crops
    assert not any(name in ("b", "img") and not attributes for name, attributes in read.elements if name != "b")
    assert not any(attributes.get("src") == "x" for _, attributes in read.elements)
    assert "alert(1)" not in re.sub(r"&lt;script&gt;alert|\\u003cscript\\u003ealert", "", page)
    assert EVIL in read.text


def test_the_same_runs_give_the_same_page(make_run, anchor_run):
    runs = [anchor_run, make_run("ours", crops=("a",), task=True, set_name="kodak", data="d1")]
    assert build_report(runs).page == build_report(runs).page
    assert build_report([*runs, runs[0]]).page == build_report(runs).page  # the same file twice counts once


def test_identifiers_are_unique_and_links_lead_somewhere(make_run, anchor_run, read_page):
    runs = [anchor_run, make_run("ours", crops=("a", "b"), task=True), make_run("other", data="d2", crops=("a",))]
    read = read_page(build_report(runs).page)
    identities = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(identities) == len(set(identities))
    targets = {link[1:] for link in read.links if link.startswith("#")}
    clips = {
        value[5:-1]
        for _, attributes in read.elements
        for key, value in attributes.items()
        if key == "clip-path" and value
    }
    assert clips
    assert targets | clips <= set(identities)


def test_plots_are_valid_and_hold_every_point(make_run, anchor_run, known_curves):
    vtm, hpcm = known_curves
    page = build_report([anchor_run, make_run("ours", scales=(100, 50), task=True)]).page
    charts = re.findall(r"<svg class=\"chart.*?</svg>", page, re.S)
    roots = {(root := ElementTree.fromstring(chart)).attrib["id"]: root for chart in charts}
    log = roots["s0-psnr-rgb-log"]
    series = {group.attrib["data-name"]: group for group in log.iter("g") if "data-name" in group.attrib}
    assert [len(list(series[name].iter("use"))) for name in ("VVC", "Ours")] == [len(vtm[0]), len(hpcm[0])]
    hints = [use.attrib["data-t"] for use in series["Ours"].iter("use")]
    assert hints[0].split() == ["0.1211", "bpp", "29.40", "dB", "quality", "0"]
    # of a task all input scales are drawn, those that others beat faintly, and the originals as a line
    task = roots["s0-tiny-box_ap-log"]
    uses = [use for group in task.iter("g") if group.attrib.get("data-name") == "Ours" for use in group.iter("use")]
    assert len(uses) == 2 * len(hpcm[0])
    assert 0 < sum(use.attrib.get("class") == "faint" for use in uses) < len(uses)
    assert "original pictures" in "".join(task.itertext())
    for root in roots.values():
        assert root.attrib["aria-label"]


def test_one_point_gives_a_note_and_a_reason_instead_of_a_number(make_run, anchor_run, read_page):
    lone = make_run("lone", ((0.5,), (34.0,)))
    page = read_page(build_report([anchor_run, lone]).page)
    assert "One point only, so no line and no BD figure: Lone." in page.text
    row = page.row("Lone")
    assert row[1] == ("nonea", None)  # the letter of a footnote
    assert "2 or more points of rate and quality are needed" in page.text


def test_curves_without_common_quality_are_refused_with_the_reason(make_run, anchor_run, read_page):
    far = make_run("far", ((4.0, 5.0), (50.0, 52.0)))
    page = read_page(build_report([anchor_run, far]).page)
    assert page.row("Far")[1][1] is None
    assert "the test curve covers quality 50.000 to 52.000" in page.text


def test_a_run_without_points_is_no_reason_to_fail(make_run, read_page):
    empty = make_run("empty", ((), ()), pictures=())
    page = read_page(build_report([empty]).page)
    assert "No run of these pictures has a rate and a quality." in page.text


def test_the_anchor_can_be_chosen(make_run, anchor_run, read_page, known_curves):
    vtm, hpcm = known_curves
    runs = [anchor_run, make_run("ours", title="Our codec")]
    for name in ("ours", "OUR CODEC"):
        row = read_page(build_report(runs, anchor=name).page).row("VVC")
        assert row[1][1] == pytest.approx(bd_rate(*hpcm, *vtm).value, rel=1e-4)
    with pytest.raises(OptionError, match="'nobody' is none of the curves; there are ours, vvc"):
        build_report(runs, anchor="nobody")


def test_provenance_names_command_versions_and_digests(make_run, anchor_run, read_page):
    text = read_page(build_report([anchor_run, make_run("ours")]).page).text
    for part in ("jaxicm eval ours set --out ours.json", "numpy 2.4.6", "cb8d4ca0", "d1" * 32, "2026-11-21T12:00"):
        assert part in text


def test_a_real_run_file_is_read(read_page):
    report = build_report([EXAMPLE])
    page = read_page(report.page)
    assert "jaxicm example" in page.text
    assert "Task: yolox_nano (pseudo ground truth)" in page.text
    assert "The runs name crops, but none could be read." in page.text
    assert page.row("jaxicm example", "")[2][1] is not None


def test_bad_files_are_named_and_the_others_reported(make_run, anchor_run, tmp_path, read_page):
    (tmp_path / "text.json").write_text("no json")
    report = build_report([tmp_path / "text.json", anchor_run, tmp_path / "gone.json"])
    assert len(report.problems) == 2
    text = read_page(report.page).text
    assert "text.json: not a JSON file" in text
    assert "gone.json: no such file" in text
    with pytest.raises(InputError, match=r"text\.json: not a JSON file.*and 1 more files"):
        build_report([tmp_path / "text.json", tmp_path / "gone.json"])
