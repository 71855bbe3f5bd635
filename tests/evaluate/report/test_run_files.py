"""Reading run files: one line for whatever is wrong, and values that were not measured are left out."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxicm.errors import InputError
from jaxicm.evaluate.report import build_report
from jaxicm.evaluate.report.run_files import read_run


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("{", "not a JSON file"),
        ("[" * 100000, "not a JSON file"),
        ("\x00\xff", "not a JSON file"),
        ("[1, 2]", "not a run file"),
        ('"text"', "not a run file"),
        ('{"name": "x", "results": {}}', "not a run file"),
        ('{"format": 3}', "not a run file: 'jaxicm run 1' expected"),
        ('{"format": "jaxicm run 2"}', "format 'jaxicm run 2', this program reads 'jaxicm run 1'"),
        ('{"curve": [], "pictures": [], "bd_rate_percent": 1}', "a table of an older `jaxicm eval`"),
        ('{"format": "jaxicm run 1"}', "damaged run file (no 'codec')"),
    ],
)
def test_other_files_give_one_line(content, message, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_run(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"codec": None}, {"codec": []}, {"codec": {"name": "x", "kmac_per_pixel": 3}}, {"data": {}}, {"results": {}},
        {"results": {"bpp": [1, 2], "psnr-rgb": [1]}}, {"results": {"bpp": 3}}, {"results": None},
        {"results": {"bpp": [1], "scale": ["x"]}},
        {"pictures": [3]}, {"pictures": [{}]}, {"crops": [{"picture": "a"}]}, {"tasks": {"t": {}}}, {"tasks": [1]},
        {"tasks": {"t": {"points": [{}]}}}, {"labels": [1]}, {"versions": 3}, {"machine": "x"},
        {"data": {"count": float("inf"), "digest": "x"}},
    ],
)  # fmt: skip
def test_damaged_files_give_one_line(change, make_run):
    path = make_run("x")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match="damaged run file"):
        read_run(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.json: no such file"):
        read_run(tmp_path / "gone.json")


def test_what_was_not_measured_is_left_out(make_run):
    path = make_run("x")
    content = json.loads(path.read_text())
    content["results"]["psnr-rgb"][0] = None
    content["results"]["psnr-rgb"][1] = float("inf")
    content["results"]["bpp"][2] = 0
    del content["results"]["lpips"]
    for row in content["pictures"]:
        row["lpips"] = None
    path.write_text(json.dumps(content))
    run = read_run(path)
    assert ["psnr-rgb" in point.values for point in run.points] == [False, False, True, True, True]
    assert not any("lpips" in point.values for point in run.points)
    assert all("lpips" not in picture.values for picture in run.pictures)


def test_points_are_sorted_by_rate(make_run):
    path = make_run("x", ((0.8, 0.2, 0.4), (36.0, 30.0, 33.0)))
    content = json.loads(path.read_text())
    for key, values in content["results"].items():
        content["results"][key] = values[::-1]
    path.write_text(json.dumps(content))
    run = read_run(path)
    assert [point.bpp for point in run.points] == [0.2, 0.4, 0.8]
    assert [point.values["psnr-rgb"] for point in run.points] == [30.0, 33.0, 36.0]


EXAMPLE = json.loads((Path(__file__).parents[1] / "example_run.json").read_text(encoding="utf-8"))


def places(value, path=()):
    """Yield the path of everything inside a JSON value."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(inner, (*path, key))


odd = st.sampled_from(
    [None, True, 0, -1, 1e308, -1e308, 1e-300, float("inf"), float("nan"), "", "x", [], [1], {}, [None]]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(list(places(EXAMPLE))), odd), min_size=1, max_size=3))
def test_whatever_a_file_holds_there_is_a_page_or_one_line(changes, tmp_path):
    content = json.loads(json.dumps(EXAMPLE))
    for path, value in changes:
        inner = content
        try:
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    file = tmp_path / "odd.json"
    file.write_text(json.dumps(content))
    try:
        assert build_report([file]).page.startswith("<!doctype html>")
    except InputError as error:
        assert "\n" not in str(error)
