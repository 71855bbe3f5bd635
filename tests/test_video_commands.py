"""`jaxicm video` and `jaxicm extract` on a real small clip: round trips, what they print, what they refuse."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from jaxicm.cli.main import app
from jaxicm.codecs import filter_weights
from jaxicm.errors import JaxicmError
from jaxicm.media.clips import read_clip, write_clip
from jaxicm.media.ffmpeg import FfmpegCodec
from jaxicm.media.yuv import PlanarFormat
from jaxicm.models.filter import PlaneFilterConfig
from jaxicm.models.filter_set import FilterSetConfig, initial_parameters

FORM = PlanarFormat(48, 80)
CONFIG = FilterSetConfig(PlaneFilterConfig(width=8, blocks=1))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with a clip and a filter, and go there."""
    if reason := FfmpegCodec("vvc", "faster").missing():
        pytest.skip(reason)
    monkeypatch.chdir(tmp_path)
    frames = []
    for number in range(5):
        planes = []
        for shape in FORM.shapes:
            y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
            planes.append(np.round(128 + 60 * np.sin((x + number) / 3) * np.cos(y / 4)).astype(np.uint8))
        frames.append(tuple(planes))
    write_clip("a.y4m", frames, FORM, Fraction(25))
    params = initial_parameters(CONFIG, 0)
    filter_weights.write(
        Path("filter_vvc.safetensors"), params, CONFIG, profile="tiny", trained_on="nothing", provenance={}
    )
    monkeypatch.setenv("JAXICM_MODELS", str(tmp_path))
    return tmp_path


def run(*words: str):
    return CliRunner().invoke(app, list(words))


def test_a_clip_comes_back_and_its_stream_is_a_file_of_its_own(place: Path):
    done = run("video", "encode", "a.y4m", "a.jicm", "--qp", "37", "--preset", "faster", "--filter", "none")
    assert done.exit_code == 0, done.output
    assert "5 frames" in done.output and "kbit/s" in done.output and "filter" not in done.output
    assert run("video", "decode", "a.jicm", "b.y4m").exit_code == 0
    found, source = read_clip("b.y4m"), read_clip("a.y4m")
    assert (found.form, found.rate, len(found.frames)) == (FORM, 25, 5)
    pairs = zip(found.frames, source.frames, strict=True)
    error = np.mean([np.square(a[0].astype(float) - b[0]).mean() for a, b in pairs])
    assert 0 < error < 200
    assert run("extract", "a.jicm", "a.vvc").exit_code == 0
    stream = Path("a.vvc").read_bytes()
    assert Path("a.jicm").read_bytes().count(stream) == 1
    played = FfmpegCodec("vvc", "faster").decode(stream, FORM).frames
    np.testing.assert_array_equal(played[4][0], found.frames[4][0])


def test_a_filter_is_fitted_and_left_out_where_wanted(place: Path):
    words = ("video", "encode", "a.y4m", "a.jicm", "--qp", "47", "--preset", "faster", "--frames", "3")
    done = run(*words, "--iterations", "20")
    assert done.exit_code == 0, done.output
    assert "3 frames" in done.output and ("squared error -" in done.output or "none pays" in done.output)
    assert run("video", "decode", "a.jicm", "b.y4m").exit_code == 0
    assert run("video", "decode", "--unfiltered", "a.jicm", "c.mkv").exit_code == 0
    assert run(*words, "--filter", "plain").exit_code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("video", "encode", "a.y4m", "x.jicm", "--filter", "some"), "--filter must be one of none, plain, bias"),
        (("video", "encode", "a.y4m", "x.jicm", "--codec", "vp9"), "--codec must be one of vvc, hevc, av1"),
        (("video", "encode", "a.y4m", "x.jicm", "--time-limit", "0"), "--time-limit must be above 0"),
        (("video", "encode", "a.y4m", "x.jicm", "--model", "other"), "there is no model 'other'"),
        (("video", "encode", "missing.mp4", "x.jicm"), "missing.mp4"),
        (("video", "decode", "a.y4m", "x.mp4"), r"written as .y4m or .mkv"),
        (("video", "decode", "a.y4m", "x.mkv"), "this is not a jaxicm file"),
        (("extract", "a.y4m", "x.vvc"), "this is not a jaxicm file"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(place: Path, words, says):
    done = run(*words)
    assert done.exit_code != 0 and isinstance(done.exception, JaxicmError) and says in str(done.exception)
    assert not list(place.glob("x.*"))


def test_a_clip_is_no_picture(place: Path):
    assert run("video", "encode", "a.y4m", "a.jicm", "--preset", "faster", "--filter", "none").exit_code == 0
    done = run("decode", "a.jicm", "a.png")
    assert done.exit_code != 0 and "holds a clip" in done.output + str(done.exception)


def test_clips_are_measured_and_compared(place: Path):
    words = ("video", "eval", "a.y4m", "--qps", "32,47", "--frames", "2", "--iterations", "5", "--out", "run.json")
    done = run(*words, "--keep", "streams")
    assert done.exit_code == 0, done.output
    assert done.output.count("a.y4m QP") == 8 and Path("run.json").is_file() and list(Path("streams").iterdir())
    again = run(*words, "--keep", "streams", "--filters", "none")
    assert again.exit_code == 2 or "differ" in str(again.exception)
    bad = run("video", "eval", "a.y4m", "--filters", "none,some")
    assert isinstance(bad.exception, JaxicmError) and "must be of none, plain" in str(bad.exception)
