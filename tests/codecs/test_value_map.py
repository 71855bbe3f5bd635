"""Numbering of used values: exact for both types, only where it pays, damage is an error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxicm.codecs.value_map import ValueMap, find_map
from jaxicm.errors import CorruptFile, FileFormatError

SETS = st.one_of(
    st.tuples(st.just(np.uint8), st.sets(st.integers(0, 255), min_size=1)),
    st.tuples(st.just(np.uint16), st.sets(st.integers(0, 65535), min_size=1)),
    st.builds(
        lambda first, step, count: (np.uint16, set(range(first, 65536, step)[:count])),
        st.integers(0, 65535), st.integers(1, 3000), st.integers(1, 70000),
    ),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(SETS)
def test_sets_come_back(given_set):
    dtype, numbers = given_set
    values = np.array(sorted(numbers), dtype)
    back = ValueMap.from_bytes(ValueMap(values).to_bytes())
    assert back.values.dtype == dtype
    np.testing.assert_array_equal(back.values, values)
    numbered = back.forward(values)
    assert numbered.dtype == (np.uint8 if len(values) <= 256 else np.uint16)
    np.testing.assert_array_equal(numbered, np.arange(len(values)))
    np.testing.assert_array_equal(back.inverse(numbered), values)


def waves(height: int, width: int) -> np.ndarray:
    """Make a smooth noisy channel in [0, 1]."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(0).normal(0, 0.01, (height, width))
    return np.clip(0.5 + 0.4 * np.sin(x / 20.0) * np.cos(y / 15.0) + noise, 0, 1)


SPARSE = {
    "8 bit times 257": (np.round(waves(64, 80) * 255).astype(np.uint16) * 257, 256, 40),
    "10 bit in the high bits": (np.round(waves(300, 400) * 1023).astype(np.uint16) << 6, 1024, 140),
    "10 bit repeated in the low bits": (
        (lambda v: v << 6 | v >> 4)(np.round(waves(300, 400) * 1023).astype(np.uint16)), 1024, 200,
    ),
    "stretched contrast": (np.round(np.round(waves(64, 80) * 140) * 255 / 140).astype(np.uint8), 141, 40),
    "every fourth value": (np.round(waves(64, 80) * 63).astype(np.uint8) * 4, 64, 40),
}  # fmt: skip


@pytest.mark.parametrize("name", SPARSE)
def test_sparse_values_are_numbered_in_a_few_bytes(name):
    channel, most, most_bytes = SPARSE[name]
    found = find_map(channel)
    assert found is not None
    assert len(found) == len(np.unique(channel)) <= most
    assert len(found.to_bytes()) <= most_bytes
    numbered = found.forward(channel)
    assert int(numbered.max()) == len(found) - 1
    np.testing.assert_array_equal(found.inverse(numbered), channel)


def test_a_progression_takes_four_to_eight_bytes():
    assert ValueMap(np.arange(256, dtype=np.uint16) * 257).to_bytes() == b"\x80\x00\x81\x02\xff\x01"
    assert ValueMap(np.array([7], np.uint8)).to_bytes() == b"\x00\x07\x01\x00"


@pytest.mark.parametrize(
    "channel",
    [
        (waves(64, 80) * 255).astype(np.uint8),
        (waves(64, 80) * 65535).astype(np.uint16),
        (waves(300, 400) * 1023).astype(np.uint16),
        np.full((50, 50), 0, np.uint8),
        np.full((50, 50), 200, np.uint8),
        np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8),
        np.random.default_rng(0).integers(0, 65536, (3, 3)).astype(np.uint16),
        np.where(waves(60, 60) > 0.5, 100, 101).astype(np.uint8),
    ],
    ids=range(8),
)
def test_dense_and_tiny_channels_stay_as_they_are(channel):
    assert find_map(channel) is None


def test_a_lone_bright_value_in_a_flat_place_does_not_pay():
    """A gap that no residual crosses is no gain, however wide."""
    channel = (waves(64, 80) * 90).astype(np.uint8)
    channel[:4, :4] = 255
    assert find_map(channel) is None or len(find_map(channel).to_bytes()) < 12


@pytest.mark.parametrize("shape", [(1, 400), (400, 1), (2, 300)])
def test_narrow_channels_are_numbered(shape):
    channel = np.random.default_rng(0).integers(0, 50, shape).astype(np.uint16) * 1000
    found = find_map(channel)
    assert found is not None
    np.testing.assert_array_equal(found.inverse(found.forward(channel)), channel)


def test_sixteen_bits_with_a_flat_high_value_become_eight():
    channel = np.full((40, 40), 40_000, np.uint16)
    channel[20:] = 65_535
    found = find_map(channel)
    assert found is not None
    assert found.forward(channel).dtype == np.uint8


def test_a_number_too_large_is_an_error():
    with pytest.raises(CorruptFile, match="number 3 of 3"):
        ValueMap(np.array([1, 5, 9], np.uint8)).inverse(np.array([[0, 3]], np.uint8))


def test_damaged_sets_are_errors_or_sets():
    rng = np.random.default_rng(0)
    originals = [ValueMap(np.unique(rng.integers(0, 65536, n)).astype(np.uint16)).to_bytes() for n in (1, 9, 300, 9000)]
    originals += [ValueMap(np.arange(5, 250, 7, dtype=np.uint8)).to_bytes()]
    for data in originals:
        for _ in range(300):
            damaged = bytearray(data)
            for _ in range(rng.integers(1, 3)):
                damaged[int(rng.integers(min(len(damaged), 40)))] ^= 1 << int(rng.integers(8))
            if rng.random() < 0.3:
                del damaged[int(rng.integers(len(damaged))) :]
            try:
                found = ValueMap.from_bytes(bytes(damaged))
            except FileFormatError as error:
                assert "\n" not in str(error)
            else:
                assert (np.diff(found.values.astype(int)) > 0).all()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x03", b"\x00\x01\x00\x05", b"\x00\x01\x02\x80\x01", b"\x00\x01\x01\x01\x01",
        b"\x80\x01\xff\xff\x03\x01",
        b"\x01\x80\x02", b"\x02\xff\x01\x01", b"\x01\x02\x00",
    ],
    ids=range(9),
)  # fmt: skip
def test_impossible_sets_are_refused(data):
    with pytest.raises(FileFormatError):
        ValueMap.from_bytes(data)
