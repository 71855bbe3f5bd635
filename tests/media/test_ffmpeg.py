"""Real encodes of small clips: sizes, depths, chroma formats, reference structures, errors, and nothing left over."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from jaxicm.errors import CorruptFile, InputError, JaxicmError, MissingDependency, OptionError
from jaxicm.media import ffmpeg
from jaxicm.media.ffmpeg import FfmpegCodec
from jaxicm.media.measured_process import run_measured
from jaxicm.media.video_codec import Stream, Structure
from jaxicm.media.yuv import PlanarFormat, Planes

QUICK = {"vvc": "faster", "hevc": "ultrafast", "av1": "8"}
FINE_QP = {"vvc": 8, "hevc": 8, "av1": 2}


def available(name: str) -> FfmpegCodec:
    codec = FfmpegCodec(name, QUICK[name])  # type: ignore[arg-type]
    if reason := codec.missing():
        pytest.skip(reason)
    return codec


def clip(form: PlanarFormat, count: int) -> list[Planes]:
    """Draw a pattern that moves a pixel a frame, its brightness rising."""
    frames = []
    for index in range(count):
        planes = []
        for shape in form.shapes:
            y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
            values = 0.4 + 0.015 * index + 0.3 * np.sin((x + index) / 5.0) * np.cos(y / 7.0)
            planes.append(np.round(values * ((1 << form.bits) - 1)).astype(form.dtype))
        frames.append(tuple(planes))
    return frames


def error(a: Planes, b: Planes, bits: int) -> float:
    """Return the largest error of a plane, root mean square, in steps of 8 bits."""
    worst = max(np.sqrt(np.mean((x.astype(float) - y) ** 2)) for x, y in zip(a, b, strict=True))
    return worst / (1 << (bits - 8))


FORMATS = [
    (name, chroma, bits)
    for name, chromas in (("vvc", ("420",)), ("hevc", ("400", "420", "444")), ("av1", ("400", "420", "444")))
    for chroma in chromas
    for bits in (8, 10)
]


@pytest.mark.parametrize(("name", "chroma", "bits"), FORMATS)
def test_a_still_picture_comes_back_in_its_format(name, chroma, bits):
    codec, form = available(name), PlanarFormat(35, 51, chroma, bits)
    frames = clip(form, 1)
    fine, coarse = (codec.encode(frames, form, qp) for qp in (FINE_QP[name], 45))
    assert len(fine.data) > 2 * len(coarse.data)
    decoded = codec.decode(fine.data, form)
    form.check(decoded.frames[0])
    assert len(decoded.frames) == 1
    assert error(decoded.frames[0], frames[0], bits) < 1.2
    assert error(codec.decode(coarse.data, form).frames[0], frames[0], bits) > 2
    assert min(fine.cpu_s, coarse.cpu_s, decoded.cpu_s) > 0


def kinds_of_pictures(codec: FfmpegCodec, data: bytes, folder: Path) -> str:
    """Ask ffmpeg for the kinds of the pictures of a stream, one letter a picture."""
    (folder / "stream").write_bytes(data)
    muxer = {"vvc": "vvc", "hevc": "hevc", "av1": "obu"}[codec.name]
    command = [next(ffmpeg.programs()), "-f", muxer, "-i", str(folder / "stream"), "-vf", "showinfo", "-f", "null", "-"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return "".join(re.findall(r" type:(.)", printed)).replace("P", "B")


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize(
    ("structure", "kinds"),
    [
        (Structure(1), "IIIIIIIII"),
        (Structure(4), "IBBBIBBBI"),
        (Structure(0), "IBBBBBBBB"),
        (Structure(0, low_delay=True), "IBBBBBBBB"),
        (Structure(4, low_delay=True), "IBBBIBBBI"),
    ],
)
def test_a_clip_comes_back_in_the_order_of_display(name, structure, kinds, tmp_path):
    codec, form = available(name), PlanarFormat(32, 48, "420", 10 if name == "vvc" else 8)
    frames = clip(form, 9)
    stream = codec.encode(frames, form, FINE_QP[name] + 8, structure)
    decoded = codec.decode(stream.data, form).frames
    assert len(decoded) == 9
    for index, planes in enumerate(decoded):
        others = [error(planes, frame, form.bits) for frame in frames]
        assert int(np.argmin(others)) == index
        assert others[index] < 3
    assert kinds_of_pictures(codec, stream.data, tmp_path) == kinds


@pytest.mark.parametrize("failures", [1, 100])
def test_an_encoder_that_wrote_nothing_is_asked_again(failures, monkeypatch):
    codec, form, calls = available("vvc"), PlanarFormat(32, 48, "420", 10), []

    def run(command, what):
        calls.append(what)
        Path(command[-1]).write_bytes(b"" if len(calls) <= failures else b"stream")
        return 0.5, "POC 0 TId: 0 ( IDR_N_LP, I-SLICE, QP 29, TF 0) 8 bits"

    monkeypatch.setattr(ffmpeg, "run_and_read", run)
    if failures == 1:
        assert codec.encode(clip(form, 1), form, 30) == Stream(b"stream", 0.5, (29,))
        assert len(calls) == 2
    else:
        with pytest.raises(JaxicmError, match="wrote nothing"):
            codec.encode(clip(form, 1), form, 30)


def test_an_encoder_that_fails_is_asked_again_for_the_reason_alone(monkeypatch):
    codec, form, levels = available("vvc"), PlanarFormat(32, 48, "420", 10), []

    def run(command, what):
        levels.append(command[command.index("-v") + 1])
        raise JaxicmError(f"{what} failed: {levels[-1]}")

    monkeypatch.setattr(ffmpeg, "run_and_read", run)
    with pytest.raises(JaxicmError, match="failed: error"):
        codec.encode(clip(form, 1), form, 30)
    assert levels == ["verbose", "error"]


def test_vvc_tells_the_qp_of_every_frame():
    codec, form = available("vvc"), PlanarFormat(48, 64, "420", 8)
    frames = clip(form, 9)
    qps = codec.encode(frames, form, 32, Structure(period=32)).qps
    assert qps is not None and len(qps) == 9
    assert qps[0] < 32 < min(qps[1:8:2])  # intra pictures are finer, those that nothing refers to are coarser
    assert codec.encode(frames, form, 42, Structure(period=32)).qps[0] - qps[0] in range(8, 13)


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 200)])
def test_frames_that_encoders_refuse_are_padded(name, height, width):
    codec, form = available(name), PlanarFormat(height, width, "420", 10)
    frames = clip(form, 1)
    stream = codec.encode(frames, form, FINE_QP[name])
    assert error(codec.decode(stream.data, form).frames[0], frames[0], 10) < 1.2


@pytest.mark.parametrize("name", QUICK)
def test_the_same_clip_makes_the_same_bytes_without_foreign_text(name):
    codec, form = available(name), PlanarFormat(48, 64, "420", 10)
    frames = clip(form, 3)
    first, second = (codec.encode(frames, form, 40, Structure(0)).data for _ in range(2))
    assert first == second
    assert not any(word in first for word in (b"x265", b"vvenc", b"options", b"Lavc"))


def test_parameters_reach_the_library():
    plain, form = available("vvc"), PlanarFormat(64, 64, "420", 10)
    codec = FfmpegCodec("vvc", "faster", {"ALF": 0, "SAO": 0})
    frames = clip(form, 1)
    assert codec.encode(frames, form, 40).data != plain.encode(frames, form, 40).data
    assert "ALF=0" in codec.version()["options"]
    assert "qp" not in FfmpegCodec("hevc", "slower").version()["options"].replace("qpa", "")
    with pytest.raises(JaxicmError, match="VVC encoder"):
        FfmpegCodec("vvc", "faster", {"GOPSize": 7, "IntraPeriod": 32}).encode(frames, form, 40)


def test_nothing_is_left_over(tmp_path, monkeypatch):
    codec, form = available("hevc"), PlanarFormat(32, 32, "420", 8)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stream = codec.encode(clip(form, 1), form, 30)
    codec.decode(stream.data, form)
    with pytest.raises(CorruptFile):
        codec.decode(b"no stream", form)
    with pytest.raises(JaxicmError):
        FfmpegCodec("vvc", "faster", {"GOPSize": 7, "IntraPeriod": 32}).encode(clip(form, 1), form, 30)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", QUICK)
def test_streams_that_do_not_fit_are_refused(name):
    codec, form = available(name), PlanarFormat(32, 48, "420", 10)
    data = codec.encode(clip(form, 1), form, 30).data
    with pytest.raises(CorruptFile, match="no whole frames of 34x62"):
        codec.decode(data, PlanarFormat(62, 34, "420", 10))
    for wrong in (data[:9], b"", bytes(100)):
        with pytest.raises(CorruptFile):
            codec.decode(wrong, form)


def test_what_a_codec_does_not_take_is_refused():
    form = PlanarFormat(16, 16, "444", 10)
    with pytest.raises(OptionError, match="VVC: chroma 444 is not supported; choose from 420"):
        FfmpegCodec("vvc", "medium").encode(clip(form, 1), form, 30)
    with pytest.raises(OptionError, match="HEVC: QP must be a whole number from 0 to 51, got 52"):
        FfmpegCodec("hevc", "slower").encode(clip(form, 1), form, 52)
    with pytest.raises(InputError, match="AV1: a clip has at least one frame"):
        FfmpegCodec("av1", "3").encode([], form, 30)
    with pytest.raises(OptionError, match="no preset 'ludicrous'; choose from faster"):
        FfmpegCodec("vvc", "ludicrous")
    with pytest.raises(OptionError, match="unknown codec 'vp9'"):
        FfmpegCodec("vp9", "slow")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="got -1 and 30"):
        Structure(-1)


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_program_without_the_encoder_is_not_taken(tmp_path, monkeypatch):
    listing = "print(' V....D libx264   H.264')"
    monkeypatch.setenv("JAXICM_FFMPEG", str(program(tmp_path / "ffmpeg", listing)))
    codec = FfmpegCodec("vvc", "medium")
    assert codec.missing() == "VVC needs ffmpeg with libvvenc: pip install 'jaxicm[anchors]'"
    form = PlanarFormat(16, 16)
    with pytest.raises(MissingDependency, match="pip install"):
        codec.encode(clip(form, 1), form, 30)
    with pytest.raises(MissingDependency, match="pip install"):
        codec.decode(b"x", form)


def test_the_program_is_looked_for_in_order(tmp_path, monkeypatch):
    listing = (
        "import sys\nprint(' V....D libx265   HEVC' if '-encoders' in sys.argv else 'ffmpeg version 7.7 Copyright')"
    )
    chosen = program(tmp_path / "chosen", listing)
    monkeypatch.setenv("JAXICM_FFMPEG", str(chosen))
    assert list(ffmpeg.programs()) == [str(chosen)]
    assert FfmpegCodec("hevc", "slower").version()["ffmpeg"] == "7.7"
    monkeypatch.setenv("JAXICM_FFMPEG", str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"JAXICM_FFMPEG=.*none: no such program"):
        list(ffmpeg.programs())
    monkeypatch.delenv("JAXICM_FFMPEG")
    on_path = program(tmp_path / "ffmpeg", listing)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list(ffmpeg.programs())[-1] == str(on_path)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert list(ffmpeg.programs()) == [str(on_path)]


def test_cpu_seconds_are_those_of_the_process():
    assert run_measured(["sleep", "0.3"], "sleep") < 0.2
    busy = "import time\nwhile time.process_time() < 0.2: pass"
    assert 0.2 <= run_measured([sys.executable, "-S", "-c", busy], "busy") < 2


def test_a_failing_program_is_quoted_without_its_warnings():
    script = "echo 'a Warning: x'; echo; echo 'real cause' >&2; echo more; exit 3"
    with pytest.raises(JaxicmError, match=r"^it failed with exit code 3: real cause$"):
        run_measured(["sh", "-c", script], "it")
    with pytest.raises(JaxicmError, match="exit code -9: it printed nothing"):
        run_measured(["sh", "-c", "kill -9 $$"], "it")
    with pytest.raises(InputError, match="cannot be started"):
        run_measured(["/nowhere/ffmpeg"], "ffmpeg")


def test_an_interruption_ends_the_program(tmp_path, monkeypatch):
    def interrupted(pid, options):
        interrupted.pid = pid
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "wait4", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_measured(["sleep", "60"], "sleep")
    with pytest.raises(ProcessLookupError):
        os.kill(interrupted.pid, 0)
