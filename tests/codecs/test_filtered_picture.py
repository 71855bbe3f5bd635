"""Pictures with a filter for each block: round trips, what pays is kept, only what is used runs, damage is named."""

import functools
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jaxicm
from jaxicm.bits.container import Section, SectionKind, pack, unpack
from jaxicm.codecs import filter_weights, filtered_picture, plane_filter, zoo
from jaxicm.codecs.filter_weights import PlaneFilterWeights
from jaxicm.codecs.filtered_clip import NO_WEIGHTS, encode_clip, lagrangian
from jaxicm.codecs.filtered_picture import decode_picture, describe, encode_picture, extract_stream
from jaxicm.codecs.weights import read_info
from jaxicm.errors import CorruptFile, FileFormatError, InputError, OptionError, UnknownWeights
from jaxicm.media.clips import Clip
from jaxicm.media.ffmpeg import FfmpegCodec
from jaxicm.media.video_codec import INTRA, DecodedClip, Stream
from jaxicm.media.yuv import PlanarFormat, frames_from_bytes, frames_to_bytes, to_pixels, to_planes
from jaxicm.models.filter import PlaneFilter, PlaneFilterConfig, initial_parameters
from jaxicm.models.filter_set import FilterSetConfig

CONFIG = FilterSetConfig(PlaneFilterConfig(width=4, blocks=1), count=2)
STEP = 12


class Uneven:
    """A codec that darkens luma by `STEP` on the left and brightens it on the right: a filter's last bias undoes it."""

    title, qps, chromas = "Uneven", (0, 63), ("420",)

    def missing(self):
        return None

    def version(self):
        return {}

    def encode(self, frames, form, qp, structure=INTRA):
        change = np.where(np.arange(form.width) < 64, -STEP, STEP)
        coded = [(np.clip(planes[0] + change, 0, 255).astype(np.uint8), *planes[1:]) for planes in frames]
        return Stream(b"uneven" + frames_to_bytes(coded, form), 0.25)

    def decode(self, data, form):
        return DecodedClip(frames_from_bytes(data[6:], form), 0.5)


class Perfect(Uneven):
    """A codec that loses nothing."""

    def encode(self, frames, form, qp, structure=INTRA):
        return Stream(b"uneven" + frames_to_bytes(frames, form), 0.25)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plane_filter, "WINDOWS", ((96, 96), (160, 192)))


@functools.cache
def identity() -> tuple[dict, float]:
    """Make a filter that does nothing, and measure what luma gains in levels at QP 32 where its last bias is 1."""
    params = jax.tree.map(np.asarray, initial_parameters(CONFIG.filter, 0))
    moved = params | {"last": params["last"] | {"bias": np.array([1, 1, 1, 1, 0, 0], np.float32)}}
    run = jax.jit(lambda p, *planes: PlaneFilter(CONFIG.filter).apply({"params": p}, *planes))
    luma, _ = run(moved, np.zeros((1, 16, 16, 1)), np.zeros((1, 8, 8, 2)), np.full(1, 32.0))
    return params, 255 * float(luma[0, 8, 8, 0])


def write(folder: Path, steps=(STEP, -STEP), name: str = "filters") -> PlaneFilterWeights:
    """Make filters that add to luma what their last bias says."""
    config, (start, unit) = replace(CONFIG, count=len(steps)), identity()
    params = jax.tree.map(lambda leaf: np.stack([leaf] * len(steps)) if len(steps) > 1 else leaf, start)
    bias = np.zeros((len(steps), 6), np.float32)
    bias[:, :4] = np.array(steps)[:, None] / unit
    params["last"]["bias"] = bias if len(steps) > 1 else bias[0]
    path = folder / f"{name}.safetensors"
    filter_weights.write(path, params, config, profile="tiny", trained_on="nothing", provenance={})
    return filter_weights.read(path)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlaneFilterWeights:
    monkeypatch.setenv("JAXICM_MODELS", str(tmp_path))
    return write(tmp_path)


def picture(height: int = 70, width: int = 128, grey: bool = False) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    luma = 128 + 50 * np.sin(x / 17) * np.cos(y / 11)
    rgb = np.stack([luma, luma + 10 * np.sin(y / 9), luma], axis=2)
    return np.round(rgb[..., 0] if grey else rgb).astype(np.uint8)


def mean_square(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.square(a.astype(float) - b).mean())


def test_the_file_has_the_qp_that_the_encoder_chose(network):
    class Finer(Uneven):
        def encode(self, frames, form, qp, structure=INTRA):
            return Stream(super().encode(frames, form, qp).data, 0.25, (qp - 3,))

    pixels = picture()
    data, facts = encode_picture(pixels, 32, coder=Finer(), network=network, block=64)
    told, _ = encode_picture(pixels, 32, coder=Uneven(), network=network, block=64)
    assert facts.filtered and describe(data)["qp"] == 29 and describe(told)["qp"] == 32 and len(data) == len(told)
    found = decode_picture(data, coder=Finer())
    np.testing.assert_array_equal(found, facts.pixels)
    assert not np.array_equal(found, decode_picture(told, coder=Finer()))
    lowest, _ = encode_picture(pixels, 1, coder=Finer())
    assert describe(lowest)["qp"] == 0


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 1), (33, 47), (70, 128)])
def test_without_filters_the_file_shows_what_the_codec_shows(height, width, grey):
    pixels = picture(height, width, grey)
    data, facts = encode_picture(pixels, 32, coder=Uneven())
    assert not facts.filtered and list(facts.costs) == ["none"]
    assert facts.file_bytes == len(data) <= facts.stream_bytes + 34
    stream, name = extract_stream(data)
    form = PlanarFormat(height, width)
    (shown,) = Uneven().decode(stream, form).frames
    found = decode_picture(data, coder=Uneven())
    assert name == "vvc" and found.shape == pixels.shape and found.dtype == np.uint8
    np.testing.assert_array_equal(found, to_pixels(shown, 8, grey=grey))
    np.testing.assert_array_equal(found, facts.pixels)
    assert unpack(data)[0].weights == NO_WEIGHTS
    assert facts.timings_s["coder"] == 0.75


@pytest.mark.parametrize("grey", [False, True])
def test_each_block_has_the_filter_that_helps_it(network, grey):
    pixels = picture(grey=grey)
    plain, _ = encode_picture(pixels, 32, coder=Uneven())
    data, facts = encode_picture(pixels, 32, coder=Uneven(), network=network, block=64)
    np.testing.assert_array_equal(facts.indices, [[1, 2], [1, 2]])
    assert (facts.block, facts.filtered) == (64, True)
    assert facts.costs["blocks"] < facts.costs["picture"] and facts.costs["blocks"] < facts.costs["none"]
    assert facts.map_bytes <= 4 and len(data) <= len(plain) + facts.map_bytes + 6
    found = decode_picture(data, coder=Uneven())
    np.testing.assert_array_equal(found, facts.pixels)
    errors = [mean_square(pixels, shown) for shown in (decode_picture(plain, coder=Uneven()), found)]
    assert errors[0] > 0.9 * STEP**2 and errors[1] < 0.25 * errors[0]
    np.testing.assert_array_equal(
        decode_picture(data, coder=Uneven(), filtered=False), decode_picture(plain, coder=Uneven())
    )
    # Away from the border both halves are as the codec got them.
    luma, wanted = to_planes(found, "420", 8)[0], to_planes(pixels, "420", 8)[0]
    assert np.abs(luma.astype(int) - wanted)[:, np.abs(np.arange(128) - 64) > 6].max() <= 2


def test_the_cost_is_that_of_the_file(network):
    pixels = picture(grey=True)
    data, facts = encode_picture(pixels, 32, coder=Uneven(), network=network, block=64)
    error = np.square(pixels.astype(float) - decode_picture(data, coder=Uneven())).sum()
    assert facts.costs["blocks"] == pytest.approx(error + lagrangian(32) * 8 * len(data))


def test_one_filter_for_the_whole_picture(network):
    pixels = picture(40, 60)
    data, facts = encode_picture(pixels, 32, coder=Uneven(), network=network, block=0)
    assert (facts.block, facts.indices.tolist(), facts.map_bytes) == (0, [[1]], 2)
    again, same = encode_picture(pixels, 32, coder=Uneven(), network=network, block=128)
    assert again == data and same.block == 0  # blocks are not coded where they are all alike
    assert mean_square(decode_picture(data, coder=Uneven()), pixels) < 1


def test_a_filter_that_does_not_pay_is_not_named(network):
    pixels = picture()
    data, facts = encode_picture(pixels, 32, coder=Perfect(), network=network, block=32)
    assert not facts.filtered and set(facts.costs) >= {"none", "picture"}
    assert data == encode_picture(pixels, 32, coder=Perfect())[0]
    # A gain of a level over four pixels is not worth the bytes that it costs.
    tiny, facts = encode_picture(picture(2, 2), 60, coder=Uneven(), network=network, block=32)
    assert not facts.filtered and tiny == encode_picture(picture(2, 2), 60, coder=Uneven())[0]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 90), (33, 67), (64, 129)])
def test_all_sizes_come_back_as_the_encoder_saw_them(network, height, width):
    for grey in (False, True):
        data, facts = encode_picture(picture(height, width, grey), 0, coder=Uneven(), network=network, block=32)
        np.testing.assert_array_equal(decode_picture(data, coder=Uneven()), facts.pixels)


def test_only_filters_that_the_map_uses_run(network, monkeypatch: pytest.MonkeyPatch):
    calls = []
    apply = plane_filter.PlaneFilterRunner.apply

    def counted(self, params, *arguments):
        calls.append(float(params["last"]["bias"][0]))
        return apply(self, params, *arguments)

    monkeypatch.setattr(plane_filter.PlaneFilterRunner, "apply", counted)
    data, _ = encode_picture(picture(40, 60), 32, coder=Uneven(), network=network)
    assert len(calls) == 2
    calls.clear()
    decode_picture(data, coder=Uneven())
    assert len(calls) == 1 and calls[0] > 0
    calls.clear()
    decode_picture(data, coder=Uneven(), filtered=False)
    assert not calls


def test_a_set_of_one_is_switched_block_by_block(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JAXICM_MODELS", str(tmp_path))
    one = write(tmp_path, (STEP,))
    data, facts = encode_picture(picture(), 32, coder=Uneven(), network=one, block=64)
    np.testing.assert_array_equal(facts.indices, [[1, 0], [1, 0]])
    np.testing.assert_array_equal(decode_picture(data, coder=Uneven()), facts.pixels)


def test_the_public_interface_decodes_it(network, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(filtered_picture, "default_codec", lambda name: Uneven())
    data, facts = encode_picture(picture(), 32, coder=Uneven(), network=network, block=64, icc=b"profile")
    np.testing.assert_array_equal(jaxicm.decode(data), facts.pixels)
    assert {s.kind: s.payload for s in unpack(data)[1]}[SectionKind.ICC] == b"profile"
    assert describe(data) == {"coder": "vvc", "qp": 32, "filter": network.info.digest[:16], "block": 64}


def test_mistakes_are_named(network, tmp_path):
    with pytest.raises(OptionError, match="a block has a side of 0, 32, 64"):
        encode_picture(picture(), 32, coder=Uneven(), block=48)
    for wrong in (picture().astype(np.float32), np.zeros((0, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)):
        with pytest.raises(InputError):
            encode_picture(wrong, 32, coder=Uneven())


def test_other_filters_are_refused(network, tmp_path, monkeypatch: pytest.MonkeyPatch):
    data, _ = encode_picture(picture(), 32, coder=Uneven(), network=network, block=64)
    other = write(tmp_path, (STEP, -STEP, 1), "other")
    with pytest.raises(UnknownWeights, match="not with other"):
        decode_picture(data, coder=Uneven(), network=other)
    monkeypatch.delenv("JAXICM_MODELS")
    with pytest.raises(UnknownWeights, match="not installed"):
        decode_picture(data, coder=Uneven())
    assert decode_picture(data, coder=Uneven(), network=network).shape == (70, 128, 3)
    assert extract_stream(data)[0].startswith(b"uneven")


def test_damage_is_named(network):
    data, _ = encode_picture(picture(), 32, coder=Uneven(), network=network, block=64)
    for end in range(0, len(data), 997):
        with pytest.raises(FileFormatError):
            decode_picture(data[:end], coder=Uneven())
    header, sections = unpack(data)
    by_kind = {section.kind: section.payload for section in sections}
    chosen, stream = by_kind[SectionKind.MAP], by_kind[SectionKind.STREAM]
    lossy = read_info(zoo.find("fast")).digest

    def packed(changes, fields):
        kept = by_kind | changes
        return pack(replace(header, **fields), [Section(k, p) for k, p in kept.items() if p is not None])

    for changes, fields in (
        ({SectionKind.MAP: None}, {}),
        ({SectionKind.MAP: b""}, {}),
        ({SectionKind.MAP: b"\x09" + chosen[1:]}, {}),
        ({SectionKind.MAP: chosen + b"more"}, {}),
        ({SectionKind.MAP: chosen[:1] + b"\0"}, {}),
        ({SectionKind.STREAM: None}, {}),
        ({SectionKind.STREAM: stream[:-1]}, {}),
        ({SectionKind.STREAM: stream + stream[6:]}, {}),
        ({SectionKind.LATENT: stream}, {}),
        ({}, {"weights": NO_WEIGHTS}),
        ({}, {"flags": 3}),
        ({}, {"bit_depth": 10}),
        ({}, {"quality_q4": 33 * 16 + 1}),
        ({}, {"height": 20_000}),
        ({}, {"codec": "filtered"}),
    ):
        with pytest.raises(CorruptFile):
            decode_picture(packed(changes, fields), coder=Uneven())
    with pytest.raises(CorruptFile, match="weights that are no filter"):
        decode_picture(packed({}, {"weights": bytes.fromhex(lossy)[:8]}), coder=Uneven())


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> tuple[bytes, PlaneFilterWeights]:
    network = write(tmp_path_factory.mktemp("filters"))
    return encode_picture(picture(), 32, coder=Uneven(), network=network, block=32)[0], network


@given(st.binary(max_size=12))
def test_a_garbled_map_is_refused_or_read(good, payload):
    data, network = good
    header, sections = unpack(data)
    changed = [Section(s.kind, payload if s.kind == SectionKind.MAP else s.payload) for s in sections]
    try:
        shown = decode_picture(pack(header, changed), coder=Uneven(), network=network)
    except CorruptFile:
        return
    assert shown.shape == (70, 128, 3)


def test_a_clip_is_refused_helpfully():
    form = PlanarFormat(20, 30)
    clip = Clip([to_planes(picture(20, 30), "420", 8)], form, Fraction(25))
    data, _ = encode_clip(clip, 32, coder=Uneven())
    with pytest.raises(InputError, match=r"holds a clip, not a picture; decode it with `jaxicm decode FILE CLIP\.mkv`"):
        jaxicm.decode(data)
    with pytest.raises(CorruptFile, match="no filtered picture"):
        decode_picture(data)


def test_vvc_itself(network):
    coder = FfmpegCodec("vvc", "faster")
    if reason := coder.missing():
        pytest.skip(reason)
    pixels = picture(51, 37)
    data, facts = encode_picture(pixels, 30, coder=coder, network=network, block=32)
    found = decode_picture(data, coder=coder)
    np.testing.assert_array_equal(found, facts.pixels)
    assert mean_square(found, pixels) < 60
    (shown,) = coder.decode(extract_stream(data)[0], PlanarFormat(51, 37)).frames
    assert facts.filtered or np.array_equal(to_pixels(shown, 8), found)
