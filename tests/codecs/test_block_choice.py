"""Indices of blocks: maps come back whatever they hold, what is usual is short, borders leave no seams."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxicm.codecs.block_choice import BLEND, BLOCKS, blend, block_errors, choose, grid, read_map, write_map
from jaxicm.errors import CorruptFile
from jaxicm.media.yuv import PlanarFormat

WEIGHT = 4 / 6


def planes(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(0, 256, shape).astype(np.uint8) for shape in PlanarFormat(height, width).shapes)


@given(
    st.integers(1, 300), st.integers(1, 300), st.sampled_from(BLOCKS), st.integers(2, 65), st.integers(0, 9), st.data()
)
def test_a_map_comes_back(height, width, block, count, seed, data):
    rng = np.random.default_rng(seed)
    most = data.draw(st.integers(1, count))
    indices = (
        rng.integers(0, most, grid(height, width, block)) if seed else np.full(grid(height, width, block), most - 1)
    )
    payload = write_map(indices, block, count)
    found, side = read_map(payload, height, width, count)
    assert side == block
    np.testing.assert_array_equal(found, indices)


@pytest.mark.parametrize("count", [2, 5, 9])
@pytest.mark.parametrize("index", [0, 1, -1])
def test_blocks_that_are_all_the_same_cost_about_a_byte(count, index):
    for rows, columns, most in ((1, 1, 1), (4, 6, 2), (9, 15, 2), (40, 60, 3)):
        payload = write_map(np.full((rows, columns), index % count), 128, count)
        assert len(payload) - 1 <= most


def test_neighbours_tell_what_comes():
    halves = np.zeros((16, 16), int)
    halves[:, 8:] = 3
    noise = np.random.default_rng(0).integers(0, 5, (16, 16))
    lengths = [len(write_map(indices, 128, 5)) for indices in (halves, noise)]
    assert lengths[0] < 14
    assert 0.9 < 8 * lengths[1] / (256 * np.log2(5)) < 1.12  # near the entropy of independent indices


@given(st.binary(max_size=40), st.integers(2, 9), st.integers(1, 400), st.integers(1, 400))
def test_what_is_garbled_is_refused_or_a_map(payload, count, height, width):
    try:
        indices, block = read_map(payload, height, width, count)
    except CorruptFile:
        return
    assert indices.shape == grid(height, width, block)
    assert indices.min() >= 0 and indices.max() < count
    assert write_map(indices, block, count) == payload  # a map has one spelling: a cut one is another map, or none


def test_longer_maps_and_unknown_blocks_are_refused():
    payload = write_map(np.random.default_rng(0).integers(0, 5, (8, 8)), 32, 5)
    for wrong in (b"", bytes([len(BLOCKS)]), payload + b"\x01", payload + b"\0"):
        with pytest.raises(CorruptFile):
            read_map(wrong, 256, 256, 5)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 64), (65, 31), (100, 131)])
def test_errors_of_blocks_are_those_of_their_samples(height, width):
    a, b = planes(height, width), planes(height, width, 1)
    for block in (32, 64):
        found = block_errors(a, b, block, WEIGHT)
        assert found.shape == grid(height, width, block)
        for row, column in np.ndindex(*found.shape):
            expected = 0.0
            for number, (p, q) in enumerate(zip(a, b, strict=True)):
                side = block // 2 if number else block
                part = slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side)
                expected += (WEIGHT if number else 1) * np.square(p[part].astype(float) - q[part]).sum()
            assert found[row, column] == pytest.approx(expected)
    whole = block_errors(a, b, 0, WEIGHT)
    assert whole.shape == (1, 1) and whole[0, 0] == pytest.approx(block_errors(a, b, 32, WEIGHT).sum())


def test_without_a_price_the_best_is_chosen_and_at_a_high_one_the_cheapest():
    errors = np.random.default_rng(0).uniform(0, 100, (4, 6, 7))
    errors[2] -= 10
    np.testing.assert_array_equal(choose(errors, 0.0), errors.argmin(axis=0))
    dear = choose(errors, 1e4)
    assert np.unique(dear).size == 1
    lengths = [len(write_map(choose(errors, worth), 32, 4)) for worth in (0.0, 5.0, 30.0, 1e4)]
    assert lengths == sorted(lengths, reverse=True) and lengths[0] > lengths[-1]
    sums = [np.take_along_axis(errors, choose(errors, worth)[None], 0).sum() for worth in (0.0, 5.0, 1e4)]
    assert sums[0] < sums[1] < sums[2]


def test_blending_is_a_ramp_across_the_border_and_nothing_elsewhere():
    form = PlanarFormat(40, 80)
    low, high = ([np.full(s, value, np.uint8) for s in form.shapes] for value in (0, 160))
    shown = blend({0: low, 3: high}, np.array([[0, 3, 3], [0, 3, 3]]), 32)
    ramp = np.clip((2 * (np.arange(80) - 32) + 2 * BLEND + 1) / (4 * BLEND), 0, 1) * 160
    np.testing.assert_array_equal(shown[0], np.broadcast_to(ramp, (40, 80)))
    assert np.count_nonzero(shown[0][0] % 160) == 2 * BLEND
    chroma = np.clip((2 * (np.arange(40) - 16) + BLEND + 1) / (2 * BLEND), 0, 1) * 160
    for plane in shown[1:]:
        np.testing.assert_array_equal(plane, np.broadcast_to(chroma, (20, 40)))


def test_blending_does_not_know_left_from_right():
    indices = np.array([[0, 1], [1, 2]])
    versions = {k: planes(64, 64, k) for k in range(3)}
    shown = blend(versions, indices, 32)
    for axis in (0, 1):
        mirrored = {k: tuple(np.flip(plane, axis) for plane in version) for k, version in versions.items()}
        again = blend(mirrored, np.flip(indices, axis), 32)
        for a, b in zip(shown, again, strict=True):
            np.testing.assert_array_equal(np.flip(a, axis), b)


@given(st.integers(1, 140), st.integers(1, 140), st.integers(0, 5))
def test_weights_add_up_to_one(height, width, seed):
    shape = grid(height, width, 32)
    indices = np.random.default_rng(seed).integers(0, 3, shape)
    same = planes(height, width, seed)
    shown = blend(dict.fromkeys(range(3), same), indices, 32)
    for a, b in zip(same, shown, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_blocks_of_one_version_show_it_exactly_inside():
    versions = {k: planes(101, 67, k) for k in range(2)}
    indices = np.array([[0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1]])
    shown = blend(versions, indices, 32)
    for row, column in np.ndindex(*indices.shape):
        for number in range(3):
            side, edge = (32, BLEND) if number == 0 else (16, BLEND // 2)
            inner = tuple(slice(k * side + edge, (k + 1) * side - edge) for k in (row, column))
            np.testing.assert_array_equal(shown[number][inner], versions[indices[row, column]][number][inner])
