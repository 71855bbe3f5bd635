"""Input scales: the sizes of the recipe, and its own size left alone."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jaxicm.media.scaling import resize, scaled_size


@given(height=st.integers(1, 5000), width=st.integers(1, 5000))
def test_sizes_are_those_of_compressai_vision(height, width):
    assert scaled_size(height, width, 100) == (height, width)
    assert scaled_size(height, width, 75) == (math.ceil(height * 3 / 8) * 2, math.ceil(width * 3 / 8) * 2)
    assert scaled_size(height, width, 50) == (math.ceil(height / 4) * 2, math.ceil(width / 4) * 2)
    assert scaled_size(height, width, 25) == (math.ceil(height / 8) * 2, math.ceil(width / 8) * 2)


def test_a_picture_of_the_size_wanted_is_left_alone():
    pixels = np.zeros((5, 7, 3), np.uint8)
    assert resize(pixels, 5, 7) is pixels


def test_grey_and_colour_are_filtered_alike():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    small = resize(pixels, 10, 16)
    assert small.shape == (10, 16, 3)
    np.testing.assert_array_equal(resize(pixels[..., 1], 10, 16), small[..., 1])
    expected = Image.fromarray(pixels).resize((16, 10), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(small, np.asarray(expected))
