"""`jaxicm report` on the command line."""

import json
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "evaluate" / "example_run.json"


@pytest.fixture
def example(tmp_path):
    path = tmp_path / "example.json"
    path.write_bytes(EXAMPLE.read_bytes())
    return path


def test_it_writes_a_page_and_plots(run, example, tmp_path):
    done = run("report", example, "--out", tmp_path / "r.html", "--plots", tmp_path / "plots", "--title", "A & B")
    assert done.code == 0
    assert "set: 1 learned codec on 3 pictures." in done.out
    assert "r.html" in done.out
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<h1>A &amp; B</h1>" in page
    assert (tmp_path / "plots" / "set-psnr-rgb.svg").is_file()


def test_a_bad_file_is_reported_and_the_others_go_on(run, example, tmp_path):
    (tmp_path / "bad.json").write_text("{}")
    done = run("report", example, tmp_path / "bad.json", "--out", tmp_path / "r.html")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "bad.json: not a run file" in done.err
    assert (tmp_path / "r.html").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--anchor", "nobody"], "--anchor 'nobody' is none of the curves"),
        (["--ablation", "blok"], "no run has the label 'blok'"),
        (["--ablation", ","], "names no label"),
        (["--resamples", "99"], "an interval needs 100 or more; give 0 to leave them out"),
        (["--out", "report.pdf"], "the page is HTML"),
        (["--out", "no/such/folder/report.html"], "no/such/folder"),
    ],
)
def test_bad_options_give_one_line(run, example, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("report", example, *options)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not list(tmp_path.glob("*.html"))


def test_options_reach_the_report(run, example, tmp_path):
    content = json.loads(example.read_text())
    content["data"]["set"] = "kodak"
    example.write_text(json.dumps(content))
    assert run("report", example, "--out", tmp_path / "with.html").code == 0
    assert run("report", example, "--out", tmp_path / "without.html", "--no-published", "--ablation", "order").code == 0
    assert "VTM" in (tmp_path / "with.html").read_text(encoding="utf-8")
    without = (tmp_path / "without.html").read_text(encoding="utf-8")
    assert "VTM" not in without
    assert 'id="s0-ablation"' in without


def test_intervals_are_drawn_unless_told_otherwise(run, example, tmp_path):
    content = json.loads(example.read_text())
    content["codec"] |= {"name": "jpeg", "title": "JPEG", "kind": "conventional"}
    content["tasks"] = {}
    for row in content["pictures"]:
        row["bpp"] *= 1.25
    content["results"]["bpp"] = [1.25 * bpp for bpp in content["results"]["bpp"]]
    (tmp_path / "jpeg.json").write_text(json.dumps(content))
    runs = (example, tmp_path / "jpeg.json", "--out", tmp_path / "r.html")
    assert run("report", *runs).code == 0
    assert "by a bootstrap of 500 selections" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert run("report", *runs, "--resamples", 100, "--annotations", tmp_path / "none.json").code == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert '<span class="interval">[−20.0, −20.0]</span>' in page  # noqa: RUF001
    assert run("report", *runs, "--resamples", 0).code == 0
    assert "bootstrap" not in (tmp_path / "r.html").read_text(encoding="utf-8")
