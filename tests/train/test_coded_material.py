"""Crops before and after coding: what is in them, that they fit together, what is left out, the command line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from jaxicm.cli.main import app
from jaxicm.errors import ConfigError
from jaxicm.media.video_codec import INTRA, DecodedClip, Stream
from jaxicm.media.yuv import PlanarFormat, frames_from_bytes, frames_to_bytes, to_planes
from jaxicm.train.coded_material import CHANNELS, MaterialOptions, build_material, clip_material, picture_material

OPTIONS = MaterialOptions(qps=(20, 40), side=32, crops=2, region=64)


class Coarse:
    """A codec that drops as many low bits as a tenth of the QP."""

    title, qps, chromas = "Coarse", (0, 63), ("420",)

    def missing(self):
        return None

    def version(self):
        return {}

    def encode(self, frames, form, qp, structure=INTRA):
        drop = [tuple(plane >> (qp // 10) << (qp // 10) for plane in planes) for planes in frames]
        return Stream(frames_to_bytes(drop, form), 0.0)

    def decode(self, data, form):
        return DecodedClip(frames_from_bytes(data, form), 0.0)


def test_a_crop_holds_decoded_and_original_planes_and_the_qp(photograph):
    picture = photograph(64, 64)
    crops = list(picture_material(picture, Coarse(), OPTIONS, 0))
    assert len(crops) == 4 and all(one.shape == (32, 32, CHANNELS) and one.dtype == np.uint8 for one in crops)
    assert [int(one[0, 0, 6]) for one in crops] == [20, 20, 40, 40]
    whole = to_planes(picture, "420", 8)
    full = np.stack([whole[0], *(p.repeat(2, axis=0).repeat(2, axis=1) for p in whole[1:])], axis=-1)
    for one in crops:
        drop = int(one[0, 0, 6]) // 10
        np.testing.assert_array_equal(one[..., :3], one[..., 3:6] >> drop << drop)
        places = [
            (top, left)
            for top in range(0, 33, 2)
            for left in range(0, 33, 2)
            if np.array_equal(full[top : top + 32, left : left + 32], one[..., 3:6])
        ]
        assert places, "an original crop at an even place"
        np.testing.assert_array_equal(one[::2, ::2, 1:3], one[1::2, 1::2, 1:3])


def test_a_crop_has_the_qp_of_its_frame(photograph):
    class Telling(Coarse):
        def encode(self, frames, form, qp, structure=INTRA):
            return Stream(super().encode(frames, form, qp).data, 0.0, tuple(range(qp, qp + len(frames))))

    frames = [to_planes(photograph(64, 64) // (k + 1), "420", 8) for k in range(4)]
    crops = list(clip_material(frames, PlanarFormat(64, 64), Telling(), OPTIONS, 0))
    for one, told in zip(crops, (20, 20, 40, 40), strict=True):
        frame = int(one[0, 0, 6]) - told
        assert np.all(one[..., 6] == told + frame)
        windows = np.lib.stride_tricks.sliding_window_view(frames[frame][0], (32, 32))[::2, ::2]
        assert np.any(np.all(windows == one[..., 3], axis=(2, 3))), "a crop of that frame"
    assert len({int(one[0, 0, 6]) for one in crops}) > 2


def test_large_pictures_give_a_part_and_odd_ones_an_even_part(photograph):
    crops = list(picture_material(photograph(131, 99), Coarse(), OPTIONS, 3))
    again = list(picture_material(photograph(131, 99), Coarse(), OPTIONS, 3))
    other = list(picture_material(photograph(131, 99), Coarse(), OPTIONS, 4))
    np.testing.assert_array_equal(crops, again)
    assert not np.array_equal(crops, other)
    whole = MaterialOptions(qps=(30,), side=32, crops=1, region=0)
    assert next(picture_material(photograph(33, 47), Coarse(), whole, 0)).shape == (32, 32, CHANNELS)


def test_crops_of_a_clip_come_from_its_frames():
    form = PlanarFormat(48, 64)
    frames = [tuple(np.full(shape, 8 * number, np.uint8) for shape in form.shapes) for number in range(6)]
    options = MaterialOptions(qps=(10,), side=32, crops=40, frames=4)
    found = {int(one[0, 0, 3]) for one in clip_material(frames, form, Coarse(), options, 0)}
    assert found == {0, 8, 16, 24}, "of the first four frames"


def test_broken_and_small_pictures_are_named(tmp_path: Path, photograph):
    Image.fromarray(photograph(64, 64)).save(tmp_path / "a.png")
    Image.fromarray(photograph(20, 64)).save(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(b"no picture")
    told = []
    made = build_material(sorted(tmp_path.iterdir()), Coarse(), OPTIONS, told.append)
    assert made.shape == (4, 32, 32, CHANNELS)
    assert "64x20 pixels, smaller than a crop of 32" in told[0] and "c.png" in told[1] and len(told) == 2
    assert build_material([], Coarse(), OPTIONS, told.append).shape == (0, 32, 32, CHANNELS)


@pytest.mark.parametrize("change", [{"qps": ()}, {"side": 33}, {"crops": 0}, {"region": 100}, {"frames": 0}])
def test_options_that_make_no_sense_are_refused(change):
    with pytest.raises(ConfigError, match=f"{next(iter(change))}: found"):
        MaterialOptions(**change)


def test_the_command_line_codes_pictures_and_holds_some_out(tmp_path: Path, photograph, monkeypatch):
    from jaxicm.media import ffmpeg

    monkeypatch.setattr(ffmpeg, "FfmpegCodec", lambda name, preset: Coarse())
    for number in range(3):
        Image.fromarray(photograph(64, 96)).save(tmp_path / f"p{number + 1}.png")
    words = ["dataset", "coded", str(tmp_path), "--out", str(tmp_path / "out"), "--validation-pattern", "*%3"]
    done = CliRunner().invoke(app, [*words, "--qps", "20,30", "--side", "32", "--region", "64", "--crops", "3"])
    assert done.exit_code == 0, done.output
    assert "12 crops of 2 files" in done.output and "6 crops of 1 files" in done.output
    assert np.load(tmp_path / "out" / "train.npy").shape == (12, 32, 32, CHANNELS)
    assert np.load(tmp_path / "out" / "validation.npy").shape == (6, 32, 32, CHANNELS)
