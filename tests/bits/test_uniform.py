"""Uniform symbols: complete, evenly paid, and back from a stream."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxicm.bits.cumulative import TOTAL
from jaxicm.bits.intervals import IntervalDecoder, IntervalEncoder
from jaxicm.bits.uniform import Uniform


@given(st.integers(1, 1 << 17), st.integers(-1000, 1000), st.integers(0, 300), st.integers(0, 2**32))
def test_symbols_come_back_at_the_cost_of_their_number(count, low, n, seed):
    symbols = np.random.default_rng(seed).integers(low, low + count, n)
    model = Uniform(n, low, low + count - 1)
    encoder = IntervalEncoder()
    encoder.push(*model.interval(symbols))
    data = encoder.finish()
    assert len(data) < n * (np.log2(count) + 0.2) / 8 + 32
    decoder = IntervalDecoder(data)
    np.testing.assert_array_equal(decoder.pull(model), symbols)
    decoder.finish()


@pytest.mark.parametrize("count", [1, 2, 3, 255, 256, 511, 1 << 17])
def test_symbols_share_all_slots(count):
    start, frequency = Uniform(count, 0, count - 1).interval(np.arange(count))
    assert start[0] == 0 and frequency.min() >= 1
    np.testing.assert_array_equal(np.cumsum(frequency), [*start[1:], TOTAL])


def test_bounds_are_checked():
    with pytest.raises(ValueError, match="bounds"):
        Uniform(1, 3, 2)
    with pytest.raises(ValueError, match="outside"):
        Uniform(1, 0, 3).interval(np.array([4]))
