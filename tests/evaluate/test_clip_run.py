"""Clips under test: PSNR of planes, whole files, BD-rates, and that a run goes on where it was."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from jaxicm.codecs import filter_weights, plane_filter
from jaxicm.errors import InputError
from jaxicm.evaluate import clip_run
from jaxicm.evaluate.clip_run import ClipPoint, ClipSettings, bd_rates, psnr, run
from jaxicm.media.clips import write_clip
from jaxicm.media.stream_cache import CachedCodec
from jaxicm.media.video_codec import INTRA, DecodedClip, Stream
from jaxicm.media.yuv import PlanarFormat, frames_from_bytes, frames_to_bytes
from jaxicm.models.filter import PlaneFilterConfig
from jaxicm.models.filter_set import FilterSetConfig, initial_parameters

FORM = PlanarFormat(48, 64)
CONFIG = FilterSetConfig(PlaneFilterConfig(width=4, blocks=1))
SETTINGS = ClipSettings("vvc", (32, 47), ways=("none", "plain", "bias"), iterations=20)


class Coarse:
    """A codec that rounds samples down to multiples of a step and darkens luma, with fewer bytes for a larger QP."""

    title, qps, chromas = "Coarse", (0, 63), ("420",)

    def missing(self):
        return None

    def version(self):
        return {"coarse": "1"}

    def encode(self, frames, form, qp, structure=INTRA):
        step = 1 + qp // 2
        coarse = [tuple((p // step * step).astype(np.uint8) for p in planes) for planes in frames]
        dark = [(np.maximum(planes[0], step // 3) - step // 3, *planes[1:]) for planes in coarse]
        return Stream(bytes(40_000 // step) + frames_to_bytes(dark, form), 0.0)

    def decode(self, data, form):
        return DecodedClip(frames_from_bytes(data[len(data) % form.frame_bytes :], form), 0.0)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plane_filter, "WINDOWS", ((96, 96),))
    params = initial_parameters(CONFIG, 0)
    params["last"]["bias"] = np.asarray(params["last"]["bias"]) + np.float32([1, 1, 1, 1, 0, 0])
    filter_weights.write(tmp_path / "f.safetensors", params, CONFIG, profile="f", trained_on="none", provenance={})
    monkeypatch.setenv("JAXICM_MODELS", str(tmp_path))
    return filter_weights.read(tmp_path / "f.safetensors")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    frames = [tuple(rng.integers(20, 230, shape).astype(np.uint8) for shape in FORM.shapes) for _ in range(2)]
    write_clip(tmp_path / "a.y4m", frames, FORM, Fraction(25))
    return tmp_path / "a.y4m"


def test_psnr_is_the_mean_over_frames_and_weighs_planes():
    black = tuple(np.zeros(shape, np.uint8) for shape in FORM.shapes)
    grey = (black[0] + 1, black[1] + 2, black[2])
    luma, yuv = psnr([black, black], [grey, black], FORM)
    one = 20 * np.log10(255)
    assert luma == pytest.approx((one + 100) / 2)
    assert yuv == pytest.approx((6 * (one + 100) / 2 + (one - 20 * np.log10(2) + 100) / 2 + 100) / 8)


def test_a_run_measures_whole_files_and_goes_on(network, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    coder, out, told = CachedCodec(Coarse(), tmp_path / "streams"), tmp_path / "run.json", []
    points = run([clip], SETTINGS, coder, network, out, told.append)
    assert [(p.qp, p.way) for p in points] == [(q, w) for q in (32, 47) for w in SETTINGS.ways] and told == points
    by = {(p.qp, p.way): p for p in points}
    for qp in SETTINGS.qps:
        none, plain, bias = (by[qp, way] for way in SETTINGS.ways)
        assert none.file_bytes <= plain.file_bytes <= bias.file_bytes
        assert none.psnr_y < plain.psnr_y <= bias.psnr_y + 0.01
        assert none.kbps == pytest.approx(8 * none.file_bytes / 1000 * 25 / 2)
    rates = bd_rates(points, "plain", "psnr_y")
    assert set(rates) == {"a.y4m"} and rates["a.y4m"] < 0

    def never(*arguments, **named):
        raise AssertionError("measured again")

    monkeypatch.setattr(clip_run, "measure", never)
    assert run([clip], SETTINGS, coder, network, out, told.append) == points
    with pytest.raises(InputError, match="of another run, iterations differ"):
        run([clip], replace(SETTINGS, iterations=7), coder, network, out, told.append)
    out.write_text(json.dumps({"points": [{}]}))
    with pytest.raises(InputError, match="no run of clips"):
        run([clip], SETTINGS, coder, network, out, told.append)


def test_a_clip_with_one_point_has_no_rate_and_ways_are_known():
    point = ClipPoint("a", 22, "none", 10, 0, 1.0, 30.0, 31.0, 0.1, 0.1)
    assert bd_rates([point, replace(point, way="plain")], "plain", "psnr_y") == {}
    with pytest.raises(InputError, match="found some"):
        ClipSettings("vvc", (22,), ways=("some",))
