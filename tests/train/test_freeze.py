"""The curve that is noted in a weight file comes from a run file."""

from pathlib import Path

import pytest

from jaxicm.errors import InputError
from jaxicm.train.freeze import read_curve

EXAMPLE = Path(__file__).parents[1] / "evaluate" / "example_run.json"


def test_the_mean_points_of_a_run_file_become_the_curve():
    curve = read_curve(EXAMPLE)
    assert [point["quality"] for point in curve] == [10.0, 30.0, 50.0, 70.0]
    assert curve[0] == {"quality": 10.0, "bpp": 0.16971, "psnr": 27.5, "ms_ssim": round(1 - 0.2 * 2 ** (-2 / 3), 5)}


def test_points_at_other_scales_are_left_out(tmp_path):
    text = EXAMPLE.read_text().replace('"scale": [\n   100', '"scale": [\n   50')
    (tmp_path / "x.json").write_text(text)
    assert [point["quality"] for point in read_curve(tmp_path / "x.json")] == [30.0, 50.0, 70.0]


@pytest.mark.parametrize("text", [None, "{", '{"curve": []}', '{"results": {"quality": [1]}}'])
def test_other_files_are_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match="no run file of `jaxicm eval --out`"):
        read_curve(tmp_path / "x.json")
