"""Clips with a fitted filter: round trips, what pays is kept, updates only where they pay, damage is named."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import jaxicm
from jaxicm.adapt.parameters import ParameterFit
from jaxicm.bits.container import Section, SectionKind, pack, unpack
from jaxicm.codecs import filter_weights, filtered_clip, plane_filter, zoo
from jaxicm.codecs.filtered_clip import PATTERNS, decode_clip, encode_clip, extract_stream, squared_error
from jaxicm.codecs.frame_qps import best_qps
from jaxicm.errors import FileFormatError, InputError, UnknownWeights
from jaxicm.media.clips import Clip
from jaxicm.media.video_codec import INTRA, DecodedClip, Stream
from jaxicm.media.yuv import PlanarFormat, frames_from_bytes, frames_to_bytes
from jaxicm.models.filter import PlaneFilterConfig
from jaxicm.models.filter_set import FilterSetConfig, initial_parameters

CONFIG = FilterSetConfig(PlaneFilterConfig(width=8, blocks=1))
FIT = ParameterFit(iterations=120, learning_rate=0.1, finishing=20, check_every=40, trials=6)


class Darker:
    """A codec that subtracts QP modulo 25 from luma and keeps chroma: a filter's last bias can undo it."""

    title, qps, chromas = "Darker", (0, 63), ("420",)

    def missing(self):
        return None

    def version(self):
        return {}

    def encode(self, frames, form, qp, structure=INTRA):
        dark = [(np.maximum(planes[0], qp % 25) - qp % 25, *planes[1:]) for planes in frames]
        return Stream(b"dark" + frames_to_bytes(dark, form), 0.0)

    def decode(self, data, form):
        return DecodedClip(frames_from_bytes(data[4:], form), 0.0)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plane_filter, "WINDOWS", ((96, 96), (160, 160)))


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> filter_weights.PlaneFilterWeights:
    path = tmp_path / "filter.safetensors"
    params = initial_parameters(CONFIG, 0)
    params["last"]["bias"] = np.asarray(params["last"]["bias"]) + np.float32(2)
    filter_weights.write(path, params, CONFIG, profile="tiny", trained_on="nothing", provenance={})
    monkeypatch.setenv("JAXICM_MODELS", str(tmp_path))
    return filter_weights.read(path)


def clip(height: int = 50, width: int = 70, count: int = 3, bits=8, seed: int = 0) -> Clip:
    form = PlanarFormat(height, width, "420", bits)
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(count):
        smooth = [rng.integers(60, 180, (-(-h // 16), -(-w // 16))) for h, w in form.shapes]
        planes = (
            np.kron(s, np.ones((16, 16)))[:h, :w] * (1 << bits - 8)
            for s, (h, w) in zip(smooth, form.shapes, strict=True)
        )
        frames.append(tuple(plane.astype(form.dtype) for plane in planes))
    return Clip(frames, form, Fraction(30000, 1001))


def same(a: Clip, b: Clip) -> bool:
    return all(np.array_equal(p, q) for x, y in zip(a.frames, b.frames, strict=True) for p, q in zip(x, y, strict=True))


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize(("height", "width", "count"), [(50, 70, 3), (33, 17, 1)])
def test_without_a_filter_the_file_shows_what_the_codec_shows(bits, height, width, count):
    source = replace(clip(height, width, count, bits), full_range=True)
    data, facts = encode_clip(source, 37, coder=Darker())
    shown = decode_clip(data, coder=Darker())
    assert (shown.form, shown.rate, shown.full_range) == (source.form, source.rate, True)
    assert not facts.filtered and facts.update_bytes == 0 and len(facts.costs) == 1
    assert facts.file_bytes == len(data) < facts.stream_bytes + 60
    stream, name = extract_stream(data)
    assert name == "vvc" and stream == Darker().encode(source.frames, source.form, 37).data


def test_the_filter_is_fitted_where_that_pays(network):
    source = clip()
    plain, _ = encode_clip(source, 37, coder=Darker())
    filtered, facts = encode_clip(source, 37, coder=Darker(), network=network)
    fitted, more = encode_clip(source, 37, coder=Darker(), network=network, fit=FIT)
    assert facts.filtered and facts.costs[1] < facts.costs[0]
    assert more.costs[:2] == facts.costs and more.costs[2] < 0.5 * more.costs[1]
    assert 0 < more.update_bytes < 60 and len(fitted) < len(filtered) + 70
    errors = [squared_error(source.frames, decode_clip(d, coder=Darker()).frames, source.form)
              for d in (plain, filtered, fitted)]  # fmt: skip
    assert errors[0] > errors[1] > errors[2]
    assert errors[:2] == list(facts.costs)
    assert errors[2] == pytest.approx(more.costs[2] - filtered_clip.lagrangian(37) * 8 * more.update_bytes)
    assert same(decode_clip(fitted, coder=Darker(), filtered=False), decode_clip(plain, coder=Darker()))


@pytest.mark.parametrize(("qp", "neighbour"), [(30, 32), (63, 61)])
def test_a_bit_is_worth_what_the_codec_pays_for_it(network, qp, neighbour):
    class Coarser(Darker):
        """Luma loses 2**(QP/6) levels; a file has 20 bytes for each step that the QP is below 70."""

        def encode(self, frames, form, qp, structure=INTRA):
            lost = round(2 ** (qp / 6) / 16)
            dark = [(np.maximum(planes[0], lost) - lost, *planes[1:]) for planes in frames]
            return Stream(b"dark" + frames_to_bytes(dark, form) + bytes(20 * (70 - qp)), 0.0)

        def decode(self, data, form):
            size = len(frames_to_bytes(source.frames, form))
            return DecodedClip(frames_from_bytes(data[4 : 4 + size], form), 0.0)

    source, coder = clip(), Coarser()
    errors = [squared_error(source.frames, coder.decode(coder.encode(source.frames, source.form, q).data, source.form)
              .frames, source.form) for q in (qp, neighbour)]  # fmt: skip
    expected = abs(errors[1] - errors[0]) / (8 * 40)
    _, facts = encode_clip(source, qp, coder=coder, network=network, fit=FIT)
    assert facts.bit_worth == pytest.approx(max(expected, filtered_clip.lagrangian(qp)))
    if qp == 30:
        assert expected > filtered_clip.lagrangian(qp)
    _, plain = encode_clip(source, qp, coder=coder, network=network)
    assert plain.bit_worth == filtered_clip.lagrangian(qp), "nothing is fitted, so nothing is coded twice"
    _, alike = encode_clip(source, qp, coder=Darker(), network=network, fit=FIT)
    assert alike.bit_worth == filtered_clip.lagrangian(qp), "files of one size tell nothing"


def test_the_filter_is_told_the_qp_of_each_frame(network):
    class Telling(Darker):
        def encode(self, frames, form, qp, structure=INTRA):
            return Stream(super().encode(frames, form, qp).data, 0.0, (37, 41, 35))

    source, coder = clip(), Telling()
    data, facts = encode_clip(source, 37, coder=coder, network=network)
    alike, _ = encode_clip(source, 37, coder=Darker(), network=network)
    assert facts.filtered and len(alike) < len(data) <= len(alike) + 4
    shown = decode_clip(data, coder=coder)
    bytes_told = len(data) - len(alike)
    error = squared_error(source.frames, shown.frames, source.form)
    assert error + filtered_clip.lagrangian(37) * 8 * bytes_told == pytest.approx(facts.costs[1])
    decoded = coder.decode(coder.encode(source.frames, source.form, 37).data, source.form).frames
    runner = plane_filter.PlaneFilterRunner(CONFIG.filter)
    for frame, qp in enumerate((37, 41, 35)):
        (alone,) = runner.apply(network.params, [decoded[frame]], source.form, [qp])
        np.testing.assert_array_equal(alone[0], shown.frames[frame][0])
    assert not same(shown, decode_clip(alike, coder=coder))
    fitted, more = encode_clip(source, 37, coder=coder, network=network, fit=FIT)
    assert more.costs[2] < more.costs[1]
    error = squared_error(source.frames, decode_clip(fitted, coder=coder).frames, source.form)
    paid = filtered_clip.lagrangian(37) * 8 * (more.update_bytes + bytes_told)
    assert error == pytest.approx(more.costs[2] - paid)


def test_a_filter_that_restores_too_much_is_told_a_lower_qp(network):
    class Telling(Darker):
        def encode(self, frames, form, qp, structure=INTRA):
            return Stream(super().encode(frames, form, qp).data, 0.0, (30, 49, 30))

    source, coder = clip(), Telling()
    decoded = coder.decode(coder.encode(source.frames, source.form, 30).data, source.form).frames
    runner, found = plane_filter.PlaneFilterRunner(CONFIG.filter), {}
    for qp in (49, 46, 43, 40, 37):
        (shown,) = runner.apply(network.params, [decoded[1]], source.form, [qp])
        found[qp] = squared_error([source.frames[1]], [shown], source.form)
    best = min(found, key=found.__getitem__)
    assert best < 49, "the case that is tested"
    told, shown = best_qps(runner, network.params, source.frames, decoded, source.form, (30, 49, 30))
    assert told[1] == best and squared_error([source.frames[1]], [shown[1]], source.form) == found[best]
    data, facts = encode_clip(source, 30, coder=coder, network=network)
    assert facts.filtered
    np.testing.assert_array_equal(decode_clip(data, coder=coder).frames[1][0], shown[1][0])


def test_a_filter_that_only_harms_is_not_named(network):
    source = clip()
    data, facts = encode_clip(source, 50, coder=Darker(), network=network)
    assert not facts.filtered and facts.costs[1] > facts.costs[0]
    assert same(decode_clip(data, coder=Darker()), source)
    dear, facts = encode_clip(source, 49, coder=Darker(), network=network, fit=replace(FIT, iterations=0, finishing=0))
    assert facts.update_bytes == 0 and SectionKind.UPDATE not in {s.kind for s in unpack(dear)[1]}


def test_a_filter_is_no_codec_of_pictures(network, tmp_path: Path):
    with pytest.raises(InputError, match="are a filter behind a conventional codec"):
        jaxicm.load(str(tmp_path / "filter.safetensors"))
    with pytest.raises(InputError, match="are no filter"):
        filter_weights.read(zoo.find("fast"))
    data, _ = encode_clip(clip(), 37, coder=Darker())
    with pytest.raises(InputError, match="holds a clip, not a picture"):
        jaxicm.decode(data)


def test_another_pattern_is_refused_and_a_missing_filter_named(network, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match="an update changes one of"):
        encode_clip(clip(), 37, coder=Darker(), network=network, fit=replace(FIT, pattern=("first/*",)))
    data, _ = encode_clip(clip(), 37, coder=Darker(), network=network)
    monkeypatch.delenv("JAXICM_MODELS")
    with pytest.raises(UnknownWeights, match="not installed"):
        decode_clip(data, coder=Darker())
    assert decode_clip(data, coder=Darker(), filtered=False).frames


def test_damage_is_named(network):
    source = clip()
    data, facts = encode_clip(source, 37, coder=Darker(), network=network, fit=FIT)
    assert facts.update_bytes
    for end in range(0, len(data), 997):
        with pytest.raises(FileFormatError):
            decode_clip(data[:end], coder=Darker())
    header, sections = unpack(data)
    by_kind = {section.kind: section.payload for section in sections}

    def packed(changes, **fields):
        kept = by_kind | changes
        return pack(replace(header, **fields), [Section(k, p) for k, p in kept.items() if p is not None])

    stream = by_kind[SectionKind.STREAM]
    for changes, fields in (
        ({SectionKind.CLIP: None}, {}),
        ({SectionKind.CLIP: b"\x09\x03\x01\x01"}, {}),
        ({SectionKind.CLIP: b"\x00\x03\x01"}, {}),
        ({SectionKind.CLIP: b"\x00\x04\x01\x01"}, {}),
        ({SectionKind.CLIP: b"\x00\x03\x00\x01"}, {}),
        ({SectionKind.STREAM: None}, {}),
        ({SectionKind.LATENT: stream}, {}),
        ({SectionKind.UPDATE: b"\x63abc"}, {}),
        ({SectionKind.UPDATE: b""}, {}),
        ({SectionKind.UPDATE: by_kind[SectionKind.UPDATE] + b"more"}, {}),
        ({}, {"weights": filtered_clip.NO_WEIGHTS}),
        ({}, {"flags": 2}),
        ({}, {"bit_depth": 12}),
        ({}, {"codec": "image"}),
    ):
        with pytest.raises(FileFormatError):
            decode_clip(packed(changes, **fields), coder=Darker())


def test_patterns_name_leaves_of_the_networks(network):
    from jaxicm.adapt.parameter_code import select

    assert [len(select(network.params, pattern)) for pattern in PATTERNS] == [4, 4, 8, 2, 5]
