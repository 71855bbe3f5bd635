"""Streams that are kept: made once, found by all that fixes them, refused where they are damaged."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from jaxicm.errors import InputError
from jaxicm.media.stream_cache import CachedCodec
from jaxicm.media.video_codec import INTRA, DecodedClip, Stream, Structure
from jaxicm.media.yuv import PlanarFormat, frames_from_bytes, frames_to_bytes

FORM = PlanarFormat(4, 6)


@dataclass
class CountingCodec:
    """A codec that keeps frames as they are and counts its work."""

    title: str = "Plain"
    qps: tuple[int, int] = (0, 63)
    chromas: tuple[str, ...] = ("420",)
    options: str = "slow"
    work: list[int] = field(default_factory=list)

    def missing(self):
        return None

    def version(self):
        return {"options": self.options}

    def encode(self, frames, form, qp, structure=INTRA):
        self.work.append(qp)
        return Stream(bytes([qp]) + frames_to_bytes(frames, form), 1.5)

    def decode(self, data, form):
        return DecodedClip(frames_from_bytes(data[1:], form), 0.0)


def frames(value: int = 7):
    return [tuple(np.full(shape, value, np.uint8) for shape in FORM.shapes)]


def test_a_clip_is_coded_once(tmp_path: Path):
    inner = CountingCodec()
    codec = CachedCodec(inner, tmp_path / "kept")
    streams = [codec.encode(frames(), FORM, 30) for _ in range(3)]
    assert inner.work == [30] and len(set(streams)) == 1 and streams[0].cpu_s == 1.5
    np.testing.assert_array_equal(codec.decode(streams[0].data, FORM).frames[0][0], frames()[0][0])
    assert (codec.title, codec.qps, codec.chromas, codec.missing()) == ("Plain", (0, 63), ("420",), None)


@pytest.mark.parametrize("qps", [None, (29, 40)])
def test_the_qps_of_the_frames_are_kept(tmp_path: Path, qps, monkeypatch):
    inner = CountingCodec()
    monkeypatch.setattr(inner, "encode", lambda *_: Stream(b"coded", 1.5, qps))
    codec = CachedCodec(inner, tmp_path)
    assert codec.encode(frames(), FORM, 30).qps == qps
    monkeypatch.setattr(inner, "encode", None)
    assert codec.encode(frames(), FORM, 30) == Stream(b"coded", 1.5, qps)


def test_whatever_fixes_the_bytes_is_told_apart(tmp_path: Path):
    inner = CountingCodec()
    codec = CachedCodec(inner, tmp_path)
    codec.encode(frames(), FORM, 30)
    codec.encode(frames(), FORM, 31)
    codec.encode(frames(8), FORM, 30)
    codec.encode(frames(), FORM, 30, Structure(period=0))
    codec.encode(frames(), replace(FORM, bits=8, chroma="420"), 30)
    CachedCodec(replace(inner, options="fast"), tmp_path).encode(frames(), FORM, 30)
    assert len(inner.work) == 5 and len(list(tmp_path.iterdir())) == 5


def test_a_damaged_stream_is_named(tmp_path: Path):
    codec = CachedCodec(CountingCodec(), tmp_path)
    codec.encode(frames(), FORM, 30)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="this kept file is damaged; delete it"):
        codec.encode(frames(), FORM, 30)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="this kept file is damaged"):
        codec.encode(frames(), FORM, 30)
