"""Plain files of the lossy codec: drawings and flat pictures without loss where that costs less, photographs never."""

from dataclasses import replace

import numpy as np
import pytest

import jaxicm
from jaxicm.bits.container import unpack
from jaxicm.codecs import lossless
from jaxicm.codecs.image_result import NO_VALUES, EncodeResult
from jaxicm.codecs.plain import choose, plain_result
from jaxicm.errors import TargetError


def drawing(height: int = 96, width: int = 160, grey: bool = False) -> np.ndarray:
    """Draw boxes of few colours, some of them one pixel wide."""
    rng = np.random.default_rng(0)
    picture = np.full((height, width, 3), 240, np.uint8)
    for _ in range(40):
        top, left = rng.integers(height), rng.integers(width)
        tall, wide = rng.choice([1, 2, 9, 30], 2)
        picture[top : top + tall, left : left + wide] = rng.choice([0, 60, 130, 255], 3)
    return np.ascontiguousarray(picture[..., 0]) if grey else picture


@pytest.mark.parametrize("grey", [False, True])
def test_a_drawing_is_kept_without_loss(tiny_codec, grey):
    picture = drawing(grey=grey)
    made = tiny_codec.encode_detail(picture, quality=50, verify=True)
    assert made.plain and unpack(made.data)[0].codec == lossless.CODEC_NAME
    for shown in (jaxicm.decode(made.data), tiny_codec.decode(made.data), made.reconstruction):
        np.testing.assert_array_equal(shown, picture)
    learned = tiny_codec.encode_detail(picture, quality=50, plain=False)
    assert not learned.plain and len(learned.data) > len(made.data)


def test_a_flat_picture_takes_a_few_bytes(tiny_codec):
    for size in ((1, 1), (16, 16), (500, 700)):
        made = tiny_codec.encode_detail(np.full((*size, 3), 77, np.uint8), quality=20, icc=b"profile")
        assert made.plain and len(made.data) < 60
        assert b"profile" in [section.payload for section in unpack(made.data)[1]]


def test_a_photograph_is_not_looked_at_twice(tiny_codec, photograph):
    picture = photograph(120, 160)
    assert plain_result(picture, None) is None
    assert not tiny_codec.encode_detail(picture, quality=50).plain


def test_a_picture_shown_larger_than_it_is_coded_is_learned(tiny_codec):
    assert not tiny_codec.encode_detail(drawing(), quality=50, scale=50).plain


def test_targets(tiny_codec):
    picture = drawing()
    size = len(tiny_codec.encode(picture))
    assert tiny_codec.encode_detail(picture, psnr=95).plain, "no quality has it"
    with pytest.raises(TargetError):
        tiny_codec.encode_detail(picture, psnr=95, plain=False)
    assert tiny_codec.encode_detail(picture, size_bytes=size).plain
    assert tiny_codec.encode_detail(picture, bpp=8 * size / (96 * 160)).plain
    with pytest.raises(TargetError):
        tiny_codec.encode_detail(picture, size_bytes=size - 1)


def test_the_error_of_the_learned_picture_is_weighed_against_its_bytes():
    image = np.zeros((10, 10, 3), np.uint8)
    plain = EncodeResult(bytes(200), 100.0, image, {}, 0.0, NO_VALUES, plain=True)
    learned = replace(plain, data=bytes(100), reconstruction=image + np.uint8(10), plain=False)

    def chosen(made: EncodeResult, worth: float | None, target: dict[str, float]) -> bool:
        return choose(plain, lambda: made, target, lambda _: worth).plain

    # 100 bytes more are 8 bits a pixel, an error of 10 levels is a squared error of 100.
    assert chosen(learned, 12.0, {"quality": 50})
    assert not chosen(learned, 13.0, {"quality": 50})
    assert not chosen(learned, None, {"quality": 50}), "it was made for another distortion"
    assert not chosen(learned, 12.0, {"psnr": 28}), "both reach it, and it is smaller"
    assert chosen(replace(learned, data=bytes(200)), None, {"psnr": 28})
    assert choose(None, lambda: learned, {}, lambda _: 1.0) is learned
