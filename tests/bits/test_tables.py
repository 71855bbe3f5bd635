"""Integer probability tables against brute force, scipy and sums written out."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from jaxicm.bits.tables import Tables, gaussian_tables, quantize_pmf, tables_from_pmfs
from jaxicm.errors import CorruptFile

GOOD = {
    "cdf": np.array([[0, 4000, 4096, 4096], [0, 1, 2, 4096]]),
    "size": np.array([2, 3]),
    "offset": np.array([0, -1]),
}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=300).filter(lambda p: sum(p) > 0))
def test_frequencies_are_positive_and_sum_exactly(pmf):
    frequency = quantize_pmf(np.array(pmf))
    assert frequency.min() >= 1
    assert frequency.sum() == 4096


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda p: sum(p) > 0))
def test_no_other_frequencies_cost_less(pmf):
    p = np.array(pmf) / sum(pmf)
    best = min(-float(p @ np.log2(f)) for f in itertools.product(range(1, 31), repeat=3) if sum(f) == 32)
    assert -float(p @ np.log2(quantize_pmf(p, 5))) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("pmf", [[], [[1.0]], [0.0, 0.0], [-0.1, 1.1], [math.nan], [math.inf, 1], np.ones(4097)])
def test_bad_probabilities_are_refused(pmf):
    with pytest.raises(ValueError, match="probabilities"):
        quantize_pmf(np.array(pmf))


def test_gaussian_tables_follow_the_normal_distribution():
    scales = np.exp(np.linspace(np.log(0.11), np.log(64), 20))
    tables = gaussian_tables(scales, tail_mass=1e-3)
    for t, scale in enumerate(scales):
        size, low = tables.size[t] - 1, tables.offset[t]
        assert low == -(size - 1) // 2
        edges = (np.arange(low, low + size + 1) - 0.5) / scale
        exact = np.append(np.diff(norm.cdf(edges)), 2 * norm.sf(edges[-1]))
        assert exact[-1] <= 1e-3
        assert size == 1 or 2 * norm.sf(edges[-2]) > 1e-3
        frequency = np.diff(tables.cdf[t].astype(int))[: size + 1]
        np.testing.assert_allclose(frequency / 4096, exact / exact.sum(), atol=2 / 4096)
        assert np.sum(exact * (np.log2(exact + 1e-300) - np.log2(frequency / 4096))) < 0.02


def test_tables_from_pmfs_keep_offset_order_and_tail():
    tables = tables_from_pmfs([(np.array([3.0, 1.0]), -4, 0.5), (np.array([1.0]), 9, 0.0)])
    assert tables.cdf.tolist() == [[0, 1536, 2048, 4096], [0, 4095, 4096, 4096]]
    assert tables.size.tolist() == [3, 2]
    assert tables.offset.tolist() == [-4, 9]
    with pytest.raises(ValueError, match="tail mass"):
        tables_from_pmfs([(np.array([1.0]), 0, 1.0)])


def test_cost_is_the_ideal_code_length_with_escapes():
    tables = Tables(**GOOD)
    symbols, indices = np.array([0, 5, -1, -3, 0, 1]), np.array([0, 0, 1, 1, 1, 1])
    #        0: slots   5: escape, d=4: 2 low bits   -1, -3: escape, d=1: 1 low bit   0   1: escape, d=0
    escape = math.log2(4096 / 96) + 6, math.log2(4096 / 4094) + 4, math.log2(4096 / 4094) + 2
    expected = math.log2(4096 / 4000) + escape[0] + 12 + escape[1] + 12 + escape[2]
    assert tables.cost_bits(symbols, indices) == pytest.approx(expected, abs=1e-9)
    assert tables.cost_bits(np.zeros(0, np.int32), np.zeros(0, np.uint8)) == 0


def test_arrays_round_trip():
    tables = gaussian_tables(np.array([0.3, 3.0]))
    again = Tables.from_arrays(tables.to_arrays())
    assert all(
        np.array_equal(a, b) for a, b in zip(tables.to_arrays().values(), again.to_arrays().values(), strict=True)
    )
    assert tables.to_arrays()["cdf"].shape == (tables.size.sum(),), "only what is used is stored"
    older = {"cdf": tables.cdf, "size": tables.size, "offset": tables.offset}
    np.testing.assert_array_equal(Tables.from_arrays(older).cdf, tables.cdf)
    with pytest.raises(CorruptFile, match="size missing"):
        Tables.from_arrays({"cdf": tables.cdf, "offset": tables.offset})


@pytest.mark.parametrize(
    "change",
    [
        {"cdf": np.array([[0, 4000, 4096, 4096], [0, 2, 2, 4096]])},
        {"cdf": np.array([[0, 4000, 4095, 4095], [0, 1, 2, 4096]])},
        {"cdf": np.array([[1, 4000, 4096, 4096], [0, 1, 2, 4096]])},
        {"cdf": np.array([[0, 4000, 3000, 4096], [0, 1, 2, 4096]])},
        {"cdf": np.array([[0, 4000, 4096, 70000], [0, 1, 2, 4096]])},
        {"cdf": np.array([[0.0, 4000, 4096, 4096], [0, 1, 2, 4096]])},
        {"cdf": np.array([0, 4096])},
        {"size": np.array([2])},
        {"size": np.array([0, 3])},
        {"size": np.array([2, 4])},
        {"size": np.array(2)},
        {"offset": np.array([0, 1 << 30])},
        {"offset": np.array([[0, 0]])},
    ],
)
def test_tables_that_cannot_code_are_refused(change):
    Tables(**GOOD)
    with pytest.raises(CorruptFile, match="probability tables"):
        Tables(**{**GOOD, **change})


@pytest.mark.parametrize("size", [[3, 2], [1, 1], [0, 4], [1 << 30, 1 << 30], [[2, 2]]])
def test_stored_tables_whose_sizes_do_not_fit_are_refused(size):
    stored = Tables(**GOOD).to_arrays()
    with pytest.raises(CorruptFile, match="probability tables"):
        Tables.from_arrays(stored | {"size": np.array(size)})


def test_the_rank_goes_from_cheap_to_dear():
    assert gaussian_tables(np.array([5.0, 0.2, 1.0])).rank.tolist() == [2, 0, 1]
