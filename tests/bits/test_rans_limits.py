"""What a decoder refuses so that damaged data cannot keep it busy."""

import numpy as np
import pytest

from jaxicm.bits.lane_count import LANE_SYMBOLS, MAX_LANES, choose_lanes, most_symbols
from jaxicm.bits.rans import Decoder, Encoder
from jaxicm.bits.tables import gaussian_tables, tables_from_pmfs
from jaxicm.errors import CorruptFile

TABLES = gaussian_tables(np.array([0.2, 3.0]))


def test_the_default_lanes_hold_the_symbols():
    for symbols in (0, 1, 65_535, 65_536, 131_071, 131_072, 10**6, 2**25, 2**26, 10**9):
        for size_bytes in (0, 10**4, 10**8):
            assert symbols <= most_symbols(choose_lanes(size_bytes, symbols))
    assert most_symbols(MAX_LANES) == float("inf")


def test_too_many_symbols_for_the_lanes_are_refused_on_both_sides():
    encoder, zeros = Encoder(TABLES), np.zeros(LANE_SYMBOLS, np.int32)
    encoder.push(zeros, np.zeros(LANE_SYMBOLS, np.uint8))
    data = encoder.finish(lanes=1)
    decoder = Decoder(data, TABLES)
    np.testing.assert_array_equal(decoder.pull(np.zeros(LANE_SYMBOLS, np.uint8)), zeros)
    with pytest.raises(CorruptFile, match="too many symbols for 1 lanes"):
        decoder.pull(np.zeros(1, np.uint8))
    encoder.push(zeros[:1], np.zeros(1, np.uint8))
    with pytest.raises(ValueError, match="65536"):
        encoder.finish(lanes=1)


def test_reading_on_behind_the_end_is_noticed_in_the_same_pull():
    # From a state of 1 slot 1 is decoded. Where the first entry has one slot, that is the second, and leads to state 0,
    # through which no encoder passes. (Where it has two, the state stays 1, and the limit above must do.)
    tables = tables_from_pmfs([(np.array([1e-9, 1.0, 1.0]), 0, 2.0**-11)])
    assert tables.cdf[0, 1] == 1
    encoder = Encoder(tables)
    encoder.push(np.ones(10, np.int32), np.zeros(10, np.uint8))
    decoder = Decoder(encoder.finish(lanes=4), tables)
    decoder.pull(np.zeros(10, np.uint8))
    with pytest.raises(CorruptFile, match="too early"):
        decoder.pull(np.zeros(1000, np.uint8))
