"""VTM's programs replaced by two that store the raw frames: the command line of the literature, and what is refused."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxicm.errors import CorruptFile, JaxicmError, MissingDependency
from jaxicm.media.video_codec import Structure
from jaxicm.media.vtm import VtmCodec
from jaxicm.media.yuv import PlanarFormat, Planes

ENCODER = """
import json, sys
words = sys.argv[1:]
if not words:
    sys.exit("VVCSoftware: VTM Encoder Version 12.0 [Linux][GCC 12.2.0][64 bit]")
value = lambda name: words[words.index(name) + 1]
if value("-q") == "63":
    sys.exit("Error: no such thing")
open(value("-b"), "wb").write(json.dumps(words).encode() + b"\\n" + open(value("-i"), "rb").read())
"""
DECODER = """
import sys
value = lambda name: sys.argv[sys.argv.index(name) + 1]
header, _, frames = open(value("-b"), "rb").read().partition(b"\\n")
if not header.startswith(b"["):
    sys.exit("no bitstream")
open(value("-o"), "wb").write(frames)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("JAXICM_VTM", str(tmp_path))
    (tmp_path / "bin").mkdir()
    (tmp_path / "cfg").mkdir()
    for name, text in (("EncoderAppStatic", ENCODER), ("DecoderAppStatic", DECODER)):
        (tmp_path / "bin" / name).write_text(f"#!{sys.executable}\n{text}")
        (tmp_path / "bin" / name).chmod(0o755)
    for kind in ("intra", "lowdelay", "randomaccess"):
        (tmp_path / "cfg" / f"encoder_{kind}_vtm.cfg").touch()
    return tmp_path


def frames(form: PlanarFormat, count: int) -> list[Planes]:
    rng = np.random.default_rng(0)
    return [
        tuple(rng.integers(0, 1 << form.bits, shape).astype(form.dtype) for shape in form.shapes) for _ in range(count)
    ]


def command(data: bytes) -> list[str]:
    return json.loads(data.partition(b"\n")[0])


def test_a_still_picture_is_coded_as_the_literature_does(folder):
    form = PlanarFormat(35, 51, "444", 8)
    (picture,) = frames(form, 1)
    stream = VtmCodec().encode([picture], form, 37)
    words = command(stream.data)
    words[1] = words[words.index("-b") + 1] = "FILE"  # the temporary ones
    expected = f"-i FILE -c {folder}/cfg/encoder_intra_vtm.cfg -q 37 -o /dev/null -b FILE -wdt 52 -hgt 36 -fr 1 -f 1"
    assert words == (expected + " --InputChromaFormat=444 --InputBitDepth=8 --ConformanceWindowMode=1").split()
    decoded = VtmCodec().decode(stream.data, form)
    for plane, back in zip(picture, decoded.frames[0], strict=True):
        np.testing.assert_array_equal(plane, back)


@pytest.mark.parametrize(
    ("structure", "kind", "period"),
    [
        (Structure(1), "intra", 1),
        (Structure(32), "randomaccess", 32),
        (Structure(0, low_delay=True, rate_hz=50), "lowdelay", -1),
    ],
)
def test_a_clip_is_coded_whole(folder, structure, kind, period):
    form = PlanarFormat(16, 32, "420", 10)
    clip = frames(form, 3)
    stream = VtmCodec({"IntraQPOffset": -5}).encode(clip, form, 22, structure)
    words = command(stream.data)
    assert f"{folder}/cfg/encoder_{kind}_vtm.cfg" in words
    assert words[words.index("-f") + 1] == "3"
    assert words[words.index("-fr") + 1] == str(structure.rate_hz)
    assert {"--TemporalSubsampleRatio=1", f"--IntraPeriod={period}", "--IntraQPOffset=-5"} <= set(words)
    decoded = VtmCodec().decode(stream.data, form).frames
    assert len(decoded) == 3
    np.testing.assert_array_equal(decoded[2][1], clip[2][1])


def test_the_version_is_what_the_encoder_prints(folder):
    assert VtmCodec().missing() is None
    assert VtmCodec().version() == {"vtm": "12.0", "options": "encoder_intra_vtm.cfg"}


def test_failures_are_explained(folder):
    form = PlanarFormat(16, 16, "444", 8)
    with pytest.raises(JaxicmError, match="VTM encoder failed with exit code 1: Error: no such thing"):
        VtmCodec().encode(frames(form, 1), form, 63)
    with pytest.raises(CorruptFile, match=r"cannot be decoded .*no bitstream"):
        VtmCodec().decode(b"x", form)
    with pytest.raises(CorruptFile, match="no whole frames of 16x16"):
        VtmCodec().decode(b"[]\n123", form)


def test_what_is_missing_is_named(folder, monkeypatch):
    (folder / "cfg" / "encoder_intra_vtm.cfg").unlink()
    assert "VTM needs encoder_intra_vtm.cfg" in str(VtmCodec().missing())
    (folder / "bin" / "DecoderAppStatic").unlink()
    assert "VTM needs DecoderAppStatic: build https://" in str(VtmCodec().missing())
    monkeypatch.delenv("JAXICM_VTM")
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(MissingDependency, match=r"VTM needs EncoderAppStatic: build .* set JAXICM_VTM to its folder"):
        VtmCodec().version()
