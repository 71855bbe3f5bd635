"""`jaxicm encode --codec`: options that make no sense together are refused in one line before any work."""

import pytest

from jaxicm.media.pictures import write_picture


@pytest.fixture
def place(tmp_path, pixels, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_picture("a.png", pixels)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--qp", "30"), "--qp goes with --codec"),
        (("--filter", "none"), "--filter goes with --codec"),
        (("--block", "64"), "--block goes with --codec"),
        (("--codec", "vp9"), "--codec must be one of vvc, hevc, av1"),
        (("--codec", "vvc", "--quality", "50", "--bpp", "1"), "takes no --quality or --bpp"),
        (("--codec", "vvc", "--lossless"), "takes no --lossless"),
        (("--codec", "vvc", "--effort", "3"), "takes no --effort"),
        (("--codec", "vvc", "--keep-rgb"), "takes no --keep-rgb"),
        (("--codec", "vvc", "--decoder", "people"), "takes no --decoder"),
        (("--codec", "vvc", "--scale", "50"), "takes no --scale"),
        (("--codec", "vvc", "--tune", "mse", "--time-limit", "3"), "takes no --tune or --time-limit"),
        (("--codec", "vvc", "--filter", "some"), "--filter must be one of content, plain, none"),
        (("--codec", "vvc", "--filter", "none", "--model", "x"), "--filter none takes no --model"),
        (("--codec", "vvc", "--filter", "none", "--block", "64"), "--filter none takes no --block"),
        (("--codec", "vvc", "--block", "48"), "--block must be one of 0, 32, 64, 128, 256"),
        (("--codec", "vvc", "--qp", "64"), "--qp of VVC must be from 0 to 63"),
        (("--codec", "hevc", "--qp", "52"), "--qp of HEVC must be from 0 to 51"),
    ],
)
def test_options_that_exclude_each_other_are_refused(run, place, words, says):
    done = run("encode", "a.png", "a.jicm", *words)
    assert (done.code, done.out) == (2, "")
    assert says in done.err and done.err.count("\n") == 1
    assert not (place / "a.jicm").exists()


def test_a_picture_is_no_clip(run, place):
    assert run("encode", "a.png", "a.jicm").code == 0
    done = run("decode", "a.jicm", "a.mkv")
    assert done.code == 2 and "holds a picture, a.mkv is a clip" in done.err
    done = run("extract", "a.jicm", "a.vvc")
    assert done.code == 2 and "holds no stream of a conventional codec" in done.err
    assert sorted(path.name for path in place.iterdir()) == ["a.jicm", "a.png"]
