"""The picture codec with tiny weights: every class of size, options, sections, verification."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import jaxicm
from jaxicm.bits import steps
from jaxicm.bits.container import Section, SectionKind, describe, pack, unpack
from jaxicm.codecs.image_file import SIDE_MAX, Source, scale_of, to_grey
from jaxicm.errors import CorruptFile, InputError, OptionError, UnknownWeights
from jaxicm.media.scaling import resize, scaled_size

SIZES = [(1, 1), (3, 5), (1, 200), (200, 1), (16, 16), (17, 33), (64, 64), (700, 1130)]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.parametrize("grey", [False, True], ids=["colour", "grey"])
@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_the_decoder_shows_what_the_encoder_saw(tiny_codec, photograph, size, grey):
    picture = photograph(*size)[..., 0] if grey else photograph(*size)
    for quality_q4 in (16, 16 * 50 + 7, 1600):
        made = tiny_codec._encode_at(Source.of(picture, 100, None), quality_q4, reconstruct=True)
        seen = tiny_codec.decode_detail(made.data)
        assert seen.image.shape == picture.shape
        assert seen.image.dtype == np.uint8
        np.testing.assert_array_equal(seen.values_q4, made.values_q4)
        np.testing.assert_array_equal(seen.image, made.reconstruction)
        np.testing.assert_array_equal(jaxicm.decode(made.data), seen.image)
        if min(size) >= 16:
            assert psnr(seen.image, picture) > 26


def test_a_flat_and_a_noisy_picture_round_trip(tiny_codec):
    for picture in (
        np.full((40, 56, 3), 255, np.uint8),
        np.zeros((40, 56), np.uint8),
        np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8),
    ):
        made = tiny_codec._encode_at(Source.of(picture, 100, None), 1600, reconstruct=True)
        np.testing.assert_array_equal(tiny_codec.decode(made.data), made.reconstruction)


def test_the_same_picture_always_gives_the_same_bytes(tiny_codec, photograph):
    picture = photograph(40, 56)
    assert tiny_codec.encode(picture, quality=50) == tiny_codec.encode(picture)
    assert tiny_codec.encode(picture, quality=50) == tiny_codec.encode(np.asfortranarray(picture))


@pytest.mark.parametrize("quality", [1, 25, 50.03, 100])
def test_the_estimate_is_the_size_of_the_file(tiny_codec, photograph, quality):
    for size in ((24, 40), (300, 400)):
        made = tiny_codec.encode_detail(photograph(*size), quality=quality)
        assert abs(len(made.data) - made.estimated_bits / 8) < 0.01 * made.estimated_bits / 8 + 64
        assert made.quality == round(quality * 16) / 16


def test_a_file_begins_with_what_it_is(tiny_codec, photograph):
    data = tiny_codec.encode(photograph(24, 40), quality=30)
    values = {field["name"]: field["value"] for field in describe(data)["header"]}
    assert values["weights"] == tiny_codec.info.digest[:16]
    assert (values["height"], values["width"], values["quality_q4"]) == (24, 40, 480)
    header, _ = unpack(tiny_codec.encode(photograph(24, 40)[..., 0]))
    assert header.channels == 1


def test_higher_quality_costs_more(tiny_codec, photograph):
    sizes = [len(tiny_codec.encode(photograph(128, 192), quality=q)) for q in (1, 20, 40, 60, 80, 100)]
    assert sizes == sorted(set(sizes))


def test_a_colour_profile_is_carried(tiny_codec, photograph):
    profile = bytes(range(256)) * 2
    data = tiny_codec.encode(photograph(24, 40), icc=profile)
    _, sections = unpack(data)
    assert [(s.kind, s.payload) for s in sections][1:] == [(SectionKind.ICC, profile)]
    np.testing.assert_array_equal(tiny_codec.decode(data), tiny_codec.decode(tiny_codec.encode(photograph(24, 40))))


@pytest.mark.parametrize(
    "options",
    [
        {"quality": 0.9}, {"quality": 100.1}, {"quality": -5}, {"quality": float("nan")}, {"quality": float("inf")},
        {"bpp": 0}, {"bpp": -1}, {"size_bytes": float("nan")}, {"psnr": -3}, {"quality": 50, "bpp": 1},
        {"size_bytes": 9, "psnr": 30},
    ],
    ids=str,
)  # fmt: skip
def test_bad_options_are_refused_in_one_line(tiny_codec, photograph, options):
    with pytest.raises(OptionError) as caught:
        tiny_codec.encode(photograph(24, 40), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 5, 3), np.uint8), np.zeros((5, 0), np.uint8), np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.uint16), np.zeros((4, 4, 3), np.float32), np.zeros((4,), np.uint8),
        np.zeros((1, SIDE_MAX + 1), np.uint8), [[1, 2]],
    ],
    ids=lambda a: f"{np.shape(a)}",
)  # fmt: skip
def test_what_is_no_picture_is_refused(tiny_codec, array):
    with pytest.raises(InputError):
        tiny_codec.encode(array)


def test_verification_passes_and_finds_a_wrong_symbol(tiny_codec, photograph, monkeypatch):
    picture = photograph(24, 40)
    for target in ({"quality": 50}, {"bpp": 4.0}, {"psnr": 25.0}):
        assert tiny_codec.encode(picture, verify=True, **target) == tiny_codec.encode(picture, **target)
    original = type(tiny_codec).decode_detail

    def wrong(self, data):
        result = original(self, data)
        result.values_q4[0, 0, 0] += 1
        return result

    monkeypatch.setattr(type(tiny_codec), "decode_detail", wrong)
    with pytest.raises(CorruptFile, match="verification failed"):
        tiny_codec.encode(picture, verify=True)

    def failing(self, data):
        raise CorruptFile("damaged")

    monkeypatch.setattr(type(tiny_codec), "decode_detail", failing)
    with pytest.raises(CorruptFile, match=r"verification failed.*damaged"):
        tiny_codec.encode(picture, verify=True)


def test_symbols_at_the_smallest_scale_are_not_in_the_file(tiny_codec, photograph, monkeypatch):
    pushed, skipped = [], 0

    class Recorder(steps.Encoder):
        def push(self, symbols, indices):
            pushed.append(np.asarray(indices))
            super().push(symbols, indices)

    monkeypatch.setattr(steps, "Encoder", Recorder)
    picture = photograph(128, 128)
    result = tiny_codec.encode_detail(picture, quality=1)
    quantized = tiny_codec._latents.quantize(tiny_codec._transforms.analyze(picture, 1.0), 16, (128, 128))
    for symbols, indices in zip(quantized.symbols, quantized.indices, strict=True):
        assert not symbols[indices == 0].any()
        skipped += int((indices == 0).sum())
    pushed_count = sum(len(p) for p in pushed)
    assert skipped > 0, "the test needs weights with some scales at the floor"
    assert all((p > 0).all() for p in pushed)
    assert pushed_count + skipped == result.values_q4.size


def test_headers_that_this_codec_cannot_have_made_are_refused(tiny_codec, photograph):
    header, sections = unpack(tiny_codec.encode(photograph(24, 40)))
    for change in (
        {"width": SIDE_MAX + 1},
        {"height": SIDE_MAX + 1},
        {"bit_depth": 10},
        {"flags": 3},
        {"flags": 100 << 2},
    ):
        data = pack(dataclasses.replace(header, **change), sections)
        for decode in (tiny_codec.decode, jaxicm.decode):
            with pytest.raises(CorruptFile, match="header"):
                decode(data)
    with pytest.raises(CorruptFile, match="0 latent sections"):
        tiny_codec.decode(pack(header, [Section(SectionKind.ICC, b"x")]))


def test_a_file_of_other_weights_is_refused(tiny_codec, photograph):
    header, sections = unpack(tiny_codec.encode(photograph(24, 40)))
    data = pack(dataclasses.replace(header, weights=b"8 others"), sections)
    for decode in (tiny_codec.decode, jaxicm.decode):
        with pytest.raises(UnknownWeights, match=b"8 others".hex()):
            decode(data)


def test_grey_is_the_rounded_mean_of_the_channels():
    rgb = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    expected = np.floor(rgb.astype(np.float64).sum(2) / 3 + 0.5)
    np.testing.assert_array_equal(to_grey(rgb), expected)
    assert to_grey(np.full((1, 1, 3), 255, np.uint8)) == 255


@pytest.mark.parametrize("grey", [False, True], ids=["colour", "grey"])
@pytest.mark.parametrize("scale", [99, 50, 1])
def test_a_smaller_picture_is_coded_and_shown_at_full_size(tiny_codec, photograph, scale, grey):
    picture = photograph(101, 64)[..., 0] if grey else photograph(101, 64)
    made = tiny_codec.encode_detail(picture, quality=60, scale=scale)
    seen = tiny_codec.decode_detail(made.data)
    small = resize(picture, *scaled_size(101, 64, scale))
    np.testing.assert_array_equal(
        seen.image, resize(tiny_codec.decode(tiny_codec.encode(small, quality=60, plain=False)), 101, 64)
    )
    header, _ = unpack(made.data)
    assert (header.height, header.width, scale_of(header)) == (101, 64, scale)
    assert len(made.data) <= len(tiny_codec.encode(small, quality=60, plain=False)) + 2


def test_targets_are_those_of_the_picture_that_is_shown(tiny_codec, photograph):
    picture = photograph(120, 90)
    least = len(tiny_codec.encode(picture, quality=1, scale=60))
    made = tiny_codec.encode_detail(picture, bpp=1.5 * 8 * least / (120 * 90), scale=60, effort=1, verify=True)
    assert least < len(made.data) <= 1.5 * least
    assert made.reconstruction is not None
    np.testing.assert_array_equal(made.reconstruction, tiny_codec.decode(made.data))
    best = psnr(picture, tiny_codec.decode(tiny_codec.encode(picture, quality=100, scale=60)))
    reached = tiny_codec.encode_detail(picture, psnr=best - 0.5, scale=60)
    assert psnr(picture, tiny_codec.decode(reached.data)) >= best - 0.5


@pytest.mark.parametrize("scale", [0, 101, 50.5, -3])
def test_a_scale_that_is_none_is_refused(tiny_codec, photograph, scale):
    with pytest.raises(OptionError, match="scale must be a whole number of per cent from 1 to 100"):
        tiny_codec.encode(photograph(20, 20), scale=scale)


def test_a_codec_serves_several_threads(tiny_codec, photograph):
    pictures = [photograph(60 + 31 * number, 250 - 17 * number) for number in range(6)]

    def there_and_back(number: int) -> tuple[bytes, np.ndarray]:
        data = tiny_codec.encode(pictures[number], quality=20 + 9 * number)
        return data, tiny_codec.decode(data)

    alone = [there_and_back(number) for number in range(6)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(there_and_back, [*range(6)] * 2))
    for (data, image), (expected, shown) in zip(together, alone * 2, strict=True):
        assert data == expected
        np.testing.assert_array_equal(image, shown)
