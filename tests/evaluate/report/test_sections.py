"""Ablation tables, speeds, crops, single pictures and plots."""

import base64
import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from jaxicm.errors import OptionError, OutputError
from jaxicm.evaluate.bdrate import bd_rate
from jaxicm.evaluate.report import build_report
from jaxicm.evaluate.report.collection import collect
from jaxicm.evaluate.report.crop_section import chosen_rates, crop_section, nearest
from jaxicm.evaluate.report.picture_section import rates_by_picture
from jaxicm.evaluate.report.plots import write_plots
from jaxicm.evaluate.report.run_files import read_run
from jaxicm.evaluate.report.speed_section import part_seconds, speed_of


def crop_data(page):
    return json.loads(re.search(r'<script type="application/json" id="s0-crop-data">(.*?)</script>', page)[1])


def test_an_ablation_has_a_row_for_each_combination(make_run, anchor_run, read_page, known_curves):
    vtm, (bpp, psnr) = known_curves
    runs = [anchor_run]
    for block, factor in (("10x10", 1.0), ("4x4", 1.1), ("2x2", 1.3)):
        curve = ([factor * rate for rate in bpp], psnr)
        runs.append(make_run(f"b{block}", curve, title="Ours", labels={"block": block, "order": "fixed", "seed": "1"}))
    for keys in (["block", "order"], None):
        page = read_page(build_report(runs, ablation=keys).page)
        rows = next(rows for _, rows in page.tables if rows[1][0][0] == "block")
        assert [row[0][0] for row in rows[2:]] == ["10x10", "2x2", "4x4"]
        column = [cell[0] for cell in rows[1]].index("PSNR RGB")
        expected = bd_rate(*vtm, [1.3 * rate for rate in bpp], psnr).value
        assert rows[3][column][1] == pytest.approx(expected, rel=1e-4)
        figures = {head[0]: cell[1] for head, cell in zip(rows[1], rows[3], strict=True)}
        assert figures["bpp"] == pytest.approx(np.mean(bpp) * 1.3, rel=1e-4)
        assert (figures["steps"], figures["decode kMAC/pixel"], figures["encode s"]) == (28, 15.5, 0.2)
    assert "1 of 4 runs have none of these labels and are left out" in page.text
    assert ("order" in [cell[0] for cell in rows[1]]) is False  # the same in all runs


def test_an_ablation_over_unknown_labels_is_refused(make_run, anchor_run):
    with pytest.raises(OptionError, match="no run has the label 'blok'; there are block"):
        build_report([make_run("x", labels={"block": "2"})], ablation=["blok"])
    with pytest.raises(OptionError, match="there are none"):
        build_report([anchor_run], ablation=["block"])


def test_speeds_are_medians_in_megapixels(make_run):
    path = make_run("x", pictures=("a.png", "b.png", "c.png"))
    content = json.loads(path.read_text())
    for row in content["pictures"]:
        row["encode_s"] = {"a.png": 30.0, "b.png": 0.24, "c.png": 0.12}[row["picture"]]  # the first one waits
        row["decode_s"] = None
    path.write_text(json.dumps(content))
    run = read_run(path)
    speed = speed_of(run, "encode")
    assert speed.median == pytest.approx(1.0)  # 0.24 megapixels in 0.24 s
    assert len(speed.by_rate) == 6
    assert speed_of(run, "decode") is None
    assert part_seconds(run, "encode") == {"analysis": 0.15, "coder": 0.05}


def test_the_clock_is_named(make_run, anchor_run, read_page):
    page = read_page(build_report([anchor_run, make_run("ours")]).page)
    assert "filled: wall-clock seconds, hollow: CPU seconds" in page.text
    rows = next(rows for _, rows in page.tables if "encode MP/s" in [cell[0] for cell in rows[0]])
    assert [row[1][0] for row in rows[1:]] == ["wall", "CPU"]
    assert rows[1][2][1] == pytest.approx(1.2)  # 0.24 megapixels in 0.2 s


def test_runs_without_seconds_say_so(make_run, read_page):
    path = make_run("x")
    content = json.loads(path.read_text())
    for row in content["pictures"]:
        row["encode_s"] = row["decode_s"] = None
    path.write_text(json.dumps(content))
    assert "No run of these pictures has seconds" in read_page(build_report([path]).page).text


def test_crops_are_matched_in_rate_and_kept_bit_by_bit(make_run, known_curves):
    vtm, hpcm = known_curves
    ours = make_run("ours", crops=("a",))
    anchor = make_run("vvc", vtm, kind="conventional", crops=("a",))
    data = crop_data(build_report([ours, anchor]).page)
    (picture,) = data["pictures"]
    assert [rate["bpp"] for rate in picture["rates"]] == [hpcm[0][1], hpcm[0][2], hpcm[0][4]]
    keys = {title: key for key, title in data["titles"].items()}
    for rate in picture["rates"]:
        distances = np.abs(np.log(np.array(vtm[0]) / rate["bpp"]))
        chosen = rate["codecs"][keys["Vvc"]]
        assert chosen["bpp"] == vtm[0][int(np.argmin(distances))]
        assert rate["codecs"][keys["Ours"]]["bpp"] == rate["bpp"]
    png = base64.b64decode(data["images"][picture["original"]].removeprefix("data:image/png;base64,"))
    assert png == (ours.parent / "ours.crops" / "a.png").read_bytes()
    assert len(set(data["images"])) == len(data["images"])  # the original that both runs have is there once


def test_missing_crops_are_counted_and_the_rest_shown(make_run, read_page):
    path = make_run("ours", crops=("a", "b"))
    (path.parent / "ours.crops" / "b.png").unlink()
    (path.parent / "ours.crops" / "a_q10.png").write_bytes(b"no picture")
    page = build_report([path]).page
    assert "2 crop files are missing or no PNG" in read_page(page).text
    assert [picture["name"] for picture in crop_data(page)["pictures"]] == ["a.png"]


def test_crops_beyond_the_budget_are_left_out(make_run):
    item = collect([read_run(make_run("ours", crops=("a", "b", "c")))])[0]
    assert "2 pictures are left out" in crop_section(item, None, budget_bytes=1)
    assert "left out" not in crop_section(item, None)
    assert crop_section(collect([read_run(make_run("none"))])[0], None) is None


def test_rates_of_crops_avoid_the_ends():
    class Point:
        def __init__(self, bpp):
            self.bpp = bpp

    points = [Point(bpp) for bpp in (0.1, 0.2, 0.4, 0.8, 1.6)]
    assert chosen_rates(points) == [0.2, 0.4, 0.8]
    assert chosen_rates(points[:2]) == [0.1, 0.2]
    assert nearest(points, 0.29).bpp == 0.4  # 0.4 / 0.29 is below 0.29 / 0.2
    assert nearest(points, 5.0).bpp == 1.6


def test_every_picture_has_its_rate_against_the_anchor(make_run, anchor_run, read_page, known_curves):
    vtm, hpcm = known_curves
    ours, anchor = (entry for entry in collect([read_run(make_run("ours")), read_run(anchor_run)])[0].entries)
    found = rates_by_picture(anchor, ours)
    # the fixture adds a decibel to both curves of the second picture: the same rate
    for name in ("a.png", "b.png"):
        assert found[name].rate.value == pytest.approx(bd_rate(*vtm, *hpcm).value)
    page = read_page(build_report([anchor_run, make_run("ours")]).page)
    assert page.row("a.png", "BD-rate % by PSNR RGB")[1][1] == pytest.approx(bd_rate(*vtm, *hpcm).value, rel=1e-4)
    assert page.row("mean of these", "BD-rate % by PSNR RGB")[1][1] == pytest.approx(
        bd_rate(*vtm, *hpcm).value, rel=1e-4
    )
    assert "Ours: 12 measurements" in page.text


def test_single_pictures_have_a_measured_anchor_where_the_anchor_is_published(make_run, read_page, known_curves):
    vtm, _ = known_curves
    runs = [make_run("ours", set_name="kodak")]
    runs += [make_run(name, vtm, kind="conventional", set_name="kodak") for name in ("jpeg", "vvc")]
    page = read_page(build_report(runs).page)
    assert "BD-rate % by PSNR RGB of each picture. Anchor: Vvc." in page.text


def test_plots_are_valid_and_the_same_each_time(make_run, anchor_run, tmp_path):
    ours = make_run("ours", folder="odd/../name <&>", task=True, scales=(100, 50))
    report = build_report([anchor_run, ours])
    first = write_plots(report, tmp_path / "plots" / "deep")
    names = {path.name for path in first}
    assert {"set-psnr-rgb.svg", "set-psnr-rgb.png", "set-tiny-box-ap.svg", "set-decode-speed.png"} <= names
    again = write_plots(report, tmp_path / "again")
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes()
        if one.suffix == ".svg":
            root = ElementTree.parse(one).getroot()
            assert root.tag.endswith("svg")
            assert "Ours" in "".join(root.itertext())
        else:
            with Image.open(one) as picture:
                assert min(picture.size) > 500


def test_plots_need_a_folder(make_run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="the folder cannot be made"):
        write_plots(build_report([make_run("x")]), tmp_path / "file" / "plots")


def test_points_without_loss_are_listed_the_lowest_rate_first(make_run, read_page):
    """The ratio is computed here; a codec with one lossy point shows only the other."""
    paths = {}
    for stem, kind, rates in (("ours", "learned", [3.0, None]), ("old", "conventional", [4.5, 3.6])):
        paths[stem] = make_run(stem, ((9.0, 12.0), (40.0, 50.0)), kind=kind)
        content = json.loads(paths[stem].read_text())
        content["results"] |= {"bpsp": rates, "encoding_time": [0.25, 0.5]}
        paths[stem].write_text(json.dumps(content))
    page = read_page(build_report(list(paths.values())).page)
    rows = next(rows for _, rows in page.tables if rows[0][2][0] == "bpsp")
    shown = [[cell[0].strip() for cell in row] for row in rows[1:]]
    assert [(row[0], row[2], row[3], row[6]) for row in shown] == [
        ("Ours", "3.0000", "100.0%", "0.250"),
        ("Old", "3.6000", "120.0%", "0.500"),
        ("Old", "4.5000", "150.0%", "0.250"),
    ]  # fmt: skip


def test_without_lossless_points_there_is_no_table_of_them(anchor_run):
    assert "Lossless rates" not in build_report([anchor_run]).page
