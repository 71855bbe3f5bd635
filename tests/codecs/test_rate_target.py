"""Targets of rate, size and PSNR: kept, nearly used up, and refused with what can be had."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxicm.codecs.rate_target import search
from jaxicm.errors import TargetError

STEP = 1.06
"""Two neighbouring files among 1585 qualities differ by less than this in these tests' pictures."""


@pytest.fixture(scope="module")
def picture(photograph) -> np.ndarray:
    return photograph(160, 200)


@pytest.fixture(scope="module")
def sizes(tiny_codec, picture) -> tuple[int, int]:
    return tuple(len(tiny_codec.encode(picture, quality=q)) for q in (1, 100))  # type: ignore[return-value]


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("name", ["bpp", "size_bytes"])
def test_a_rate_is_kept_and_nearly_used_up(tiny_codec, picture, sizes, name, share):
    limit = sizes[0] + share * (sizes[1] - sizes[0])
    target = limit if name == "size_bytes" else 8 * limit / (160 * 200)
    result = tiny_codec.encode_detail(picture, **{name: target})
    assert limit / STEP < len(result.data) <= limit
    np.testing.assert_array_equal(tiny_codec.decode_detail(result.data).values_q4, result.values_q4)
    # The quality reported is the one that gives this file.
    assert tiny_codec.encode(picture, quality=result.quality) == result.data


def test_the_exact_size_of_a_file_is_reached(tiny_codec, picture, sizes):
    for quality, size in zip((1, 100), sizes, strict=True):
        result = tiny_codec.encode_detail(picture, size_bytes=size)
        assert len(result.data) == size
        assert result.quality >= quality
    assert tiny_codec.encode_detail(picture, size_bytes=10 * sizes[1]).quality == 100


@pytest.mark.parametrize("grey", [False, True])
def test_a_psnr_is_reached_with_no_more_than_needed(tiny_codec, picture, grey):
    picture = picture[..., 0] if grey else picture

    def psnr(data: bytes) -> float:
        return 10 * np.log10(255**2 / np.mean((tiny_codec.decode(data).astype(float) - picture) ** 2))

    low, high = (psnr(tiny_codec.encode(picture, quality=q)) for q in (1, 100))
    for share in (0.2, 0.8):
        target = low + share * (high - low)
        result = tiny_codec.encode_detail(picture, psnr=target)
        assert target <= psnr(result.data) < target + 0.1
    assert tiny_codec.encode_detail(picture, psnr=low - 1).quality == 1


def test_what_cannot_be_reached_is_refused_with_what_can(tiny_codec, picture, sizes):
    for options in ({"size_bytes": sizes[0] - 1}, {"bpp": 8 * (sizes[0] - 1) / 32000}):
        with pytest.raises(TargetError, match=f"{sizes[0]} bytes") as caught:
            tiny_codec.encode(picture, **options)
        assert "\n" not in str(caught.value)
    with pytest.raises(TargetError, match="quality 100 gives") as caught:
        tiny_codec.encode(picture, psnr=90)
    best = float(re.search(r"gives ([\d.]+) dB", str(caught.value))[1])  # type: ignore[index]
    tiny_codec.encode(picture, psnr=best - 0.01)


@given(st.integers(0, 2**32 - 1), st.integers(31, 10_000), st.integers(30, 10_000), st.booleans())
def test_any_curve_is_searched_in_few_trials_and_the_limit_kept(seed, largest, limit, ordered):
    # numpy draws the 1585 sizes: hypothesis takes too long for so many on a busy machine
    curve, tried = np.random.default_rng(seed).integers(30, largest, 1585), []
    if ordered:
        curve.sort()

    def attempt(quality_q4: int, *, reconstruct: bool):
        assert not reconstruct
        tried.append(quality_q4)
        return SimpleNamespace(data=bytes(int(curve[quality_q4 - 16])))

    picture = np.zeros((10, 10, 3), np.uint8)
    if curve[0] > limit:
        with pytest.raises(TargetError):
            search(attempt, "size_bytes", limit, picture)
        return
    found = len(search(attempt, "size_bytes", limit, picture).data)
    assert found <= limit
    assert len(tried) <= 18
    if ordered:
        assert found >= 0.9 * curve[curve <= limit].max()
