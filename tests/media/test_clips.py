"""Clips: what is read of files, what of YUV4MPEG2, that writing loses nothing, what is refused."""

import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from jaxicm.errors import InputError, OptionError
from jaxicm.media import clips
from jaxicm.media.clips import Clip, parse_y4m, read_clip, write_clip, y4m
from jaxicm.media.ffmpeg import programs
from jaxicm.media.yuv import PlanarFormat, Planes


def frames(form: PlanarFormat, count: int) -> list[Planes]:
    rng = np.random.default_rng(0)
    return [
        tuple(rng.integers(0, 1 << form.bits, shape).astype(form.dtype) for shape in form.shapes) for _ in range(count)
    ]


def same(a: list[Planes], b: list[Planes]) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(p, q) for x, y in zip(a, b, strict=True) for p, q in zip(x, y, strict=True)
    )


@pytest.fixture(scope="module")
def program() -> str:
    found = next(programs(), None)
    if found is None:
        pytest.skip("no ffmpeg program")
    return found


@pytest.mark.parametrize("form", [PlanarFormat(7, 9), PlanarFormat(16, 18, "420", 10)], ids=["odd 8 bit", "10 bit"])
@pytest.mark.parametrize("suffix", [".y4m", ".mkv"])
def test_what_is_written_comes_back(tmp_path: Path, program, form, suffix):
    path, clip = tmp_path / f"a{suffix}", frames(form, 3)
    write_clip(path, clip, form, Fraction(30000, 1001))
    found = read_clip(path)
    assert (found.form, found.full_range) == (form, False) and same(found.frames, clip)
    assert abs(found.rate - Fraction(30000, 1001)) < Fraction(1, 50) and found.notes == ()
    assert same(read_clip(path, limit=2).frames, clip[:2])


def test_the_range_is_kept(tmp_path: Path, program):
    form = PlanarFormat(16, 16)
    for suffix in (".y4m", ".mkv"):
        write_clip(tmp_path / f"a{suffix}", frames(form, 1), form, Fraction(25), full_range=True)
        assert read_clip(tmp_path / f"a{suffix}").full_range


def test_other_streams_are_left_out_and_named(tmp_path: Path, program):
    write_clip(tmp_path / "a.y4m", frames(PlanarFormat(32, 32), 5), PlanarFormat(32, 32), Fraction(25))
    words = ["-i", "a.y4m", "-f", "lavfi", "-i", "sine=d=0.2", "-c:v", "libx264", "-qp", "0", "-c:a", "aac", "b.mp4"]
    subprocess.run([program, "-v", "error", *words], cwd=tmp_path, check=True)
    found = read_clip(tmp_path / "b.mp4")
    assert len(found.frames) == 5 and found.notes == ("audio left out",)


def test_a_varying_frame_rate_is_named(tmp_path: Path, program):
    write_clip(tmp_path / "a.y4m", frames(PlanarFormat(32, 32), 9), PlanarFormat(32, 32), Fraction(25))
    late = ["-vf", "setpts='N/25/TB+gt(N,4)*1/TB'", "-fps_mode", "vfr", "-c:v", "libx264", "-qp", "0", "b.mp4"]
    subprocess.run([program, "-v", "error", "-i", "a.y4m", *late], cwd=tmp_path, check=True)
    found = read_clip(tmp_path / "b.mp4")
    assert len(found.frames) == 9 and "the frame rate varies" in found.notes[0]


def test_files_that_are_no_clips_are_refused(tmp_path: Path, program):
    (tmp_path / "a.mp4").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="holds no video that ffmpeg reads"):
        read_clip(tmp_path / "a.mp4")
    with pytest.raises(InputError):
        read_clip(tmp_path / "missing.mp4")
    with pytest.raises(OptionError, match=r"written as \.y4m or \.mkv"):
        write_clip(tmp_path / "b.mp4", frames(PlanarFormat(4, 4), 1), PlanarFormat(4, 4), Fraction(25))
    assert not (tmp_path / "b.mp4").exists()


GOOD = y4m(frames(PlanarFormat(4, 6), 2), PlanarFormat(4, 6), Fraction(24))


@pytest.mark.parametrize(
    "data",
    [
        GOOD[:-1],
        GOOD[:20],
        GOOD.replace(b"420jpeg", b"444"),
        GOOD.replace(b"W6", b"W0"),
        GOOD.replace(b"W6", b"Wx"),
        GOOD.replace(b"F24:1", b"F24:0"),
        GOOD.replace(b"F24:1", b"F24"),
        GOOD.replace(b"FRAME", b"FRAMX"),
        GOOD[: GOOD.index(b"\n") + 1],
        b"",
    ],
)
def test_damaged_files_are_named(data):
    if data == GOOD.replace(b"F24:1", b"F24"):
        assert parse_y4m(data, "x").rate == 24
        return
    with pytest.raises(InputError, match="x: "):
        parse_y4m(data, "x")


def test_a_file_without_marks_is_of_limited_range():
    clip = parse_y4m(GOOD.replace(b" XCOLORRANGE=LIMITED", b""), "x")
    assert isinstance(clip, Clip) and not clip.full_range and clip.rate == 24


@pytest.mark.parametrize(
    ("described", "deep"),
    [
        ("h264 (High 4:4:4 Predictive), yuv420p(tv, bt709/unknown/unknown, progressive), 416x240, 25 fps", False),
        ("hevc (Main 10) (hev1 / 0x31766568), yuv420p10le(tv, bt2020nc/bt2020/smpte2084), 1920x1080, 24 fps", True),
        ("prores (HQ) (apch / 0x68637061), yuv422p10le(bt709, progressive), 1280x720", True),
        ("rawvideo (NV12 / 0x3231564E), nv12, 64x64", False),
        ("hevc, p010le(tv), 64x64", True),
        ("ffv1 (FFV1 / 0x31564646), gray16le, 64x64", True),
        ("mjpeg (Baseline), yuvj420p(pc, bt470bg/unknown/unknown), 64x64", False),
    ],
)
def test_the_bits_of_a_clip_are_those_of_its_pixel_format(described, deep):
    assert clips._is_deep(described) == deep
