"""Conventional codecs through Pillow: real files, and never fewer bytes than asked for."""

import io

import numpy as np
import pytest
from PIL import Image

from jaxicm.errors import OptionError
from jaxicm.evaluate.anchors import ANCHORS, at_size, decode_anchor, encode_anchor, smallest_not_below
from jaxicm.evaluate.metrics import psnr


def picture() -> np.ndarray:
    y, x, c = np.mgrid[0:64, 0:96, 0:3]
    noise = np.random.default_rng(0).integers(-12, 13, (64, 96, 3))
    return np.clip(128 + 80 * np.sin(x / 9.0 + c) * np.cos(y / 13.0) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", ANCHORS)
def test_an_anchor_makes_a_file_of_its_format_that_decodes(name):
    data = encode_anchor(name, picture(), 80)
    assert Image.open(io.BytesIO(data)).format == ANCHORS[name].format
    assert psnr(decode_anchor(data), picture()) > 24


@pytest.mark.parametrize("name", ANCHORS)
def test_a_grey_picture_comes_back_grey(name):
    assert decode_anchor(encode_anchor(name, picture()[..., 0], 50), grey=True).shape == (64, 96)


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_the_file_nearest_from_above_is_found(name):
    sizes = [len(encode_anchor(name, picture(), setting)) for setting in range(1, 101)]
    target = (min(sizes) + max(sizes)) // 2
    setting, data = at_size(name, picture(), target)
    assert len(data) >= target
    assert len(encode_anchor(name, picture(), setting - 1)) < target
    assert encode_anchor(name, picture(), setting) == data


@pytest.mark.parametrize("target", range(-1, 12))
def test_bisection_equals_a_search_through_all_settings(target):
    sizes = [0, 0, 1, 3, 3, 4, 9]
    setting, data = smallest_not_below(lambda index: b"x" * sizes[index], (0, 6), target)
    expected = next((index for index, size in enumerate(sizes) if size >= target), 6)
    assert (setting, len(data)) == (expected, sizes[expected])


def test_unknown_names_and_settings_are_refused():
    with pytest.raises(OptionError, match="unknown anchor 'gif'"):
        encode_anchor("gif", picture(), 50)
    with pytest.raises(OptionError, match="unknown anchor"):
        at_size("gif", picture(), 50)
    with pytest.raises(OptionError, match="from 1 to 100, got 101"):
        encode_anchor("jpeg", picture(), 101)
