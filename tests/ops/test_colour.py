"""Reversible colour transforms and the bounds that RGB leaves."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.ops.colour import COLOURS, forward, gamut, inverse


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("most", [255, 65535])
def test_transforms_are_undone(colour, most):
    x = np.random.default_rng(0).integers(0, most + 1, (500, 3)).astype(np.int32)
    y = forward(x, colour, np)
    np.testing.assert_array_equal(inverse(y, colour, np), x)
    np.testing.assert_array_equal(forward(jnp.asarray(x), colour, jnp), y)


def test_ycocg_of_known_colours():
    x = np.array([[255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.int32)
    expected = [[255, 0, 0], [63, 255, -127], [127, 0, 255], [63, -255, -127]]
    np.testing.assert_array_equal(forward(x, "ycocg", np), expected)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("most", [1, 3, 7])
def test_the_gamut_is_as_narrow_as_all_colours_allow(colour, most):
    """All colours of a small range against the bounds: none outside, and the second channel's are met."""
    colours = np.array(list(itertools.product(range(most + 1), repeat=3)), np.int32)
    y = forward(colours, colour, np)
    for channel in range(3):
        low, high = gamut(colour, most, [y[:, c] for c in range(channel)], np)
        assert (y[:, channel] >= low).all() and (y[:, channel] <= high).all()
    low, high = (np.broadcast_to(b, len(y)) for b in gamut(colour, most, [y[:, 0], y[:, 1]], np))
    for first, second in {tuple(pair) for pair in y[:, :2].tolist()}:
        same = (y[:, 0] == first) & (y[:, 1] == second)
        assert y[same, 2].min() == low[same][0] and y[same, 2].max() == high[same][0]
